"""The job that learns: tables in, an activated bundle out."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from recsys.bundle import (
    Manifest,
    Provenance,
    activate,
    code_fingerprint,
    config_fingerprint,
    current_version,
    verify,
    write_bundle,
)
from recsys.dataset import Dataset, load_dataset, read_info
from recsys.engine import EngineConfig
from recsys.errors import BundleError, ConfigError
from recsys.fitting import fit_engine
from training.ingest import Progress, silent
from training.shelf import locked, prune, sweep
from training.shortfalls import find_shortfalls

DEFAULT_KEEP: Final = 5
N_STAGES: Final = 13
"""Stages of a training but the examples of rankers, one a cut-off, by which its progress is told."""


@dataclass(frozen=True)
class TrainReport:
    """What a training did.

    Attributes:
        version: the current bundle.
        is_new: whether it was trained now; False where nothing had changed.
        seconds: by stage.
        peak_memory_mb: most memory that the process has held.
        rows: number of events, users and items.
        notes: what the data could not teach, and what that means for the lists.
        removed: older bundles that went.
    """

    version: str
    is_new: bool
    seconds: dict[str, float]
    peak_memory_mb: float
    rows: dict[str, int]
    notes: tuple[str, ...]
    removed: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return asdict(self)


def train(
    data_dir: Path,
    models: Path,
    config: EngineConfig,
    *,
    now: datetime,
    if_changed: bool = False,
    keep: int = DEFAULT_KEEP,
    progress: Progress = silent,
) -> TrainReport:
    """Fit every model on a folder of tables, write a bundle and make it the current one.

    The current bundle changes at the very end or not at all. What a killed job left half written is removed.

    Args:
        data_dir: the folder that `ingest` wrote.
        models: the folder of bundles.
        config: settings of the models.
        now: aware; when the bundle is made. Ages count from the end of the data, not from here.
        if_changed: do nothing while the current bundle is whole and of the same tables, settings and code.
        keep: how many of the latest bundles stay, >= 1; the current one and the one before it always do.
        progress: told of each stage.

    Raises:
        ConfigError: `keep` or `now` cannot be.
        DataError: the tables cannot be used.
        BundleError: another training holds `models`, or the bundle cannot be written.
    """
    if keep < 1:
        raise ConfigError(f"keep is {keep}, expected at least 1 bundle")
    if now.tzinfo is None:
        raise ConfigError(f"the moment {now.isoformat()} has no time zone; give one with its offset")
    with locked(models):
        sweep(models)
        unchanged = _unchanged(data_dir, models, config) if if_changed else None
        if unchanged is not None:
            return TrainReport(
                unchanged.version, False, {}, _peak_memory_mb(), unchanged.metrics["rows"], tuple(unchanged.notes)
            )
        stages = _Stopwatch(progress)
        dataset, manifest = _fit_and_write(data_dir, models, config, now, stages)
        stages("activating")
        activate(models, manifest.version)
        removed = prune(models, keep)
        seconds = stages.stop()
    return TrainReport(
        version=manifest.version,
        is_new=True,
        seconds=seconds,
        peak_memory_mb=_peak_memory_mb(),
        rows=_rows(dataset),
        notes=tuple(manifest.notes),
        removed=removed,
    )


def _fit_and_write(
    data_dir: Path, models: Path, config: EngineConfig, now: datetime, stages: Callable[[str], None]
) -> tuple[Dataset, Manifest]:
    stages("reading the tables")
    dataset = load_dataset(data_dir)
    engine = fit_engine(dataset, config, progress=stages)
    stages("writing the bundle")
    provenance = Provenance(
        created_at=now,
        data_fingerprint=dataset.fingerprint,
        metrics={"rows": _rows(dataset)},
        notes=find_shortfalls(dataset, engine),
    )
    return dataset, write_bundle(engine, models, provenance)


def _unchanged(data_dir: Path, models: Path, config: EngineConfig) -> Manifest | None:
    """The current bundle's manifest, if training again would give the same bundle."""
    wanted = (read_info(data_dir).fingerprint, config_fingerprint(config), code_fingerprint())
    version = current_version(models)
    try:
        manifest = verify(models / version) if version else None
    except BundleError:
        return None
    if manifest is None:
        return None
    found = (manifest.data_fingerprint, manifest.config_fingerprint, manifest.code_fingerprint)
    return manifest if found == wanted else None


def _rows(dataset: Dataset) -> dict[str, int]:
    return {"events": len(dataset.events), "users": len(dataset.users), "items": len(dataset.items)}


def _peak_memory_mb() -> float:
    """Most memory that this process has held; the system counts in kB, macOS in bytes."""
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


class _Stopwatch:
    """Passes the stages on to a `Progress` and takes the time of each."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stage: str | None = None
        self._since = time.perf_counter()
        self._seconds: dict[str, float] = {}

    def __call__(self, stage: str) -> None:
        """A stage begins, and the one before it ends."""
        self._end()
        self._stage = stage
        self._progress(stage, min(len(self._seconds) / N_STAGES, 1.0))

    def stop(self) -> dict[str, float]:
        """The last stage ends; seconds by stage."""
        self._end()
        self._progress("done", 1.0)
        return self._seconds

    def _end(self) -> None:
        now = time.perf_counter()
        if self._stage is not None:
            self._seconds[self._stage] = round(now - self._since, 3)
        self._since = now
