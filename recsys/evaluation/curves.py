"""What one figure cannot tell: what the long-tail dial costs at each setting, and what a score is worth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core import metrics
from recsys.core.metrics import Interval, Lists, Values, interval_of, resampled_means
from recsys.core.placements import PLACEMENTS
from recsys.evaluation.experiment import N_LISTED, Experiment, QuestionResults
from recsys.evaluation.methods import served_lists, served_rankings
from recsys.evaluation.tasks import Task

TAIL_DISCOUNTS: Final = (0.0, 0.1, 0.2, 0.35, 0.5, 0.7)
MAX_SWEEP_QUERIES: Final = 600
MAX_SCORE_QUERIES: Final = 2000
N_SCORE_BINS: Final = 10


@dataclass(frozen=True)
class TradeoffPoint:
    """How good lists for discovery are, and how far from the head.

    Attributes:
        method: a placement or a baseline.
        tail_discount: the dial's setting; None for what has no such dial.
        is_served: whether callers get it as it is.
        ndcg: nDCG@20.
        tail_share: share of the listed items that belong to the tail, 0 to 1.
        long_tail_recall: recall@20 of the relevant items of the tail; NaN if there are none.
        coverage: distinct items in all lists.
    """

    method: str
    tail_discount: float | None
    is_served: bool
    ndcg: Interval
    tail_share: Interval
    long_tail_recall: Interval
    coverage: int


@dataclass(frozen=True)
class ScoreBin:
    """Listed items whose scores are alike.

    Attributes:
        low: the lowest score.
        high: the highest.
        n_items: how many were listed.
        precision: the share of them that was taken, drawn by shopper.
    """

    low: float
    high: float
    n_items: int
    precision: Interval


def sweep_tail_discount(
    experiment: Experiment, results: QuestionResults, tail_discounts: tuple[float, ...] = TAIL_DISCOUNTS
) -> list[TradeoffPoint]:
    """Serve `discover` at each setting of its popularity discount, beside what `discovery` results already.

    All methods answer the same part of the queries, and share the draws of their intervals.

    Args:
        experiment: the models.
        results: the outcome of `discovery`.
        tail_discounts: β, >= 0 each; the one that is served is added.

    Returns:
        The settings in order, then all others as they stand.
    """
    assert results.task is not None, "discovery asks about shoppers"
    chosen = _sample(results.n_queries, MAX_SWEEP_QUERIES)
    task, served = results.task.take(chosen), PLACEMENTS["discover"]
    points = []
    for discount in sorted({*tail_discounts, served.tail_discount}):
        placement = replace(served, tail_discount=discount)
        lists = served_lists(experiment.engine, task, placement, N_LISTED, experiment.progress)
        point = _point(experiment, task, served.name, lists)
        points.append(replace(point, tail_discount=discount, is_served=discount == served.tail_discount))
    for method, rows in results.lists.items():
        if method != served.name:
            points.append(
                replace(_point(experiment, task, method, rows[chosen]), is_served=method in results.treatments)
            )
    return points


def calibration_bins(
    experiment: Experiment, task: Task, placement: str = "for_you", n_bins: int = N_SCORE_BINS
) -> list[ScoreBin]:
    """How often a listed item was taken, by its score.

    The bins are quantiles, so that each holds as many items; lists of the fallback, scored on another scale, are left
    out. Precise scores rise from bin to bin.

    Args:
        experiment: the models.
        task: the queries.
        placement: which list.
        n_bins: how many bins; fewer where scores are few or tied.

    Returns:
        Bins by rising score; none where nothing was listed.
    """
    task = task.take(_sample(len(task), MAX_SCORE_QUERIES))
    lists = np.full((len(task), N_LISTED), -1, np.int32)
    scores = np.full(lists.shape, np.nan)
    for idx, found in enumerate(served_rankings(experiment.engine, task, placement, N_LISTED, experiment.progress)):
        if not found.fallback_used:
            lists[idx, : len(found.item_idx)] = found.item_idx
            scores[idx, : len(found.score)] = found.score
    is_listed = lists >= 0
    if not is_listed.any():
        return []
    hits = metrics.find_hits(lists, task.relevant)
    edges = np.unique(np.quantile(scores[is_listed], np.arange(1, n_bins) / n_bins))
    part = np.searchsorted(edges, scores, side="right")
    bins = []
    for inside in (is_listed & (part == number) for number in range(len(edges) + 1)):
        if inside.any():
            precision = _share(hits & inside, inside, task)
            low, high = float(scores[inside].min()), float(scores[inside].max())
            bins.append(ScoreBin(low, high, int(inside.sum()), precision))
    return bins


def _point(experiment: Experiment, task: Task, method: str, lists: Lists) -> TradeoffPoint:
    is_tail = experiment.engine.is_tail
    values = (
        metrics.ndcg_at_k(lists, task.relevant, N_LISTED),
        1 - metrics.head_share_at_k(lists, N_LISTED, is_tail),
        metrics.long_tail_recall_at_k(lists, task.relevant, N_LISTED, is_tail),
    )
    means = resampled_means(np.column_stack(values), np.random.default_rng(0), task.user_idx)
    ndcg, tail_share, recall = (interval_of(_mean(value), means[:, idx]) for idx, value in enumerate(values))
    return TradeoffPoint(method, None, False, ndcg, tail_share, recall, metrics.coverage_at_k(lists, N_LISTED))


def _share(hits: npt.NDArray[np.bool_], inside: npt.NDArray[np.bool_], task: Task) -> Interval:
    """Hits as a share of the items inside, shoppers drawn with all of their items."""
    counts = np.column_stack([hits.sum(axis=1), inside.sum(axis=1)]).astype(np.float64)
    means = resampled_means(counts, np.random.default_rng(0), task.user_idx)
    ratio = np.full(len(means), np.nan)
    np.divide(means[:, 0], means[:, 1], out=ratio, where=means[:, 1] > 0)
    return interval_of(float(counts[:, 0].sum() / counts[:, 1].sum()), ratio)


def _mean(value: Values) -> float:
    return float(np.nanmean(value)) if not np.isnan(value).all() else float("nan")


def _sample(n: int, most: int) -> npt.NDArray[np.int64]:
    """At most so many of n places, in order, the same ones each time."""
    return np.sort(np.random.default_rng(0).choice(n, min(n, most), replace=False))
