"""What every protocol works on, and the one shape of what it finds: a value for each query, method and metric."""

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
"""Queries of a question; of more, as many are drawn."""

HISTORY_STEPS: Final = (1, 2, 5, 20, 100)
"""Fewest baskets of each length of history that figures are told for."""

Masks = Mapping[str, npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Experiment:
    """A shop cut at a window, and the models fitted on the past.

    Attributes:
        dataset: the shop up to the window's end, future included; only tasks may look at it.
        window: the judged span.
        engine: fitted on what came before the window.
        past: the same for baselines.
        progress: receives the progress of lists.
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
        """Fit on the past of a window, telling the stages; what comes after the window is not looked at."""
        known = dataset.until(window.start)
        engine = fit_engine(known, config, now=window.start, progress=progress)
        return cls(dataset.until(window.stop), window, engine, TrainingSlice(known, window.start), progress)

    @cached_property
    def rolling_engine(self) -> Engine:
        """The models of the past with everybody's events up to the end; a request sees those before its moment."""
        return replace(self.engine, history=build_history(self.dataset, self.engine.config.history))

    @cached_property
    def rolling_task(self) -> Task:
        """Every basket of a known shopper."""
        return draw(tasks.rolling(self.dataset, self.window))

    @cached_property
    def rolling_for_you(self) -> Lists:
        """`for_you` just before each of these baskets."""
        return served_lists(self.rolling_engine, self.rolling_task, "for_you", N_LISTED, self.progress)

    def served(self, task: Task, placement: str) -> Lists:
        """The lists that the engine serves."""
        return served_lists(self.engine, task, placement, N_LISTED, self.progress)

    @cached_property
    def n_baskets(self) -> npt.NDArray[np.int64]:
        """Baskets of each shopper before the window, int64 (n_users,)."""
        events = self.past.events
        _, first = np.unique(events.basket_idx, return_index=True)
        return np.bincount(events.user_idx[first], minlength=len(self.dataset.users))

    def segments(self, task: Task) -> dict[str, Masks]:
        """Parts of a task to tell apart: by `history` and by `hour`, the queries of each, bool (n_queries,)."""
        parts: dict[str, Masks] = {}
        if (task.user_idx != ANONYMOUS).all():
            parts["history"] = dict(_by_history(self.n_baskets[task.user_idx]))
        if self.engine.timeofday.is_fitted and (task.hour >= 0).any():
            parts["hour"] = dict(by_hour(self.engine, task))
        return {kind: {name: mask for name, mask in masks.items() if mask.any()} for kind, masks in parts.items()}


@dataclass(frozen=True)
class QuestionResults:
    """The outcome of one question; a protocol asks one or more.

    Attributes:
        treatments: the methods that are judged; all others are baselines.
        primary_metric: the metric that decides.
        values: by method and metric, float64 (n_queries,), NaN where the query has none.
        lists: by method, int32 (n_queries, k); empty where no list is judged.
        task: the queries; None where items are asked about, not lists.
        totals: by method and metric, figures of all lists together.
        segments: by kind and name, the queries of a part.
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
        """How many queries were asked."""
        return len(next(iter(self.values[self.treatments[0]].values())))

    @property
    def unit(self) -> npt.NDArray[np.integer]:
        """What is drawn together when intervals are estimated: a shopper's queries; of nobody, each query alone."""
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
) -> QuestionResults:
    """Measure the lists of every method for one task."""
    n_items, prefix = len(experiment.dataset.items), "acc_" if primary_metric.startswith("acc_") else ""
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
    """A task of at most `MAX_QUERIES`, the same ones each time."""
    if len(task) <= MAX_QUERIES:
        return task
    return task.take(np.sort(np.random.default_rng(0).choice(len(task), MAX_QUERIES, replace=False)))


def by_hour(engine: Engine, task: Task) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Each part of the day, as `05-10h`, and the queries in it."""
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
