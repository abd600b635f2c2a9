"""Calls about the bundles on the shelf: which there are, and which one serves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException

from recsys.bundles.bundle import read_manifest
from recsys.bundles.registry import activate, current_version, versions
from recsys.core.errors import BundleError
from serving.http.operation import Operation
from serving.http.parameters import Name, Nothing, Parameters
from serving.problems import shown
from serving.responses import encode
from serving.runtime.app_context import AppContext


class OneVersion(Parameters, frozen=True):
    """One bundle.

    Attributes:
        version: its name, as the list of bundles has it.
    """

    version: Name


class BundleInfo(msgspec.Struct, frozen=True):
    """One bundle on the shelf.

    Attributes:
        version: its name.
        created_at: when it was made, RFC 3339; null if it cannot be read.
        is_current: whether it is the one that is to serve.
        metrics: what training measured, by name.
        notes: what the data could not teach.
        problem: why it cannot be read, null if it can; its other files are checked when it is activated.
    """

    version: str
    created_at: str | None
    is_current: bool
    metrics: dict[str, Any]
    notes: tuple[str, ...]
    problem: str | None


class BundleList(msgspec.Struct, frozen=True):
    """The bundles on the shelf.

    Attributes:
        current: the one that is to serve, null before the first.
        serving: the one that this process serves, null before the first; it follows `current` in about a second.
        models: all of them, the oldest first.
    """

    current: str | None
    serving: str | None
    models: tuple[BundleInfo, ...]


class Activated(msgspec.Struct, frozen=True):
    """The bundle that is to serve from now on.

    Attributes:
        current: its name.
        previous: the one before, null if there was none.
    """

    current: str
    previous: str | None


async def list_models(service: AppContext, call: Nothing) -> bytes:
    """List the bundles that there are, and which one serves."""
    snapshot = service.state.current
    serving = None if snapshot is None else snapshot.version
    current, bundles = await asyncio.to_thread(_bundle_list, service.settings.models)
    return encode(BundleList(current, serving, bundles))


async def activate_model(service: AppContext, call: OneVersion) -> bytes:
    """Make a bundle the current one, once every file of it is checked; all workers take it up in about a second.

    404 where there is no such bundle, 409 where it is not whole: then nothing changes.
    """
    return encode(await asyncio.to_thread(_activate, service.settings.models, call.version))


def _bundle_list(models: Path) -> tuple[str | None, tuple[BundleInfo, ...]]:
    current = current_version(models)
    return current, tuple(_described(models, version, version == current) for version in versions(models))


def _described(models: Path, version: str, is_current: bool) -> BundleInfo:
    try:
        manifest = read_manifest(models / version)
    except BundleError as error:
        return BundleInfo(version, None, is_current, {}, (), str(error))
    return BundleInfo(version, manifest.created_at, is_current, manifest.metrics, tuple(manifest.notes), None)


def _activate(models: Path, version: str) -> Activated:
    if version not in versions(models):
        known = ", ".join(versions(models)) or "none"
        raise HTTPException(404, f"there is no bundle {shown(version)!r}: there are {known}")
    before = current_version(models)
    try:
        activate(models, version)
    except (BundleError, OSError) as error:
        raise HTTPException(409, f"nothing has changed: {error}") from None
    return Activated(version, before)


OPERATIONS: Final = (
    Operation("GET", "/v1/models", Nothing, list_models, (BundleList,), scope="admin"),
    Operation(
        "POST",
        "/v1/models/{version}/activate",
        OneVersion,
        activate_model,
        (Activated,),
        failures=(404, 409, 414, 422),
        scope="admin",
    ),
)
