"""Metrics of lists: accuracy against what users did, and coverage of the catalog.

Every function takes lists as int32 (n_queries, k), rows of items, best first, -1 past the end of a short list, and
the relevant items as a CSR matrix of ones (n_queries, n_items). Accuracy is one value per query, so that methods
can be compared pair by pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

Lists = npt.NDArray[np.int32]
Values = npt.NDArray[np.float64]

N_RESAMPLES: Final = 1000
BLOCK: Final = 50
"""Resamples drawn at a time; bounds the memory."""


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval."""

    value: float
    low: float
    high: float


def find_hits(lists: Lists, relevant: sparse.csr_matrix) -> npt.NDArray[np.bool_]:
    """Whether each listed item is relevant, bool (n_queries, k)."""
    rows = np.broadcast_to(np.arange(len(lists))[:, None], lists.shape)
    hits = np.zeros(lists.shape, np.bool_)
    listed = lists >= 0
    if listed.any():  # SciPy answers an empty selection with a matrix
        hits[listed] = np.asarray(relevant[rows[listed], lists[listed]]).ravel() > 0
    return hits


def recall_at_k(lists: Lists, relevant: sparse.csr_matrix, k: int) -> Values:
    """`|list ∩ relevant| / |relevant|`: all relevant items count, even if they are more than `k`."""
    return find_hits(lists[:, :k], relevant).sum(axis=1) / np.maximum(_n_relevant(relevant), 1)


def precision_at_k(lists: Lists, relevant: sparse.csr_matrix, k: int) -> Values:
    """`|list ∩ relevant| / k`, also for lists shorter than `k`."""
    return find_hits(lists[:, :k], relevant).sum(axis=1) / k


def hit_rate_at_k(lists: Lists, relevant: sparse.csr_matrix, k: int) -> Values:
    """1 for lists with at least one relevant item, else 0."""
    return np.asarray(find_hits(lists[:, :k], relevant).any(axis=1).astype(np.float64))


def ndcg_at_k(lists: Lists, relevant: sparse.csr_matrix, k: int) -> Values:
    """`Σ hit_r / log₂(r + 1)` ÷ that of an ideal list of `min(k, |relevant|)` hits (binary gains).

    Reference:
        Järvelin & Kekäläinen (2002), Cumulated gain-based evaluation of IR techniques, TOIS.
    """
    return ndcg_of_hits(find_hits(lists[:, :k], relevant), _n_relevant(relevant), k)


def ndcg_of_hits(hits: npt.NDArray[np.bool_], n_relevant: npt.NDArray[np.integer], k: int) -> Values:
    """Compute nDCG@k from the positions of the hits; see `ndcg_at_k`.

    Args:
        hits: bool (n_queries, at most k), whether the item at each position is relevant, best position first.
        n_relevant: integer (n_queries,), relevant items of each query, listed or not.
        k: length of a full list, >= 1.

    Returns:
        float64 (n_queries,), in [0, 1]; 0 for queries without relevant items.

    >>> ndcg_of_hits(np.array([[True, False], [False, True]]), np.array([1, 3]), 2).round(3)
    array([1.   , 0.387])
    """
    gain: Values = np.dot(hits, discounts(k)[: hits.shape[1]])
    return gain / ideal_gains(n_relevant, k)


def discounts(k: int) -> Values:
    """Return what a hit at each position of a list adds to its discounted cumulative gain, float64 (k,)."""
    found: Values = 1 / np.log2(np.arange(2, k + 2))
    return found


def ideal_gains(n_relevant: npt.NDArray[np.integer], k: int) -> Values:
    """Return the discounted cumulative gain of the best list of each query, float64 (n_queries,); 1 without a hit."""
    found: Values = np.concatenate([[1.0], np.cumsum(discounts(k))])[np.minimum(n_relevant, k)]
    return found


def average_precision_at_k(lists: Lists, relevant: sparse.csr_matrix, k: int) -> Values:
    """`Σ_r hit_r · precision@r / min(k, |relevant|)`; its mean is MAP."""
    hits = find_hits(lists[:, :k], relevant)
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return (precision * hits).sum(axis=1) / np.maximum(np.minimum(_n_relevant(relevant), k), 1)


