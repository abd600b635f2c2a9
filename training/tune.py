"""The job that searches for better settings on the tuning window."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from recsys.bundles.bundle import config_fingerprint
from recsys.core.config.ranges import Number, in_range, range_text, unwrap
from recsys.core.config.settings_table import setting_types
from recsys.core.errors import ConfigError, DataError, RecsysError
from recsys.core.metrics import Interval, Values
from recsys.core.progress import Progress, silent
from recsys.data.dataset import Dataset, load_dataset
from recsys.evaluation.experiment import draw
from recsys.evaluation.splits import Window, find_window
from recsys.evaluation.tasks import Task
from recsys.fitting.engine import EngineConfig
from training.choices import DEFAULT_GATE_METRIC, DEFAULT_HOLDOUT_DAYS
from training.config import TrainingConfig, parse_config, render_config
from training.extras import require_extra
from training.gate import GATE_METRICS, GateMetric, intervals, measure

if TYPE_CHECKING:
    import optuna

STUDY: Final = "recsys"


@dataclass(frozen=True)
class Setting:
    """The range in which a setting is searched; whole numbers where both ends are whole.

    Attributes:
        low: lower end.
        high: upper end.
        log: whether the search is uniform in the logarithm.
    """

    low: float
    high: float
    log: bool = True

    @property
    def kind(self) -> type:
        """Return `int` or `float`."""
        return int if isinstance(self.low, int) and isinstance(self.high, int) else float


SPACE: Final[Mapping[str, Setting]] = {
    "als.n_factors": Setting(32, 256),
    "als.regularization": Setting(1.0, 100.0),
    "als.alpha": Setting(0.3, 10.0),
    "als.half_life_days": Setting(15.0, 365.0),
    "repeat.decay_days": Setting(1.0, 60.0),
    "repeat.decay_power": Setting(0.2, 2.0, log=False),
    "popularity.half_life_days": Setting(3.0, 90.0),
    "ease.regularization": Setting(50.0, 5000.0),
    "ranker.trees.num_leaves": Setting(7, 63),
    "ranker.trees.n_rounds": Setting(30, 200),
    "ranker.trees.learning_rate": Setting(0.03, 0.3),
    "ranker.trees.l2": Setting(0.5, 50.0),
    "copurchase.item_shrinkage": Setting(2.0, 100.0),
    "copurchase.decay_days": Setting(30.0, 365.0),
}
"""Settings that are searched by default."""


@dataclass(frozen=True)
class TuneReport:
    """The result of a search.

    Attributes:
        config: the settings to train with: those of the best trial, or the original ones where none is better.
        is_better: whether the interval of the difference is above zero.
        metric: the metric that decides.
        n_trials: completed trials of the study, including those of earlier runs.
        n_failed: failed trials.
        base: metric of the original settings.
        best: metric of the best trial; of the original settings where there is none.
        difference: paired difference of the two.
        changed: searched settings of the best trial.
    """

    config: EngineConfig
    is_better: bool
    metric: str
    n_trials: int
    n_failed: int
    base: Interval
    best: Interval
    difference: Interval
    changed: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)

    def toml(self) -> str:
        """Write the settings as a file for `recsys train --config`, with the result in comments."""
        change = self.difference
        lines = [
            f"# {self.metric} on the tuning window, {self.n_trials} trials: {self.best.value:.4f}, before "
            f"{self.base.value:.4f};",
            f"# difference {change.value:+.4f}, 95 % interval {change.low:+.4f} to {change.high:+.4f}.",
        ]
        if not self.is_better:
            lines.append("# No trial is significantly better: these are the original settings.")
        return "\n".join([*lines, render_config(TrainingConfig(engine=self.config))])


def tune(
    data_dir: Path,
    base: EngineConfig,
    *,
    metric: str = DEFAULT_GATE_METRIC,
    holdout_days: int = DEFAULT_HOLDOUT_DAYS,
    settings: Mapping[str, Setting] = SPACE,
    minutes: float = 60.0,
    trials: int | None = None,
    study_file: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> TuneReport:
    """Try settings and measure each on the purchases in the tuning window; the report window is never read.

    The search is a tree-structured Parzen estimator (Bergstra et al. 2011, NeurIPS), Optuna's. A trial that the models
    refuse counts as failed and the search continues; Ctrl-C ends it and keeps the result.

    Args:
        data_dir: the folder that `ingest` wrote.
        base: the original settings; settings that are not searched keep their value.
        metric: one of `GATE_METRICS`.
        holdout_days: length of the window in local days, at least 1.
        settings: ranges of the search, by the key of the setting.
        minutes: time after which no trial starts, above 0.
        trials: trials of this run after which none starts; None for as many as the time allows.
        study_file: file of the study, with which a later run continues the search.
        seed: seed of the search, at least 0.
        progress: receives each trial.

    Raises:
        ConfigError: an unknown metric or setting, a study of another shop, settings or metric, or no Optuna.
        DataError: the tables cannot be used, or the metric has no query.
    """
    if metric not in GATE_METRICS:
        raise ConfigError(f"metric is {metric!r}, expected one of {', '.join(GATE_METRICS)}")
    if minutes <= 0 or (trials is not None and trials < 1):
        raise ConfigError(f"minutes are {minutes:g} and trials {trials}: both must be above 0")
    check_settings(settings)
    require_extra("tune", "optuna")
    dataset = load_dataset(data_dir)
    window = find_window(dataset, "tune", holdout_days)
    dataset = dataset.until(window.stop)
    gate_metric = GATE_METRICS[metric]
    task = draw(gate_metric.task(dataset, window))
    if not len(task):
        raise DataError(f"{metric} has no query in the tuning window of {holdout_days} days")
    about = f"{config_fingerprint(base)} {dataset.fingerprint} {metric} {holdout_days}"
    search = _Search(dataset, window, task, gate_metric, base, settings, progress)
    study = _open(study_file, seed, about)
    if "base" not in study.user_attrs:
        progress("the original settings", 0.0)
        study.set_user_attr("base", search.values(base).tolist())
    search.run(study, minutes, trials)
    return _summary(study, search, metric)


def check_settings(settings: Mapping[str, Setting]) -> None:
    """Refuse unknown settings and ranges that are not valid for them."""
    known = {name: unwrap(kind)[0] for name, kind in setting_types(EngineConfig).items()}
    if not settings:
        raise ConfigError("no setting to search: name at least one")
    for name, setting in settings.items():
        kind = known.get(name)
        if not isinstance(kind, Number):
            near = get_close_matches(name, known, n=1)
            raise ConfigError(
                f"{name!r} is not a setting with a number" + (f": do you mean {near[0]!r}?" if near else "")
            )
        low, high = setting.low, setting.high
        if not (in_range(kind, low) and in_range(kind, high) and low < high):
            raise ConfigError(f"{name} from {low:g} to {high:g}: expected ascending numbers {range_text(kind)}")


def with_values(base: EngineConfig, values: Mapping[str, float]) -> EngineConfig:
    """Change some settings, by their keys."""
    document = json.loads(json.dumps(asdict(base)))
    for path, value in values.items():
        *tables, name = path.split(".")
        table = document
        for part in tables:
            table = table[part]
        table[name] = value
    return parse_config(document).engine


@dataclass(frozen=True)
class _Search:
    """One metric on one window, measured for many settings."""

    dataset: Dataset
    window: Window
    task: Task
    metric: GateMetric
    base: EngineConfig
    settings: Mapping[str, Setting]
    progress: Progress

    def values(self, config: EngineConfig) -> Values:
        """Return one value per query."""
        return measure(self.dataset, self.window, config, self.task, self.metric, silent)

    def run(self, study: optuna.Study, minutes: float, trials: int | None) -> None:
        """Try settings until the time or the trials are used up, or Ctrl-C."""
        n_before = len(study.trials)

        def report(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            done = len(study.trials) - n_before
            completed = _completed(study)
            best = f"{max(float(each.value or 0) for each in completed):.4f}" if completed else "none"
            share = done / trials if trials else done / (done + 10)
            self.progress(f"{done} tried, best {best}, before {np.mean(study.user_attrs['base']):.4f}", min(share, 1.0))

        with suppress(KeyboardInterrupt):
            study.optimize(self._try, n_trials=trials, timeout=60 * minutes, catch=(RecsysError,), callbacks=[report])
        self.progress("done", 1.0)

    def _try(self, trial: optuna.Trial) -> float:
        config = with_values(self.base, {name: _suggest(trial, name, each) for name, each in self.settings.items()})
        values = self.values(config)
        trial.set_user_attr("values", values.tolist())
        return float(values.mean())


def _suggest(trial: optuna.Trial, name: str, setting: Setting) -> float:
    if setting.kind is int:
        return trial.suggest_int(name, int(setting.low), int(setting.high), log=setting.log)
    return trial.suggest_float(name, setting.low, setting.high, log=setting.log)


def _open(study_file: Path | None, seed: int, about: str) -> optuna.Study:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("optuna").propagate = False
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(study_file))) if study_file else None
    n_before = 0
    if storage is not None:
        with suppress(KeyError):
            n_before = len(optuna.load_study(study_name=STUDY, storage=storage).trials)
    sampler = optuna.samplers.TPESampler(seed=seed + n_before)
    study = optuna.create_study(
        study_name=STUDY, storage=storage, sampler=sampler, direction="maximize", load_if_exists=True
    )
    if study.user_attrs.setdefault("about", about) != about:
        raise ConfigError(f"{study_file} is a study of another shop, settings or metric: name another --study")
    study.set_user_attr("about", about)
    return study


def _completed(study: optuna.Study) -> Sequence[optuna.trial.FrozenTrial]:
    return _trials(study, "COMPLETE")


def _trials(study: optuna.Study, state: str) -> Sequence[optuna.trial.FrozenTrial]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == state]


def _summary(study: optuna.Study, search: _Search, metric: str) -> TuneReport:
    completed = _completed(study)
    before = np.array(study.user_attrs["base"])
    best = max(completed, key=lambda trial: (float(trial.value or 0), -trial.number), default=None)
    after = np.array(best.user_attrs["values"]) if best else before
    base, found, difference = intervals(np.column_stack([before, after]), search.task)
    is_better = best is not None and difference.low > 0
    return TuneReport(
        config=with_values(search.base, best.params) if best is not None and is_better else search.base,
        is_better=is_better,
        metric=metric,
        n_trials=len(completed),
        n_failed=len(_trials(study, "FAIL")),
        base=base,
        best=found,
        difference=difference,
        changed=dict(best.params) if best else {},
    )
