"""Popularity: each item's share of sales, its trend, and the head of best-selling items."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
from msgspec import Meta
from scipy import sparse

from recsys.core.config.ranges import PositiveFloat
from recsys.data.dataset import DAY_S, Dataset
from recsys.models.arrays import count_distinct_users, shrink

MOMENTUM_DAYS: Final = (3.5, 7.0, 28.0)
"""Half-lives of the recent share, in days, from days to weeks."""

REFERENCE_DAYS: Final = 120.0
MOMENTUM_SHRINKAGE: Final = 10.0
MAX_MOMENTUM: Final = 10.0


@dataclass(frozen=True)
class PopularityConfig:
    """Settings of the popularity model.

    Attributes:
        half_life_days: age in days at which a purchase has half its weight.
        trend_days: length in days of the recent span that the trend compares with the time before it.
        trend_shrinkage: pseudo-purchases that pull the trend of rare items to 1.
        head_share: share of all purchases that defines the head: the fewest items that make it.
    """

    half_life_days: PositiveFloat = 14.0
    trend_days: PositiveFloat = 28.0
    trend_shrinkage: PositiveFloat = 20.0
    head_share: Annotated[float, Meta(gt=0, lt=1)] = 0.5


@dataclass(frozen=True)
class PopularityModel:
    """Sales of all items.

    Attributes:
        share: float32 (n_items,), decayed share of all purchases; sums to 1, uniform without purchases.
        trend: float32 (n_items,), recent rate ÷ earlier rate, shrunk to 1; > 0.
        n_buyers: int32 (n_items,), distinct users; each anonymous basket counts as a user.
        n_users: distinct users who bought anything, counted alike.
        is_head: bool (n_items,), whether the item is in the head with `head_share` of the purchases.
        momentum: float32 (n_items, len(MOMENTUM_DAYS)), `momentum` at each of these half-lives.
    """

    share: npt.NDArray[np.float32]
    trend: npt.NDArray[np.float32]
    n_buyers: npt.NDArray[np.int32]
    n_users: int
    is_head: npt.NDArray[np.bool_]
    momentum: npt.NDArray[np.float32]

    @property
    def weekly_momentum(self) -> npt.NDArray[np.float32]:
        """The momentum of about a week, by which pairs counted over months are corrected, float32 (n_items,)."""
        return self.momentum[:, 1]


@dataclass(frozen=True)
class PopularityCounts:
    """Sums over purchases and buyers; those of several groups of users can be added.

    Attributes:
        decayed: float64 (n_items,), purchases, each decayed by its age.
        recent: int64 (n_items,), purchases within the span of the trend.
        earlier: int64 (n_items,), purchases before it.
        n_buyers: int64 (n_items,), distinct users; each anonymous basket counts as a user.
        n_users: distinct users who bought anything.
        late: float64 (len(MOMENTUM_DAYS), n_items), purchases decayed by each half-life of the momentum.
        ever: float64 (n_items,), purchases decayed by `REFERENCE_DAYS`.
    """

    decayed: npt.NDArray[np.float64]
    recent: npt.NDArray[np.int64]
    earlier: npt.NDArray[np.int64]
    n_buyers: npt.NDArray[np.int64]
    n_users: int
    late: npt.NDArray[np.float64]
    ever: npt.NDArray[np.float64]


def fit_popularity(dataset: Dataset, config: PopularityConfig, now: int) -> PopularityModel:
    """Count purchases by item, decayed by age at `now`.

    `share_i = Σ 2^(−age/half_life) / Σ_j …`; `trend_i = (recent_i + s) / (expected_i + s)`, where the expected count is
    the earlier count scaled to the length of the recent period and to the growth of the shop.

    Args:
        dataset: the shop up to `now`.
        config: settings.
        now: seconds since 1970.

    Returns:
        The model.
    """
    return popularity_of(count_popularity(dataset, config, now), config)


def count_popularity(dataset: Dataset, config: PopularityConfig, now: int) -> PopularityCounts:
    """Count the purchases of some users or of all; see `fit_popularity`."""
    bought = dataset.target_events
    n_items, item = len(dataset.items), bought.item_idx
    age_days = np.maximum(now - bought.timestamp, 0) / DAY_S
    is_recent = age_days < config.trend_days
    buyer = np.where(bought.user_idx >= 0, bought.user_idx, len(dataset.users) + bought.basket_idx)
    return PopularityCounts(
        decayed=_decayed(item, age_days, n_items, config.half_life_days),
        recent=np.bincount(item[is_recent], minlength=n_items),
        earlier=np.bincount(item[~is_recent], minlength=n_items),
        n_buyers=count_distinct_users(buyer, item, n_items),
        n_users=len(np.unique(buyer)),
        late=np.stack([_decayed(item, age_days, n_items, days) for days in MOMENTUM_DAYS]),
        ever=_long_run(item, age_days, n_items),
    )


def count_recent(dataset: Dataset, config: PopularityConfig, now: int) -> sparse.csr_matrix:
    """Count the purchases of the span of the trend by the second, int32 CSR (n_items, n_seconds); the last is `now`."""
    bought = dataset.target_events
    n_seconds = trend_seconds(config)
    second = bought.timestamp - now + n_seconds - 1
    is_recent = second >= 0
    item, second = bought.item_idx[is_recent], np.minimum(second[is_recent], n_seconds - 1)
    ones = np.ones(len(item), np.int32)
    return sparse.csr_matrix((ones, (item, second)), (len(dataset.items), n_seconds))


def trend_seconds(config: PopularityConfig) -> int:
    """Return the length of the span of the trend: a purchase is recent if it is fewer seconds old."""
    return math.ceil(config.trend_days * DAY_S)


def move_counts(
    counts: PopularityCounts, recent: sparse.csr_matrix, config: PopularityConfig, elapsed_s: int
) -> tuple[PopularityCounts, sparse.csr_matrix]:
    """Return counts of the same purchases at a later moment, without the purchases.

    A decayed sum at the later moment is the sum times `2^(−elapsed/half_life)`, or `e^(−elapsed/REFERENCE_DAYS)`. A
    purchase that leaves the span of the trend is earlier from then on.

    Args:
        counts: at the first moment.
        recent: see `count_recent`, at the first moment.
        config: settings.
        elapsed_s: time between the two moments, in seconds, >= 0.

    Returns:
        Both, at the later moment.
    """
    days, found = elapsed_s / DAY_S, recent.tocoo()
    kept = found.col >= elapsed_s
    entries = (found.data[kept], (found.row[kept], found.col[kept] - elapsed_s))
    later = sparse.csr_matrix(entries, found.shape, dtype=np.int32)
    n_recent = np.asarray(later.sum(axis=1), np.int64).ravel()
    half_lives = np.array(MOMENTUM_DAYS)[:, None]
    moved = replace(
        counts,
        decayed=counts.decayed * np.exp2(-days / config.half_life_days),
        recent=n_recent,
        earlier=counts.recent + counts.earlier - n_recent,
        late=counts.late * np.exp2(-days / half_lives),
        ever=counts.ever * np.exp(-days / REFERENCE_DAYS),
    )
    return moved, later


def popularity_of(counts: PopularityCounts, config: PopularityConfig) -> PopularityModel:
    """Return the model of counts of all users; see `fit_popularity`."""
    total, n_items = counts.decayed.sum(), len(counts.decayed)
    share = counts.decayed / total if total > 0 else np.full(n_items, 1.0 / max(n_items, 1))
    return PopularityModel(
        share=share.astype(np.float32),
        trend=_trend(counts.recent, counts.earlier, config),
        n_buyers=counts.n_buyers.astype(np.int32),
        n_users=counts.n_users,
        is_head=_head(counts.recent + counts.earlier, config.head_share),
        momentum=np.column_stack([_momentum(late, counts.ever) for late in counts.late]),
    )


def momentum(
    item_idx: npt.NDArray[np.int32], age_days: npt.NDArray[np.float64], n_items: int, half_life_days: float
) -> npt.NDArray[np.float32]:
    """Compute the ratio of an item's recent share of sales to its long-run share, shrunk to 1.

    `(Σ 2^(−age/h) + s) / (T·share + s)`, with `T` the sum of `2^(−age/h)` over all purchases, `share` the item's part
    of all `e^(−age/REFERENCE_DAYS)`, and `s = MOMENTUM_SHRINKAGE`.

    Args:
        item_idx: int32 (n,), items of the purchases.
        age_days: float64 (n,), their ages, >= 0.
        n_items: number of items.
        half_life_days: h, age at which a purchase counts half in the recent share, in days, > 0.

    Returns:
        float32 (n_items,), from 1 / MAX_MOMENTUM to MAX_MOMENTUM; 1 without purchases.

    >>> momentum(np.array([0, 1], np.int32), np.array([0.0, 0.0]), 2, 7.0).tolist()
    [1.0, 1.0]
    """
    late = _decayed(item_idx, age_days, n_items, half_life_days)
    return _momentum(late, _long_run(item_idx, age_days, n_items))


def _decayed(
    item_idx: npt.NDArray[np.int32], age_days: npt.NDArray[np.float64], n_items: int, half_life_days: float
) -> npt.NDArray[np.float64]:
    return np.asarray(np.bincount(item_idx, np.exp2(-age_days / half_life_days), n_items), np.float64)


def _long_run(
    item_idx: npt.NDArray[np.int32], age_days: npt.NDArray[np.float64], n_items: int
) -> npt.NDArray[np.float64]:
    return np.asarray(np.bincount(item_idx, np.exp(-age_days / REFERENCE_DAYS), n_items), np.float64)


def _momentum(late: npt.NDArray[np.float64], ever: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    expected = late.sum() * ever / max(float(ever.sum()), 1e-12)
    ratio = shrink(late, expected, 1.0, MOMENTUM_SHRINKAGE)
    return np.clip(ratio, 1 / MAX_MOMENTUM, MAX_MOMENTUM).astype(np.float32)


def _trend(
    recent: npt.NDArray[np.int64], earlier: npt.NDArray[np.int64], config: PopularityConfig
) -> npt.NDArray[np.float32]:
    if not earlier.any() or not recent.any():
        return np.ones(len(recent), np.float32)
    expected = earlier * (recent.sum() / earlier.sum())
    return shrink(recent, expected, 1.0, config.trend_shrinkage).astype(np.float32)


def _head(counts: npt.NDArray[np.int64], head_share: float) -> npt.NDArray[np.bool_]:
    is_head = np.zeros(len(counts), np.bool_)
    order = np.lexsort((np.arange(len(counts)), -counts))
    before = np.cumsum(counts[order]) - counts[order]
    is_head[order] = (before < head_share * counts.sum()) & (counts[order] > 0)
    return is_head