def long_tail_recall_at_k(lists: Lists, relevant: sparse.csr_matrix, k: int, is_tail: npt.NDArray[np.bool_]) -> Values:
    """Recall of the relevant items of the tail; NaN for queries that have none."""
    of_tail = (relevant @ sparse.diags_array(is_tail.astype(np.float64))).tocsr()
    of_tail.eliminate_zeros()
    n_tail = _n_relevant(of_tail)
    recall = recall_at_k(lists, of_tail, k)
    return np.where(n_tail > 0, recall, np.nan)


def tail_hit_rate_at_k(lists: Lists, relevant: sparse.csr_matrix, k: int, is_tail: npt.NDArray[np.bool_]) -> Values:
    """1 for lists with a relevant item of the tail, else 0; NaN for queries without relevant items of the tail."""
    recall = long_tail_recall_at_k(lists, relevant, k, is_tail)
    return np.where(np.isnan(recall), np.nan, recall > 0)


def ips_recall_at_k(lists: Lists, relevant: sparse.csr_matrix, k: int, share: npt.NDArray[np.float64]) -> Values:
    """`Σ 1/p_i` over the hits ÷ `Σ 1/p_i` over the relevant items: recall where every item counts by its rarity.

    Listing popular items to everybody finds many relevant items, and few that need a list. Weighting by the inverse
    propensity corrects for that.

    Args:
        lists: int32 (n_queries, k).
        relevant: CSR of ones (n_queries, n_items).
        k: items of a list that count, >= 1.
        share: p, float64 (n_items,), share of past baskets that contain the item; items with 0 do not count.

    Returns:
        float64 (n_queries,), in [0, 1]; NaN for queries without a relevant item that counts.

    Reference:
        Yang, Cui, Xuan, Wang, Belongie & Estrin (2018), Unbiased Offline Recommender Evaluation for
        Missing-Not-At-Random Implicit Feedback, RecSys.
    """
    weight = np.where(share > 0, 1 / np.maximum(share, 1e-300), 0.0)
    found = (find_hits(lists[:, :k], relevant) * weight[lists[:, :k]]).sum(axis=1)
    total = np.asarray(relevant @ weight, np.float64)
    return np.where(total > 0, found / np.where(total > 0, total, 1), np.nan)


def largest_exposure_at_k(lists: Lists, k: int, n_items: int) -> float:
    """Largest share of the lists that have one item among their first k; 0 without lists."""
    listed = lists[:, :k]
    return float(np.bincount(listed[listed >= 0], minlength=n_items).max(initial=0)) / max(len(lists), 1)


def head_share_at_k(lists: Lists, k: int, is_tail: npt.NDArray[np.bool_]) -> Values:
    """Share of the listed items that belong to the head; NaN for empty lists."""
    listed = lists[:, :k] >= 0
    in_head = listed & ~is_tail[lists[:, :k]]
    n_listed = listed.sum(axis=1)
    return np.where(n_listed > 0, in_head.sum(axis=1) / np.maximum(n_listed, 1), np.nan)


def novelty_at_k(lists: Lists, k: int, n_buyers: npt.NDArray[np.int32], n_users: int) -> Values:
    """Mean self-information `−log₂(buyers / users)` of the listed items; NaN for empty lists.

    Reference:
        Zhou et al. (2010), Solving the apparent diversity-accuracy dilemma, PNAS.
    """
    probability = np.clip(n_buyers / max(n_users, 1), 0.5 / max(n_users, 1), 1)
    return _mean_listed(lists[:, :k], -np.log2(probability))


def diversity_at_k(lists: Lists, k: int, embedding: npt.NDArray[np.float32]) -> Values:
    """Mean `1 − cosine` over the pairs of one list; NaN for lists of fewer than two.

    Args:
        lists: the lists.
        k: how many of each list count.
        embedding: float32 (n_items, n_dimensions), rows of length 1 or 0.
    """
    values = np.full(len(lists), np.nan)
    for query, row in enumerate(lists[:, :k]):
        vectors = embedding[row[row >= 0]]
        n = len(vectors)
        if n >= 2:
            similar = float(np.square(vectors.sum(axis=0)).sum() - np.square(vectors).sum())
            values[query] = 1 - similar / (n * (n - 1))
    return values


