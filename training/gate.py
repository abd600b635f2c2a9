"""The gate before a bundle is activated: changed settings against the current ones, on held-out data.

`training.new_data` is its part for new data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import numpy as np

from recsys.core import metrics
from recsys.core.config.ranges import PositiveInt, Share
from recsys.core.errors import DataError
from recsys.core.metrics import Interval, Values, interval_of, resampled_means
from recsys.core.progress import Progress, silent
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
    """A metric of the gate: a task, the list that is measured, and the measure.

    Attributes:
        task: makes the queries of a window.
        placement: the list.
        measure: metric of lists at a length.
        k: the length.
    """

    task: Callable[[Dataset, Window], Task]
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
"""Metrics of the gate, by the name that `recsys evaluate` writes."""


@dataclass(frozen=True)
class GateConfig:
    """Settings of the gate.

    Attributes:
        enabled: whether changed settings must be at least as good as the current ones before they serve, and lists
            learned from new data not far worse.
        metric: the metric that decides.
        holdout_days: days at the end of the data that are held out for the comparison of settings.
        max_shrink: largest share of the events, users or items of the current bundle that new data may lack.
        max_metric_fall: largest share by which the metric of a list on held-out requests may fall with new data.
    """

    enabled: bool = True
    metric: GateMetricName = DEFAULT_GATE_METRIC
    holdout_days: PositiveInt = DEFAULT_HOLDOUT_DAYS
    max_shrink: Share = 0.5
    max_metric_fall: Share = 0.3


@dataclass(frozen=True)
class GateResult:
    """The result of the gate.

    Attributes:
        decision: `refused` where the interval of the difference is below zero, `overridden` where it is and the bundle
            is activated anyway, `skipped` where nothing was compared.
        why: why the gate was skipped, else "".
        figures: metric, holdout, number of queries, both values and their difference; empty where skipped.
    """

    decision: Decision
    why: str
    figures: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values, for the manifest."""
        return asdict(self)

    def sentence(self, version: str) -> str:
        """Write why a bundle was refused, with the remedies."""
        new, current, change = (self.figures[name] for name in ("new", "current", "difference"))
        is_of_data = "data_of" in self.figures
        what, remedy = ("new data", "Check the export") if is_of_data else ("settings", "Change the settings")
        return (
            f"{version} is written and not activated: on {self.figures['metric']} its {what} reach "
            f"{new['value']:.4f}, the current ones {current['value']:.4f} (difference {change['value']:+.4f}, 95 % "
            f"interval {change['low']:+.4f} to {change['high']:+.4f}, {self.figures['n_queries']} queries). {remedy}, "
            f"train with --activate-worse, or run `recsys models activate {version}`"
        )


def skipped(why: str) -> GateResult:
    """Return the result of a gate that compared nothing."""
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
    """Fit both settings on the data before the last `holdout_days`, and measure both on these days.

    Args:
        dataset: the whole shop.
        current: settings of the current bundle.
        new: settings of the new bundle.
        gate: metric and length of the holdout.
        activate_worse: whether a worse bundle is activated anyway.
        progress: receives the stages.
    """
    metric = GATE_METRICS[gate.metric]
    try:
        window = find_window(dataset, "report", gate.holdout_days)
    except DataError as error:
        return skipped(str(error))
    task = draw(metric.task(dataset, window))
    if not len(task):
        return skipped(f"{gate.metric} has no query in the last {gate.holdout_days} days")
    values = [
        measure(dataset, window, config, task, metric, _prefixed(progress, f"gate, {name} settings"))
        for name, config in (("current", current), ("new", new))
    ]
    old, found, difference = intervals(np.column_stack(values), task)
    is_worse = difference.high < 0
    decision: Decision = "passed" if not is_worse else "overridden" if activate_worse else "refused"
    moments = {name: datetime.fromtimestamp(second, UTC).isoformat() for name, second in vars(window).items()}
    figures = {"metric": gate.metric, "holdout": moments, "n_queries": len(task)}
    measured = {"new": asdict(found), "current": asdict(old), "difference": asdict(difference)}
    return GateResult(decision, "", figures | measured)


def _prefixed(progress: Progress, prefix: str) -> Progress:
    return lambda stage, share=0.0: progress(f"{prefix}: {stage}", share)


def measure(
    dataset: Dataset, window: Window, config: EngineConfig, task: Task, metric: GateMetric, progress: Progress
) -> Values:
    """Fit settings and return one value per query; the models are released on return."""
    experiment = Experiment.cut(dataset, window, config, progress=progress)
    return metric.measure(experiment.served(task, metric.placement), task.relevant, metric.k)


def intervals(values: Values, task: Task) -> tuple[Interval, Interval, Interval]:
    """Return the intervals of the current settings, of the new ones and of the difference, by the same resamples."""
    means = resampled_means(values, np.random.default_rng(0), task.unit)
    mean = values.mean(axis=0)
    current, new = (interval_of(float(mean[column]), means[:, column]) for column in (0, 1))
    return current, new, interval_of(float(mean[1] - mean[0]), means[:, 1] - means[:, 0])
