"""Calls about bundles: their list, and the activation of one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException

from recsys.bundles.bundle import read_manifest
from recsys.bundles.registry import activate, readable_version, versions
from recsys.core.errors import BundleError
from serving.api.changes import note_of
from serving.http.caller import Caller
from serving.http.fields import Name, NoParameters, Parameters
from serving.http.operation import Operation
from serving.problems import shown
from serving.responses import encode
from serving.runtime.app_context import AppContext


class OneVersion(Parameters, frozen=True):
    """One bundle.

    Attributes:
        version: its name, as in the list of bundles.
    """

    version: Name


class BundleInfo(msgspec.Struct, frozen=True):
    """One bundle in the folder of bundles.

    Attributes:
        version: its name.
        created_at: time of its creation, RFC 3339; null if it cannot be read.
        is_current: whether it is the active one.
        metrics: metrics of the training, by name.
        notes: what could not be learnt from the data.
        problem: why its manifest cannot be read, null if it can; its other files are checked at activation.
    """

    version: str
    created_at: str | None
    is_current: bool
    metrics: dict[str, Any]
    notes: tuple[str, ...]
    problem: str | None


class BundleList(msgspec.Struct, frozen=True):
    """All bundles.

    Attributes:
        current: the active one, null before the first.
        serving: the one that this process serves, null before the first; it follows `current` in about a second.
        serving_variants: those that this process serves beside it, for variants of experiments.
        models: all of them, the oldest first.
    """

    current: str | None
    serving: str | None
    serving_variants: tuple[str, ...]
    models: tuple[BundleInfo, ...]


class Activated(msgspec.Struct, frozen=True):
    """The bundle that is active now.

    Attributes:
        current: its name.
        previous: the one before, null if there was none.
    """

    current: str
    previous: str | None


async def list_models(app_context: AppContext, call: NoParameters) -> bytes:
    """List all bundles, and the one that is being served."""
    snapshot = app_context.watcher.current
    serving = None if snapshot is None else snapshot.version
    current, bundles = await asyncio.to_thread(_bundle_list, app_context.settings.models)
    beside = () if snapshot is None else tuple(sorted(snapshot.others))
    return encode(BundleList(current, serving, beside, bundles))


async def activate_model(app_context: AppContext, call: OneVersion, caller: Caller) -> bytes:
    """Make a bundle the active one, after a check of all its files; all workers serve it in about a second.

    404 if there is no such bundle, 409 if it is incomplete: then nothing changes.
    """
    done = await asyncio.to_thread(_activate, app_context.settings.models, call.version)
    note = note_of(app_context, caller)
    await asyncio.to_thread(app_context.history.record, note, "model_activated", call.version)
    return encode(done)


def _bundle_list(models: Path) -> tuple[str | None, tuple[BundleInfo, ...]]:
    current = readable_version(models)
    return current, tuple(_described(models, version, version == current) for version in versions(models))


def _described(models: Path, version: str, is_current: bool) -> BundleInfo:
    try:
        manifest = read_manifest(models / version)
    except BundleError as error:
        return BundleInfo(version, None, is_current, {}, (), str(error))
    return BundleInfo(version, manifest.created_at, is_current, manifest.metrics, tuple(manifest.notes), None)


def check_version(models: Path, version: str) -> None:
    """Raise a 404 for a bundle that does not exist."""
    if version not in versions(models):
        known = ", ".join(versions(models)) or "none"
        raise HTTPException(404, f"there is no bundle {shown(version)!r}: there are {known}")


def _activate(models: Path, version: str) -> Activated:
    check_version(models, version)
    before = readable_version(models)
    try:
        activate(models, version)
    except (BundleError, OSError) as error:
        raise HTTPException(409, f"the active bundle has not changed: {error}") from None
    return Activated(version, before)


OPERATIONS: Final = (
    Operation("GET", "/v1/models", NoParameters, list_models, "models", (BundleList,), scope="view"),
    Operation(
        "POST",
        "/v1/models/{version}/activate",
        OneVersion,
        activate_model,
        "models",
        (Activated,),
        failures=(404, 409, 503),
        scope="operate",
        takes_caller=True,
    ),
)
