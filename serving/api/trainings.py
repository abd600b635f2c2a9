"""The call that returns what a bundle records of its data and its training."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException

from recsys.bundles.bundle import read_manifest
from recsys.bundles.data_report import DataReport, read_data_report
from recsys.core.errors import BundleError
from serving.api.versions import OneVersion, check_version
from serving.http.operation import Operation
from serving.responses import encode
from serving.runtime.app_context import AppContext


class TrainingRecord(msgspec.Struct, frozen=True):
    """A training.

    Attributes:
        version: the bundle.
        created_at: time of its creation, RFC 3339.
        rows: number of events, users and items.
        seconds: time of each stage, in order; empty for a bundle that does not record it.
        gate: whether the new bundle was found worse than the one before, and the figures.
        gate_settings: what the gate allows; empty for a bundle that does not record it.
        rankers: held-out metrics of each learned order.
        orders: what orders each list and why, one sentence each.
        blends: metrics of all orders that were compared for each list, and the weights of the sources.
        settings: settings of the models that were learned, with their gains.
        churn: the model of users who leave.
        notes: what could not be learned from the data.
        data: tables, rejected rows by reason and findings of the doctor; null for a bundle that does not record them.
    """

    version: str
    created_at: str
    rows: dict[str, int]
    seconds: dict[str, float]
    gate: dict[str, Any]
    gate_settings: dict[str, Any]
    rankers: dict[str, Any]
    orders: tuple[str, ...]
    blends: dict[str, Any]
    settings: dict[str, Any]
    churn: dict[str, Any]
    notes: tuple[str, ...]
    data: DataReport | None


async def get_training(app_context: AppContext, call: OneVersion) -> bytes:
    """Return what a bundle records: its data with rejected rows, the times, the gate, and what was learned.

    404 if there is no such bundle, 409 if it cannot be read.
    """
    return encode(await asyncio.to_thread(_record, app_context.settings.models, call.version))


def _record(models: Path, version: str) -> TrainingRecord:
    check_version(models, version)
    try:
        manifest = read_manifest(models / version)
        data = read_data_report(models / version, manifest)
    except BundleError as error:
        raise HTTPException(409, str(error)) from None
    found = manifest.metrics
    named = ("rows", "seconds", "gate", "gate_settings", "rankers", "blends", "settings", "churn")
    return TrainingRecord(
        version=version,
        created_at=manifest.created_at,
        **{name: found.get(name, {}) for name in named},
        orders=tuple(found.get("orders", ())),
        notes=tuple(manifest.notes),
        data=data,
    )


OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/models/{version}/training",
        OneVersion,
        get_training,
        "models",
        (TrainingRecord,),
        failures=(404, 409),
        scope="view",
    ),
)
