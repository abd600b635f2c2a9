"""The job that looks for better settings, on the tuning window alone."""

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
from recsys.core.errors import ConfigError, DataError, RecsysError
from recsys.core.metrics import Interval, Values
from recsys.core.progress import Progress, silent
from recsys.core.ranges import Number, in_range, range_text, unwrap
from recsys.core.settings_table import setting_types
from recsys.data.dataset import Dataset, load_dataset
from recsys.evaluation.experiment import draw
from recsys.evaluation.splits import Window, find_window
from recsys.evaluation.tasks import Task
from recsys.fitting.engine import EngineConfig
from training.choices import DEFAULT_GATE_METRIC, DEFAULT_HOLDOUT_DAYS
from training.config import TrainingConfig, parse_config, render_config
from training.extras import require_extra
from training.gate import GATE_METRICS, GateMetric, ask, intervals

if TYPE_CHECKING:
    import optuna

STUDY: Final = "recsys"


@dataclass(frozen=True)
class Setting:
    """Where a setting is looked for; a whole number where both ends are."""

    low: float
    high: float
    log: bool = True

    @property
    def kind(self) -> type:
        """`int` or `float`."""
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
"""Settings that are tried if none are named."""


@dataclass(frozen=True)
class TuneReport:
    """What a search found.

    Attributes:
        config: the settings to train with: the best, or those that it began with where none is better.
        is_better: whether the best beats them by an interval clear of zero.
        metric: what was asked.
        n_trials: trials of the study that were judged, those of earlier runs included.
        n_failed: trials that failed.
        base: value of the settings that it began with.
        best: value of the best trial; of the base where there is none.
        difference: best less base, query by query.
        changed: settings of the best trial that were looked for.
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
        """Plain JSON values."""
        return asdict(self)

    def toml(self) -> str:
        """A file of settings that `recsys train --config` takes, and why they are what they are."""
        less = self.difference
        lines = [
            f"# {self.metric} on the tuning window, {self.n_trials} trials: {self.best.value:.4f}, before "
            f"{self.base.value:.4f};",
            f"# difference {less.value:+.4f}, 95 % interval {less.low:+.4f} to {less.high:+.4f}.",
        ]
        if not self.is_better:
            lines.append("# No trial is better clear of zero: these are the settings that it began with.")
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
    """Try settings, each judged by what was bought in the tuning window; the report window is never read.

    The search is a tree-structured Parzen estimator (Bergstra et al. 2011, NeurIPS), Optuna's. A trial that the models
    refuse counts as failed and the search goes on; Ctrl-C ends it with what was found.

    Args:
        data_dir: the folder that `ingest` wrote.
        base: settings to begin with; what is not looked for keeps its value.
        metric: one of `GATE_METRICS`.
        holdout_days: length of the window, in local days, >= 1.
        settings: what is looked for, by key path, from `SPACE` or elsewhere.
        minutes: time after which no further trial begins, > 0.
        trials: trials after which none begins, those of this run alone; None for as many as the time allows.
        study_file: keeps the study, so that a later run goes on where this one ended.
        seed: of the search, >= 0.
        progress: told of each trial.

    Raises:
        ConfigError: a metric or setting that does not exist, a study of another shop, base or question, or no Optuna.
        DataError: the tables cannot be used, or nobody can be asked.
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
    question = GATE_METRICS[metric]
    task = draw(question.ask(dataset, window))
    if not len(task):
        raise DataError(f"nobody can be asked {metric} in the tuning window of {holdout_days} days")
    about = f"{config_fingerprint(base)} {dataset.fingerprint} {metric} {holdout_days}"
    search = _Search(dataset, window, task, question, base, settings, progress)
    study = _open(study_file, seed, about)
    if "base" not in study.user_attrs:
        progress("the settings to begin with", 0.0)
        study.set_user_attr("base", search.values(base).tolist())
    search.run(study, minutes, trials)
    return _summary(study, search, metric)


def check_settings(settings: Mapping[str, Setting]) -> None:
    """Refuse settings that do not exist, and ranges that they may not have."""
    known = {name: unwrap(kind)[0] for name, kind in setting_types(EngineConfig).items()}
    if not settings:
        raise ConfigError("no setting is looked for: name at least one")
    for name, setting in settings.items():
        kind = known.get(name)
        if not isinstance(kind, Number):
            near = get_close_matches(name, known, n=1)
            raise ConfigError(f"{name!r} is no setting with a number" + (f": do you mean {near[0]!r}?" if near else ""))
        low, high = setting.low, setting.high
        if not (in_range(kind, low) and in_range(kind, high) and low < high):
            raise ConfigError(f"{name} from {low:g} to {high:g}: expected ascending numbers {range_text(kind)}")


def with_values(base: EngineConfig, values: Mapping[str, float]) -> EngineConfig:
    """The settings with some of them changed, by key path."""
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
    """One question, asked of many settings."""

    dataset: Dataset
    window: Window
    task: Task
    question: GateMetric
    base: EngineConfig
    settings: Mapping[str, Setting]
    progress: Progress

    def values(self, config: EngineConfig) -> Values:
        """A value a query."""
        return ask(self.dataset, self.window, config, self.task, self.question, silent)

    def run(self, study: optuna.Study, minutes: float, trials: int | None) -> None:
        """Try until the time, the trials or the patience is over."""
        n_before = len(study.trials)

        def tell(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            done = len(study.trials) - n_before
            judged = _judged(study)
            best = f"{max(float(each.value or 0) for each in judged):.4f}" if judged else "none"
            share = done / trials if trials else done / (done + 10)
            self.progress(f"{done} tried, best {best}, before {np.mean(study.user_attrs['base']):.4f}", min(share, 1.0))

        with suppress(KeyboardInterrupt):
            study.optimize(self._try, n_trials=trials, timeout=60 * minutes, catch=(RecsysError,), callbacks=[tell])
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
        raise ConfigError(f"{study_file} is the study of another shop, base or question: name another --study")
    study.set_user_attr("about", about)
    return study


def _judged(study: optuna.Study) -> Sequence[optuna.trial.FrozenTrial]:
    return _trials(study, "COMPLETE")


def _trials(study: optuna.Study, state: str) -> Sequence[optuna.trial.FrozenTrial]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == state]


def _summary(study: optuna.Study, search: _Search, metric: str) -> TuneReport:
    judged = _judged(study)
    before = np.array(study.user_attrs["base"])
    best = max(judged, key=lambda trial: (float(trial.value or 0), -trial.number), default=None)
    after = np.array(best.user_attrs["values"]) if best else before
    base, found, difference = intervals(np.column_stack([before, after]), search.task)
    is_better = best is not None and difference.low > 0
    return TuneReport(
        config=with_values(search.base, best.params) if best is not None and is_better else search.base,
        is_better=is_better,
        metric=metric,
        n_trials=len(judged),
        n_failed=len(_trials(study, "FAIL")),
        base=base,
        best=found,
        difference=difference,
        changed=dict(best.params) if best else {},
    )
