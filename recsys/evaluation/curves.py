"""Curves: the trade-off of the long-tail setting, and the calibration of scores."""

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
    """Accuracy of the lists of one method, and their share of the tail.

    Attributes:
        method: a placement or a baseline.
        tail_discount: popularity discount of the placement; None for methods without it.
        is_served: whether the placement is served with this setting.
        ndcg: nDCG@20.
        tail_share: share of listed items in the tail, in [0, 1].
        long_tail_recall: recall@20 of relevant items in the tail; NaN without such items.
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
    """Listed items with scores in one range.

    Attributes:
        low: lowest score.
        high: highest score.
        n_items: number of listed items.
        precision: share of them that was bought, with an interval over users.
    """

    low: float
    high: float
    n_items: int
    precision: Interval


def sweep_tail_discount(
    experiment: Experiment, results: QuestionResults, tail_discounts: tuple[float, ...] = TAIL_DISCOUNTS
) -> list[TradeoffPoint]:
    """Serve `discover` at each setting of its popularity discount, and compare with the methods of `discovery`.

    All methods answer the same sample of the queries, and their intervals use the same resamples.

    Args:
        experiment: the models.
        results: results of `discovery`.
        tail_discounts: β, >= 0 each; the served setting is added.

    Returns:
        The settings in ascending order, then the other methods.
    """
    assert results.task is not None, "discovery has queries of users"
    chosen = _sample(results.n_queries, MAX_SWEEP_QUERIES)
    task, served = results.task.take(chosen), PLACEMENTS["discover"]
    points = []
    blends = experiment.engine.blends
    own = blends.new.tail_discount if blends.new.is_fitted else served.tail_discount
    for discount in sorted({*tail_discounts, own}):
        placement = replace(served, tail_discount=discount)
        engine = replace(experiment.engine, blends=replace(blends, new=replace(blends.new, tail_discount=discount)))
        lists = served_lists(engine, task, placement, N_LISTED, experiment.progress)
        point = _point(experiment, task, served.name, lists)
        points.append(replace(point, tail_discount=discount, is_served=discount == own))
    for method, rows in results.lists.items():
        if method != served.name:
            points.append(
                replace(_point(experiment, task, method, rows[chosen]), is_served=method in results.treatments)
            )
    return points


def calibration_bins(
    experiment: Experiment, task: Task, placement: str = "for_you", n_bins: int = N_SCORE_BINS
) -> list[ScoreBin]:
    """Compute how often a listed item was bought, by its score.

    The bins are quantiles, so that all contain about as many items. Lists of the fallback are left out, as their scores
    have another scale. The precision of well-calibrated scores rises from bin to bin.

    Args:
        experiment: the models.
        task: the queries.
        placement: the list.
        n_bins: number of bins, >= 1; fewer if scores are few or tied.

    Returns:
        Bins by ascending score; none if no item was listed.
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
    """Compute hits as a share of the items in a bin; users are resampled with all of their items."""
    counts = np.column_stack([hits.sum(axis=1), inside.sum(axis=1)]).astype(np.float64)
    means = resampled_means(counts, np.random.default_rng(0), task.user_idx)
    ratio = np.full(len(means), np.nan)
    np.divide(means[:, 0], means[:, 1], out=ratio, where=means[:, 1] > 0)
    return interval_of(float(counts[:, 0].sum() / counts[:, 1].sum()), ratio)


def _mean(value: Values) -> float:
    return float(np.nanmean(value)) if not np.isnan(value).all() else float("nan")


def _sample(n: int, most: int) -> npt.NDArray[np.int64]:
    """Return at most `most` of `n` rows, ascending, the same ones at each call."""
    return np.sort(np.random.default_rng(0).choice(n, min(n, most), replace=False))
