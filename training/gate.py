"""The gate before a bundle serves: new settings against those that serve, on answers that neither has seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import numpy as np

from recsys.core import metrics
from recsys.core.errors import DataError
from recsys.core.metrics import Interval, Values, interval_of, resampled_means
from recsys.core.progress import Progress, silent
from recsys.core.ranges import PositiveInt
from recsys.data.dataset import Dataset
from recsys.evaluation import tasks
from recsys.evaluation.experiment import Experiment, draw
from recsys.evaluation.splits import Window, find_window
from recsys.evaluation.tasks import Task
from recsys.fitting.engine import EngineConfig
from training.choices import DEFAULT_GATE_METRIC, DEFAULT_HOLDOUT_DAYS, GateMetricName

Decision = Literal["passed", "refused", "overridden", "skipped"]
Measure = Callable[[metrics.Lists, Any, int], Values]


@dataclass(frozen=True)
class GateMetric:
    """What the gate can ask: a task, the list that answers it, and how the answer is measured."""

    ask: Callable[[Dataset, Window], Task]
    placement: str
    measure: Measure
    k: int


GATE_METRICS: Final[Mapping[str, GateMetric]] = {
    "next_basket.recall@10": GateMetric(tasks.next_basket, "for_you", metrics.recall_at_k, 10),
    "next_basket.ndcg@10": GateMetric(tasks.next_basket, "for_you", metrics.ndcg_at_k, 10),
    "discovery.ndcg@20": GateMetric(tasks.discovery, "discover", metrics.ndcg_at_k, 20),
    "complements.hit_rate@10": GateMetric(
        lambda dataset, window: tasks.completion(dataset, window, np.random.default_rng(0)),
        "bought_together",
        metrics.hit_rate_at_k,
        10,
    ),
}
"""By the name of the metric, as `recsys evaluate` writes it."""


@dataclass(frozen=True)
class GateConfig:
    """Settings of the gate.

    Attributes:
        enabled: whether changed settings must be at least as good as the current ones before they serve.
        metric: the metric that decides.
        holdout_days: days at the end of the data that are held out for the comparison.
    """

    enabled: bool = True
    metric: GateMetricName = DEFAULT_GATE_METRIC
    holdout_days: PositiveInt = DEFAULT_HOLDOUT_DAYS


@dataclass(frozen=True)
class GateResult:
    """What the gate found.

    Attributes:
        decision: `refused` where the interval of the difference lies below zero, `overridden` where it does and the
            bundle serves all the same, `skipped` where nothing was compared.
        why: of a gate that was skipped, else "".
        figures: of a comparison: the metric, the holdout, the number of queries, both values and their difference.
    """

    decision: Decision
    why: str
    figures: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for the manifest."""
        return asdict(self)

    def sentence(self, version: str) -> str:
        """Why a bundle was refused, and what to do about it."""
        new, current, less = (self.figures[name] for name in ("new", "current", "difference"))
        return (
            f"{version} is written and does not serve: on {self.figures['metric']} its settings reach "
            f"{new['value']:.4f}, those that serve {current['value']:.4f} (difference {less['value']:+.4f}, 95 % "
            f"interval {less['low']:+.4f} to {less['high']:+.4f}, {self.figures['n_queries']} queries). Change the "
            f"settings, train with --activate-worse, or `recsys models activate {version}`"
        )


def skipped(why: str) -> GateResult:
    """Nothing was compared."""
    return GateResult("skipped", why, {})


def compare(
    dataset: Dataset,
    current: EngineConfig,
    new: EngineConfig,
    gate: GateConfig,
    *,
    activate_worse: bool = False,
    progress: Progress = silent,
) -> GateResult:
    """Fit both settings on what came before the latest `holdout_days`, and ask both what came in them.

    Args:
        dataset: the whole shop.
        current: settings of the bundle that serves.
        new: settings of the one that would.
        gate: what is asked.
        activate_worse: whether a worse one serves all the same.
        progress: told the stages.
    """
    question = GATE_METRICS[gate.metric]
    try:
        window = find_window(dataset, "report", gate.holdout_days)
    except DataError as error:
        return skipped(str(error))
    task = draw(question.ask(dataset, window))
    if not len(task):
        return skipped(f"nobody can be asked {gate.metric} in the last {gate.holdout_days} days")
    values = [
        ask(dataset, window, config, task, question, _named(progress, f"gate, {who} settings"))
        for who, config in (("current", current), ("new", new))
    ]
    old, found, difference = intervals(np.column_stack(values), task)
    is_worse = difference.high < 0
    decision: Decision = "passed" if not is_worse else "overridden" if activate_worse else "refused"
    moments = {name: datetime.fromtimestamp(second, UTC).isoformat() for name, second in vars(window).items()}
    figures = {"metric": gate.metric, "holdout": moments, "n_queries": len(task)}
    told = {"new": asdict(found), "current": asdict(old), "difference": asdict(difference)}
    return GateResult(decision, "", figures | told)


def _named(progress: Progress, who: str) -> Progress:
    return lambda stage, share=0.0: progress(f"{who}: {stage}", share)


def ask(
    dataset: Dataset, window: Window, config: EngineConfig, task: Task, question: GateMetric, progress: Progress
) -> Values:
    """A value a query; the models are gone when it returns."""
    experiment = Experiment.cut(dataset, window, config, progress=progress)
    return question.measure(experiment.served(task, question.placement), task.relevant, question.k)


def intervals(values: Values, task: Task) -> tuple[Interval, Interval, Interval]:
    """Of the current settings, of the new ones, and of the new less the current, by the same draws."""
    means = resampled_means(values, np.random.default_rng(0), task.unit)
    mean = values.mean(axis=0)
    current, new = (interval_of(float(mean[place]), means[:, place]) for place in (0, 1))
    return current, new, interval_of(float(mean[1] - mean[0]), means[:, 1] - means[:, 0])
