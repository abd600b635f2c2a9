"""An experiment: a shop cut at a window with models of its past, and the results of a question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core import metrics
from recsys.core.metrics import Lists, Values
from recsys.core.progress import Progress, silent
from recsys.data.dataset import Dataset
from recsys.data.history import build_history
from recsys.evaluation import tasks
from recsys.evaluation.baselines import TrainingSlice
from recsys.evaluation.methods import served_lists
from recsys.evaluation.splits import Window
from recsys.evaluation.tasks import ANONYMOUS, Task
from recsys.fitting.engine import Engine, EngineConfig
from recsys.ranking.fit import fit_engine

N_LISTED: Final = 20
MAX_QUERIES: Final = 20_000
"""Most queries per question; of more, a random sample is evaluated."""

HISTORY_STEPS: Final = (1, 2, 5, 20, 100)
"""Fewest baskets of each segment by length of history."""

Masks = Mapping[str, npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Experiment:
    """A shop cut at a window, and the models fitted on its past.

    Attributes:
        dataset: the shop up to the end of the window; only tasks may read its events in the window.
        window: the evaluated period.
        engine: fitted on events before the window.
        past: the same events, for baselines.
        progress: receives the progress.
    """

    dataset: Dataset
    window: Window
    engine: Engine
    past: TrainingSlice
    progress: Progress = silent

    @classmethod
    def cut(
        cls,
        dataset: Dataset,
        window: Window,
        config: EngineConfig,
        progress: Progress = silent,
    ) -> Experiment:
        """Fit the models on the past of a window; events after the window are ignored.

        Args:
            dataset: the shop.
            window: the evaluated period.
            config: settings of the models.
            progress: receives the progress of the fit and of the lists.

        Returns:
            The experiment.
        """
        known = dataset.until(window.start)
        engine = fit_engine(known, config, now=window.start, progress=progress)
        return cls(dataset.until(window.stop), window, engine, TrainingSlice(known, window.start), progress)

    @cached_property
    def rolling_engine(self) -> Engine:
        """The same models with all histories up to the end; a request reads only events before its own moment."""
        return replace(self.engine, history=build_history(self.dataset, self.engine.config.history))

    @cached_property
    def rolling_task(self) -> Task:
        """Every basket of a known user in the window."""
        return draw(tasks.rolling(self.dataset, self.window))

    @cached_property
    def rolling_for_you(self) -> Lists:
        """Lists of `for_you` just before each of these baskets."""
        return served_lists(self.rolling_engine, self.rolling_task, "for_you", N_LISTED, self.progress)

    def served(self, task: Task, placement: str) -> Lists:
        """Return the lists that the engine serves, int32 (n_queries, N_LISTED)."""
        return served_lists(self.engine, task, placement, N_LISTED, self.progress)

    @cached_property
    def n_baskets(self) -> npt.NDArray[np.int64]:
        """Number of baskets of each user before the window, int64 (n_users,)."""
        events = self.past.events
        _, first = np.unique(events.basket_idx, return_index=True)
        return np.bincount(events.user_idx[first], minlength=len(self.dataset.users))

    def segments(self, task: Task) -> dict[str, Masks]:
        """Group the queries of a task by `history` and by `hour`, one mask per segment, bool (n_queries,)."""
        parts: dict[str, Masks] = {}
        if (task.user_idx != ANONYMOUS).all():
            parts["history"] = dict(_by_history(self.n_baskets[task.user_idx]))
        if self.engine.timeofday.is_fitted and (task.hour >= 0).any():
            parts["hour"] = dict(by_hour(self.engine, task))
        return {kind: {name: mask for name, mask in masks.items() if mask.any()} for kind, masks in parts.items()}


@dataclass(frozen=True)
class QuestionResults:
    """Results of one question; a protocol has one question or more.

    Attributes:
        treatments: the evaluated methods; all others are baselines.
        primary_metric: the metric that decides.
        values: by method and metric, float64 (n_queries,), NaN for queries without a value.
        lists: by method, int32 (n_queries, k); empty if the question is not about lists.
        task: the queries; None if the queries are items.
        totals: by method and metric, metrics of all lists together.
        segments: by kind and name, the queries of a segment.
    """

    treatments: tuple[str, ...]
    primary_metric: str
    values: Mapping[str, Mapping[str, Values]]
    lists: Mapping[str, Lists] = field(default_factory=dict)
    task: Task | None = None
    totals: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    segments: Mapping[str, Masks] = field(default_factory=dict)

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return len(next(iter(self.values[self.treatments[0]].values())))

    @property
    def unit(self) -> npt.NDArray[np.integer]:
        """Resampling unit of each query, see `Task.unit`; each query is its own unit if the queries are items."""
        return np.arange(self.n_queries) if self.task is None else self.task.unit


Measure = Callable[[Experiment, Task, Lists], dict[str, Values]]


def score_lists(
    experiment: Experiment,
    task: Task,
    lists: Mapping[str, Lists],
    measure: Measure,
    *,
    treatments: tuple[str, ...],
    primary_metric: str,
    prefix: str = "",
) -> QuestionResults:
    """Compute the metrics of every method's lists for one task.

    Args:
        experiment: the models.
        task: the queries.
        lists: by method, int32 (n_queries, k).
        measure: computes the metrics of one method, one value per query.
        treatments: the evaluated methods.
        primary_metric: the metric that decides.
        prefix: of the names of the metrics of all lists together, where a protocol has two questions.

    Returns:
        The results.
    """
    n_items = len(experiment.dataset.items)
    totals = {
        name: {
            f"{prefix}coverage@{N_LISTED}": float(metrics.coverage_at_k(rows, N_LISTED)),
            f"{prefix}gini@{N_LISTED}": metrics.exposure_gini_at_k(rows, N_LISTED, n_items),
        }
        for name, rows in lists.items()
    }
    values = {name: measure(experiment, task, rows) for name, rows in lists.items()}
    return QuestionResults(treatments, primary_metric, values, lists, task, totals, experiment.segments(task))


def draw(task: Task) -> Task:
    """Return a sample of at most `MAX_QUERIES` queries, the same ones at each call."""
    if len(task) <= MAX_QUERIES:
        return task
    return task.take(np.sort(np.random.default_rng(0).choice(len(task), MAX_QUERIES, replace=False)))


def by_hour(engine: Engine, task: Task) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Yield each part of the day, as `05-10h`, with a mask of its queries, bool (n_queries,)."""
    model = engine.timeofday
    bucket = np.where(task.hour >= 0, model.bucket_of_hour[task.hour], -1)
    for part in range(len(model.bucket_share)):
        first, last = model.hours(part)
        yield f"{first:02d}-{last:02d}h", bucket == part


def _by_history(n_baskets: npt.NDArray[np.int64]) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    for step, fewest in enumerate(HISTORY_STEPS):
        most = HISTORY_STEPS[step + 1] - 1 if step + 1 < len(HISTORY_STEPS) else None
        inside = (n_baskets >= fewest) & (n_baskets <= (n_baskets.max(initial=0) if most is None else most))
        name = f"{fewest}+" if most is None else str(fewest) if most == fewest else f"{fewest}-{most}"
        yield f"{name} baskets", inside
