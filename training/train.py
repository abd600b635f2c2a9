"""The job that learns: tables in, an activated bundle out."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from recsys.bundles.bundle import (
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
from recsys.data.dataset import Dataset, load_dataset, read_info
from recsys.fitting.engine import Engine, EngineConfig
from recsys.ranking.fit import fit_engine
from training.choices import DEFAULT_KEEP
from training.config import parse_config
from training.data_gaps import find_data_gaps
from training.gate import GateConfig, GateResult, compare, skipped


@dataclass(frozen=True)
class TrainReport:
    """What a training did.

    Attributes:
        version: the bundle that was trained, the current one unless `refused`.
        is_new: whether it was trained now; False where nothing had changed.
        seconds: by stage.
        peak_memory_mb: most memory that the process has held.
        rows: number of events, users and items.
        notes: what the data could not teach, and what that means for the lists.
        removed: older bundles that went.
        gate: what the gate found, as the manifest holds it; empty where nothing was trained.
        refused: why the new bundle does not serve, "" where it does.
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
    gate: GateConfig | None = None,
    activate_worse: bool = False,
    progress: Progress = silent,
) -> TrainReport:
    """Fit every model on a folder of tables, write a bundle and make it the current one, if the gate lets it pass.

    The current bundle changes at the very end or not at all. What a killed job left half written is removed.

    Args:
        data_dir: the folder that `ingest` wrote.
        models: the folder of bundles.
        config: settings of the models.
        now: aware; when the bundle is made. Ages count from the end of the data, not from here.
        if_changed: do nothing while the current bundle is whole and of the same tables, settings and code.
        keep: how many of the latest bundles stay, >= 1; the current one and the one before it always do.
        gate: how settings that differ from those that serve are tried first; its defaults if not given.
        activate_worse: serve the new bundle even where the gate finds it worse.
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
        stages = Stopwatch(progress)
        stages("reading the tables")
        dataset = load_dataset(data_dir)
        verdict = _judge(dataset, models, config, gate or GateConfig(), activate_worse, stages)
        manifest = _fit_and_write(dataset, models, config, now, verdict, stages)
        stages("activating")
        if verdict.decision != "refused":
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
        gate=verdict.to_dict(),
        refused=verdict.sentence(manifest.version) if verdict.decision == "refused" else "",
    )


def _judge(
    dataset: Dataset,
    models: Path,
    config: EngineConfig,
    gate: GateConfig,
    activate_worse: bool,
    stages: Progress,
) -> GateResult:
    """Hold new settings against those of the bundle that serves."""
    if not gate.enabled:
        return skipped("the gate is off")
    version = current_version(models)
    if version is None:
        return skipped("no bundle serves yet")
    try:
        current = parse_config(read_manifest(models / version).config).engine
    except (BundleError, ConfigError) as error:
        return skipped(f"the settings of {version} cannot be read: {error}")
    if current == config:
        return skipped("the settings are those that serve")
    return compare(dataset, current, config, gate, activate_worse=activate_worse, progress=stages)


def _fit_and_write(
    dataset: Dataset,
    models: Path,
    config: EngineConfig,
    now: datetime,
    verdict: GateResult,
    stages: Progress,
) -> Manifest:
    engine = fit_engine(dataset, config, progress=stages)
    stages("writing the bundle")
    provenance = Provenance(
        created_at=now,
        data_fingerprint=dataset.fingerprint,
        metrics={"rows": _rows(dataset), "gate": verdict.to_dict(), "rankers": _of_rankers(engine)},
        notes=find_data_gaps(dataset, engine),
    )
    return write_bundle(engine, models, provenance)


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


def _of_rankers(engine: Engine) -> dict[str, Any]:
    """What each ranker reached on requests that it had not seen, beside the blend."""
    found = {}
    for name, ranker in vars(engine.rankers).items():
        figures = {"n_requests": ranker.n_requests, "ndcg@10": ranker.ndcg, "ndcg@10_of_blend": ranker.ndcg_of_blend}
        found[name] = {"serves": ranker.is_fitted} | figures
    return found


def _rows(dataset: Dataset) -> dict[str, int]:
    return {"events": len(dataset.events), "users": len(dataset.users), "items": len(dataset.items)}


def _peak_memory_mb() -> float:
    """Most memory that this process has held; the system counts in kB, macOS in bytes."""
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
