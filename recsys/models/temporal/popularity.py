"""How much each item sells, how much it is rising, and which items make the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from recsys.core.ranges import PositiveFloat
from recsys.data.dataset import DAY_S, Dataset

MOMENTUM_DAYS: Final = (3.5, 7.0, 28.0)
"""Half-lives of what counts as late, from the last days to the last weeks."""

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
    """What everyone buys.

    Attributes:
        share: float32 (n_items,), decayed share of all purchases; sums to 1, uniform with no purchases.
        trend: float32 (n_items,), recent rate ÷ rate before, shrunk to 1; > 0.
        n_buyers: int32 (n_items,), distinct shoppers; baskets with no shopper count one each.
        n_shoppers: all distinct shoppers who bought anything, counted alike.
        is_head: bool (n_items,), whether the item belongs to the head that makes `head_share` of purchases.
        momentum: float32 (n_items, len(MOMENTUM_DAYS)), `momentum` at each of these half-lives.
    """

    share: npt.NDArray[np.float32]
    trend: npt.NDArray[np.float32]
    n_buyers: npt.NDArray[np.int32]
    n_shoppers: int
    is_head: npt.NDArray[np.bool_]
    momentum: npt.NDArray[np.float32]


def fit_popularity(dataset: Dataset, config: PopularityConfig, now: int) -> PopularityModel:
    """Count purchases by item, decayed by age at `now`.

    `share_i = Σ 2^(−age/half_life) / Σ_j …`; `trend_i = (recent_i + s) / (expected_i + s)`, where the expected count is
    that of the time before, scaled to the recent span and to the shop's own growth.

    Args:
        dataset: the shop up to `now`.
        config: settings.
        now: seconds since 1970.
    """
    bought = dataset.successes
    n_items = len(dataset.items)
    age_days = np.maximum(now - bought.timestamp, 0) / DAY_S
    decayed = np.bincount(bought.item_idx, np.exp2(-age_days / config.half_life_days), minlength=n_items)
    total = decayed.sum()
    share = decayed / total if total > 0 else np.full(n_items, 1.0 / max(n_items, 1))
    buyer = np.where(bought.user_idx >= 0, bought.user_idx, len(dataset.users) + bought.basket_idx)
    return PopularityModel(
        share=share.astype(np.float32),
        trend=_trend(bought.item_idx, age_days, n_items, config),
        n_buyers=_count_buyers(buyer, bought.item_idx, n_items),
        n_shoppers=len(np.unique(buyer)),
        is_head=_head(np.bincount(bought.item_idx, minlength=n_items), config.head_share),
        momentum=np.column_stack([momentum(bought.item_idx, age_days, n_items, days) for days in MOMENTUM_DAYS]),
    )


def momentum(
    item_idx: npt.NDArray[np.int32], age_days: npt.NDArray[np.float64], n_items: int, half_life_days: float
) -> npt.NDArray[np.float32]:
    """How an item's share of sales of late compares with its share in the long run, shrunk to 1.

    `(Σ 2^(−age/h) + s) / (T·share + s)`, with `T` the sum of `2^(−age/h)` over all purchases, `share` the item's part
    of all `e^(−age/REFERENCE_DAYS)`, and `s` a constant.

    Args:
        item_idx: int32 (n,), what was bought.
        age_days: float64 (n,), how long ago, >= 0.
        n_items: how many items there are.
        half_life_days: age at which a purchase of late counts half, > 0.

    Returns:
        float32 (n_items,), from 1 / MAX_MOMENTUM to MAX_MOMENTUM.
    """
    late = np.bincount(item_idx, np.exp2(-age_days / half_life_days), minlength=n_items)
    ever = np.bincount(item_idx, np.exp(-age_days / REFERENCE_DAYS), minlength=n_items)
    expected = late.sum() * ever / max(float(ever.sum()), 1e-12)
    ratio = (late + MOMENTUM_SHRINKAGE) / (expected + MOMENTUM_SHRINKAGE)
    return np.clip(ratio, 1 / MAX_MOMENTUM, MAX_MOMENTUM).astype(np.float32)


def _trend(
    item_idx: npt.NDArray[np.int32],
    age_days: npt.NDArray[np.float64],
    n_items: int,
    config: PopularityConfig,
) -> npt.NDArray[np.float32]:
    is_recent = age_days < config.trend_days
    recent = np.bincount(item_idx[is_recent], minlength=n_items)
    before = np.bincount(item_idx[~is_recent], minlength=n_items)
    if not before.any() or not recent.any():
        return np.ones(n_items, np.float32)
    expected = before * (recent.sum() / before.sum())
    s = config.trend_shrinkage
    return ((recent + s) / (expected + s)).astype(np.float32)


def _count_buyers(
    buyer: npt.NDArray[np.integer], item_idx: npt.NDArray[np.int32], n_items: int
) -> npt.NDArray[np.int32]:
    pairs = np.unique(buyer.astype(np.int64) * max(n_items, 1) + item_idx)
    return np.bincount(pairs % max(n_items, 1), minlength=n_items).astype(np.int32)


def _head(counts: npt.NDArray[np.int64], head_share: float) -> npt.NDArray[np.bool_]:
    is_head = np.zeros(len(counts), np.bool_)
    order = np.lexsort((np.arange(len(counts)), -counts))
    before = np.cumsum(counts[order]) - counts[order]
    is_head[order] = (before < head_share * counts.sum()) & (counts[order] > 0)
    return is_head
