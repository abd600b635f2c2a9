"""The job that trains: a folder of tables in, an activated bundle out."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from recsys.bundles.bundle import (
    PARTIAL,
    Manifest,
    Provenance,
    code_fingerprint,
    config_fingerprint,
    read_manifest,
    verify,
    write_bundle,
)
from recsys.bundles.registry import activate, current_version, locked, prune, sweep
from recsys.core.errors import BundleError, ConfigError
from recsys.core.progress import Progress, Stopwatch, silent
from recsys.data.dataset import Dataset, read_info
from recsys.fitting.engine import Engine, EngineConfig
from recsys.ranking.fit import fit_engine
from training.choices import DEFAULT_KEEP
from training.config import parse_config
from training.data_gaps import find_data_gaps
from training.data_report import report_data
from training.gate import GateConfig, GateResult, compare, skipped
from training.new_data import judge_data, refuse_collapse
from training.source import Source, TrainingData, load_tables


@dataclass(frozen=True)
class TrainReport:
    """The result of a training.

    Attributes:
        version: the trained bundle, which is current unless `refused`.
        is_new: whether it was trained now; False where nothing has changed.
        seconds: time of each stage.
        peak_memory_mb: peak memory of the process.
        rows: number of events, users and items.
        notes: gaps in the data, and their effect on the lists.
        removed: older bundles that were removed.
        gate: result of the gate, as in the manifest; empty where nothing was trained.
        orders: what orders each list and why, one sentence each.
        blends: the search for the weights of the sources, as in the manifest.
        settings: the search for settings of the models, as in the manifest.
        refused: why the new bundle is not activated, "" where it is.
    """

    version: str
    is_new: bool
    seconds: dict[str, float]
    peak_memory_mb: float
    rows: dict[str, int]
    notes: tuple[str, ...]
    removed: tuple[str, ...] = ()
    gate: Mapping[str, Any] = field(default_factory=dict)
    refused: str = ""
    orders: tuple[str, ...] = ()
    blends: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)


def train(
    data_dir: Path,
    models: Path,
    config: EngineConfig,
    *,
    now: datetime,
    if_changed: bool = False,
    keep: int = DEFAULT_KEEP,
    gate: GateConfig | None = None,
    activate_worse: bool = False,
    accept_shrink: bool = False,
    source: Source = load_tables,
    progress: Progress = silent,
) -> TrainReport:
    """Fit all models on a folder of tables, write a bundle and activate it if it passes the gate.

    The current bundle changes at the end or not at all. Partial files of a killed job are removed.

    Args:
        data_dir: the folder that `ingest` wrote.
        models: the folder of bundles.
        config: settings of the models.
        now: aware creation time of the bundle; ages count from the end of the data.
        if_changed: do nothing while the current bundle is whole and has the same tables, settings and code.
        keep: latest bundles to keep, at least 1; the current and the previous one always stay.
        gate: settings of the gate; None for the defaults.
        activate_worse: activate the new bundle even if the gate finds it worse.
        accept_shrink: train even if the data lost more events, users or items than `GateConfig.max_shrink` allows.
        source: opens the tables, in this process or with another engine.
        progress: receives the stages.

    Raises:
        ConfigError: `keep` is below 1, or `now` has no zone.
        DataError: the tables cannot be used, or have far fewer rows than those of the current bundle.
        BundleError: another training is running on `models`, or the bundle cannot be written.
    """
    if keep < 1:
        raise ConfigError(f"keep is {keep}, expected at least 1 bundle")
    if now.tzinfo is None:
        raise ConfigError(f"the time {now.isoformat()} has no time zone; add its offset")
    with locked(models):
        sweep(models)
        unchanged = _unchanged(data_dir, models, config) if if_changed else None
        if unchanged is not None:
            return TrainReport(
                unchanged.version, False, {}, _peak_memory_mb(), unchanged.metrics["rows"], tuple(unchanged.notes)
            )
        stages = Stopwatch(progress)
        stages("reading the tables")
        gate = gate or GateConfig()
        with _work_folder(models) as work, source(data_dir, work) as data:
            job = _Job(data_dir, models, config, gate, now, activate_worse, accept_shrink)
            gate_result, manifest = _fit_and_write(data, job, stages)
        stages("activating")
        if gate_result.decision != "refused":
            activate(models, manifest.version)
        removed = prune(models, keep)
        seconds = stages.stop()
    return TrainReport(
        version=manifest.version,
        is_new=True,
        seconds=seconds,
        peak_memory_mb=_peak_memory_mb(),
        rows=manifest.metrics["rows"],
        notes=tuple(manifest.notes),
        removed=removed,
        gate=gate_result.to_dict(),
        refused=gate_result.sentence(manifest.version) if gate_result.decision == "refused" else "",
        orders=tuple(manifest.metrics["orders"]),
        blends=manifest.metrics["blends"],
        settings=manifest.metrics["settings"],
    )


@contextmanager
def _work_folder(models: Path) -> Iterator[Path]:
    """Make a folder for files of one training; what a killed one left is removed by the next."""
    work = models / f"{PARTIAL}work-{os.getpid()}"
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


@dataclass(frozen=True)
class _Job:
    """The arguments of `train` that decide what is fitted, and whether it may serve."""

    data_dir: Path
    models: Path
    config: EngineConfig
    gate: GateConfig
    now: datetime
    activate_worse: bool
    accept_shrink: bool


def _fit_and_write(data: TrainingData, job: _Job, stages: Stopwatch) -> tuple[GateResult, Manifest]:
    """Fit the models, write the bundle, and return what the gate finds."""
    config, gate, activate_worse = job.config, job.gate, job.activate_worse
    dataset, rows, current = data.dataset, dict(data.rows), _current(job.models)
    if current is not None and not job.accept_shrink:
        refuse_collapse(rows, current, gate)
    stages("examining the data")
    data_report = msgspec.json.encode(report_data(job.data_dir, dataset, examines=data.parts is None))
    gate_result = _run_gate(dataset, current, config, gate, activate_worse, stages)
    engine = fit_engine(dataset, config, data.end, stages, data.parts)
    if gate.enabled and gate_result.decision in ("passed", "skipped") and current is not None:
        gate_result = _with_data(gate_result, dataset, engine, current, gate, activate_worse)
    stages("writing the bundle")
    engine = data.finish(engine)
    metrics = {"rows": rows, "gate": gate_result.to_dict(), **_learned(engine)}
    metrics |= {"gate_settings": asdict(gate), "seconds": stages.seconds}
    provenance = Provenance(job.now, dataset.fingerprint, metrics, find_data_gaps(dataset, engine), data_report)
    return gate_result, write_bundle(engine, job.models, provenance)


def _current(models: Path) -> Manifest | None:
    """Return the manifest of the current bundle, None if there is none that can be read."""
    version = current_version(models)
    try:
        return None if version is None else read_manifest(models / version)
    except BundleError:
        return None


def _with_data(
    of_settings: GateResult,
    dataset: Dataset,
    engine: Engine,
    current: Manifest,
    gate: GateConfig,
    activate_worse: bool,
) -> GateResult:
    """Judge new data too, and return the stricter of the two results; that of the settings if both pass."""
    if current.data_fingerprint == dataset.fingerprint:
        return of_settings
    of_data = judge_data(_learned(engine), current, gate, activate_worse=activate_worse)
    if of_data.decision in ("refused", "overridden") or (of_data.figures and not of_settings.figures):
        return of_data
    return of_settings


def _run_gate(
    dataset: Dataset,
    current: Manifest | None,
    config: EngineConfig,
    gate: GateConfig,
    activate_worse: bool,
    stages: Progress,
) -> GateResult:
    """Compare new settings with those of the current bundle."""
    if not gate.enabled:
        return skipped("the gate is off")
    if current is None:
        return skipped("there is no current bundle")
    try:
        before = parse_config(current.config).engine
    except ConfigError as error:
        return skipped(f"the settings of {current.version} cannot be read: {error}")
    if before == config:
        return skipped("the settings are unchanged")
    return compare(dataset, before, config, gate, activate_worse=activate_worse, progress=stages)


def _unchanged(data_dir: Path, models: Path, config: EngineConfig) -> Manifest | None:
    """Return the manifest of the current bundle, if another training would give the same bundle."""
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


def _learned(engine: Engine) -> dict[str, Any]:
    """Return what training measured on past requests."""
    return {
        "rankers": _ranker_metrics(engine),
        "orders": list(engine.blends.sentences()),
        "blends": engine.blends.to_dict(),
        "settings": engine.blends.settings.to_dict(),
        "churn": engine.segments.churn.to_dict(),
    }


def _ranker_metrics(engine: Engine) -> dict[str, Any]:
    """Return the held-out metrics of each ranker and of the blend."""
    found = {}
    for name, ranker in vars(engine.rankers).items():
        metrics = {"n_requests": ranker.n_requests, "ndcg@10": ranker.ndcg, "ndcg@10_of_blend": ranker.ndcg_of_blend}
        found[name] = {"serves": ranker.is_fitted} | metrics
    return found


def _peak_memory_mb() -> float:
    """Return the peak memory of this process; Linux counts in kB, macOS in bytes."""
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