def coverage_at_k(lists: Lists, k: int) -> int:
    """How many distinct items the lists show."""
    shown = np.unique(lists[:, :k])
    return int((shown >= 0).sum())


def exposure_gini_at_k(lists: Lists, k: int, n_items: int) -> float:
    """Gini coefficient of how often items are shown: 0 if all alike, towards 1 if a few take all."""
    shown = lists[:, :k]
    counts = np.sort(np.bincount(shown[shown >= 0], minlength=n_items))
    total = counts.sum()
    if not total:
        return 0.0
    n = len(counts)
    return float((2 * np.arange(1, n + 1) - n - 1) @ counts / (n * total))


def bootstrap(values: Values, rng: np.random.Generator, n_resamples: int = N_RESAMPLES) -> Interval:
    """Mean and 95 % percentile interval over queries; NaNs are left out.

    Feed it the difference of two methods' values, query by query, for a paired comparison (Efron & Tibshirani 1993).
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return Interval(float("nan"), float("nan"), float("nan"))
    means = resampled_means(known[:, None], rng, n_resamples=n_resamples)[:, 0]
    return interval_of(float(known.mean()), means)


def resampled_means(
    values: Values,
    rng: np.random.Generator,
    unit: npt.NDArray[np.integer] | None = None,
    n_resamples: int = N_RESAMPLES,
) -> Values:
    """Means of columns when the units are drawn again with replacement, all columns by the same draw.

    Subtract two columns of the result for a paired comparison. Queries of one unit, such as the baskets of one
    user, are not independent: they are drawn together (Field & Welsh 2007, Bootstrapping clustered data).

    Args:
        values: float64 (n_queries, n_columns), NaN where a query has no value.
        rng: draws.
        unit: int (n_queries,), what each query belongs to; each query is its own if not given.
        n_resamples: how many draws, >= 1.

    Returns:
        float64 (n_resamples, n_columns), NaN for a draw without values.
    """
    unit = np.arange(len(values)) if unit is None else np.unique(unit, return_inverse=True)[1]
    n_units = int(unit.max(initial=-1)) + 1
    members = sparse.csr_matrix((np.ones(len(unit)), (unit, np.arange(len(unit)))), shape=(n_units, len(unit)))
    known = ~np.isnan(values)
    sums, counts = members @ np.where(known, values, 0), members @ known.astype(np.float64)
    means = np.full((n_resamples, values.shape[1]), np.nan)
    for start in range(0, n_resamples if n_units else 0, BLOCK):
        n_draws = min(BLOCK, n_resamples - start)
        drawn = rng.integers(n_units, size=(n_draws, n_units)) + n_units * np.arange(n_draws)[:, None]
        times = np.bincount(drawn.ravel(), minlength=n_draws * n_units).reshape(n_draws, n_units).astype(np.float64)
        weight = times @ counts
        np.divide(times @ sums, weight, out=means[start : start + n_draws], where=weight > 0)
    return means


def interval_of(value: float, resampled: Values) -> Interval:
    """A figure with the 95 % percentile interval of its resamples; NaNs are left out."""
    known = resampled[~np.isnan(resampled)]
    if not len(known):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(known, (0.025, 0.975))
    return Interval(value, float(low), float(high))


def auc(positive: Values, negative: Values) -> float:
    """Probability that a positive score lies above a negative one, ties counting half (Mann & Whitney 1947)."""
    if not len(positive) or not len(negative):
        return float("nan")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    level = np.searchsorted(ordered, positive, side="right") - below
    return float((below + level / 2).mean() / len(ordered))


def _n_relevant(relevant: sparse.csr_matrix) -> npt.NDArray[np.int64]:
    return np.diff(relevant.indptr)


def _mean_listed(lists: Lists, value_of_item: Values) -> Values:
    listed = lists >= 0
    total = np.where(listed, value_of_item[lists], 0).sum(axis=1)
    n_listed = listed.sum(axis=1)
    return np.where(n_listed > 0, total / np.maximum(n_listed, 1), np.nan)
