"""Repeat purchases: which items users buy again, how often, and when they are due."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from recsys.core.config.ranges import PositiveFloat
from recsys.data.catalog import Catalog
from recsys.data.dataset import DAY_S, Dataset
from recsys.data.event_columns import Events
from recsys.data.history import UserHistory
from recsys.kernels.purchases import group_purchases, rate_items
from recsys.models.arrays import count_distinct_users, shrink
from recsys.models.temporal.kernels import STEP_OF_HALF_DAYS, STEP_OF_ORDERS, KernelConfig, KernelModel, fit_kernels
from recsys.models.temporal.rest import RestConfig, RestModel, fit_rest


@dataclass(frozen=True)
class RepeatConfig:
    """Settings of the repeat model.

    Attributes:
        decay_days: time scale in days of the decay `(1 + age / decay_days)^−decay_power`, which the elapsed-time
            kernels start from.
        decay_power: exponent of that decay.
        interval_shrinkage: gaps between purchases that pull an item's interval to its type's.
        rate_shrinkage: buyers that pull an item's repeat rate to its type's.
        personal_shrinkage: gaps that pull a user's own interval to the item's.
    """

    decay_days: PositiveFloat = 7.0
    decay_power: PositiveFloat = 0.5
    interval_shrinkage: PositiveFloat = 20.0
    rate_shrinkage: PositiveFloat = 20.0
    personal_shrinkage: PositiveFloat = 2.0
    kernels: KernelConfig = field(default_factory=KernelConfig)
    rest: RestConfig = field(default_factory=RestConfig)


@dataclass(frozen=True)
class RepeatModel:
    """Repeat purchases of all users.

    Attributes:
        interval_days: float32 (n_items,), mean gap between a user's purchases of the item, in days, > 0.
        repeat_rate: float32 (n_items,), probability that a buyer buys the item again, in [0, 1].
        repeat_share: share of purchases, after a user's first day, that repeat an earlier one, in [0, 1].
        kernels: how the chance of the next purchase follows from the days and orders since the earlier ones.
        rest: how long items are not bought again.
        config: the settings, which scoring needs.
    """

    interval_days: npt.NDArray[np.float32]
    repeat_rate: npt.NDArray[np.float32]
    repeat_share: float
    kernels: KernelModel
    rest: RestModel
    config: RepeatConfig

    def repeat_probability(self, own: PurchaseStats) -> npt.NDArray[np.float32]:
        """Estimate the probability that the user buys each item again: own repeats, shrunk to the item's repeat rate.

        Args:
            own: the user's purchases.

        Returns:
            float32, one value per entry of `own`, in [0, 1].
        """
        k = self.config.personal_shrinkage
        repeats = own.n_baskets - 1
        return shrink(repeats, repeats, self.repeat_rate[own.item_idx], k).astype(np.float32)


@dataclass(frozen=True)
class PurchaseStats:
    """A user's purchases, one per item and order; one entry per distinct item, in ascending order of rows.

    Attributes:
        item_idx: int32 (n,), the items.
        score: float32 (n,), sum of `KernelModel.rate` over the orders that contain the item, > 0.
        interval_days: float32 (n,), the user's own interval, shrunk to that of the item, in days.
        starts: int64 (n + 1,), where the purchases of each item begin in `time`.
        time: int64, when each item was bought, oldest first, seconds since 1970.
        order_times: int64, when each order began, ascending.
    """

    item_idx: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]
    interval_days: npt.NDArray[np.float32]
    starts: npt.NDArray[np.int64]
    time: npt.NDArray[np.int64]
    order_times: npt.NDArray[np.int64]

    @cached_property
    def n_baskets(self) -> npt.NDArray[np.int32]:
        """Orders that contain each item, int32 (n,)."""
        return np.diff(self.starts).astype(np.int32)

    @cached_property
    def last(self) -> npt.NDArray[np.int64]:
        """The latest purchase of each item, int64 (n,), seconds since 1970."""
        return self.time[self.starts[1:] - 1]

    def elapsed(self, now: int) -> npt.NDArray[np.float32]:
        """Compute the time since the last purchase in units of the item's interval, float32."""
        return ((now - self.last) / DAY_S / self.interval_days).astype(np.float32)


def purchase_stats(model: RepeatModel, bought: UserHistory, now: int) -> PurchaseStats:
    """Returns counts, recency and intervals of the items that a user bought up to `now`.

    Args:
        model: the intervals of all users.
        bought: the user's purchases, none later than `now`.
        now: seconds since 1970 UTC.
    """
    rows, starts, time, n_later, order_times = group_purchases(bought.item_idx, bought.timestamp, bought.basket_idx)
    if not len(rows):
        nothing = np.empty(0, np.float32)
        return PurchaseStats(rows, nothing, nothing, starts, time, order_times)
    kernels = model.kernels
    score, interval_days = rate_items(
        rows,
        starts,
        time,
        n_later,
        now,
        STEP_OF_HALF_DAYS,
        STEP_OF_ORDERS,
        kernels.curves,
        kernels.curve_of,
        kernels.height,
        model.interval_days,
        model.config.personal_shrinkage,
    )
    return PurchaseStats(rows, score, interval_days, starts, time, order_times)


@dataclass(frozen=True)
class RepeatCounts:
    """Sums over users; those of several groups of users can be added.

    Attributes:
        n_gaps: int64 (n_items,), gaps between two purchases of the item by one user.
        gap_days: float64 (n_items,), their sum.
        n_buyers: int64 (n_items,), distinct users.
        n_repeaters: int64 (n_items,), those who bought the item on another day.
        n_later: purchases after their user's first day.
        n_repeats: those of them that repeat an earlier one.
    """

    n_gaps: npt.NDArray[np.int64]
    gap_days: npt.NDArray[np.float64]
    n_buyers: npt.NDArray[np.int64]
    n_repeaters: npt.NDArray[np.int64]
    n_later: int
    n_repeats: int


def fit_repeat(
    dataset: Dataset, catalog: Catalog, config: RepeatConfig, counts: RepeatCounts | None = None
) -> RepeatModel:
    """Measure intervals and repeat rates of items, shrunk to those of their type and of the shop.

    `interval_i = (Σ gaps + s·interval_type) / (n_gaps + s)`. The rate is computed alike, from buyers who bought the
    item on another day.

    Args:
        dataset: the shop, or some of its users, by whom the kernels and the rests are measured.
        catalog: product types.
        config: settings.
        counts: of all users; those of the dataset if not given.

    Returns:
        The model; without repeats the interval of every item is 30 days and its rate 0.
    """
    counts = count_repeats(dataset) if counts is None else counts
    types = catalog.item_type
    interval_days = _shrunk_mean(counts.gap_days, counts.n_gaps, types, config.interval_shrinkage, 30.0)
    interval_days = np.maximum(interval_days, 0.5)
    return RepeatModel(
        interval_days=interval_days,
        repeat_rate=_shrunk_mean(counts.n_repeaters, counts.n_buyers, types, config.rate_shrinkage, 0.0),
        repeat_share=counts.n_repeats / counts.n_later if counts.n_later else 0.0,
        kernels=fit_kernels(dataset, catalog, config.decay_days, config.decay_power, config.kernels),
        rest=fit_rest(dataset, catalog, interval_days, config.rest),
        config=config,
    )


def count_repeats(dataset: Dataset) -> RepeatCounts:
    """Count the repeat purchases of some users or of all."""
    bought = dataset.target_events
    bought = bought.take(bought.user_idx >= 0)
    n_items = len(dataset.items)
    order = np.lexsort((bought.timestamp, bought.item_idx, bought.user_idx))
    user, item = bought.user_idx[order], bought.item_idx[order]
    day = bought.timestamp[order] / DAY_S
    same = (user[1:] == user[:-1]) & (item[1:] == item[:-1])
    gap = np.diff(day)
    is_gap = same & (gap >= 0.5)
    n_later, n_repeats = _count_later(bought, n_items)
    return RepeatCounts(
        n_gaps=np.bincount(item[1:][is_gap], minlength=n_items),
        gap_days=np.asarray(np.bincount(item[1:][is_gap], gap[is_gap], n_items), np.float64),
        n_buyers=np.bincount(item, minlength=n_items) - np.bincount(item[1:][same], minlength=n_items),
        n_repeaters=count_distinct_users(user[1:][is_gap], item[1:][is_gap], n_items),
        n_later=n_later,
        n_repeats=n_repeats,
    )


def _shrunk_mean(
    total: npt.NDArray[np.floating | np.integer],
    count: npt.NDArray[np.int64],
    types: npt.NDArray[np.int32],
    pseudo_count: float,
    default: float,
) -> npt.NDArray[np.float32]:
    overall = total.sum() / count.sum() if count.sum() else default
    label = types + 1
    type_mean = shrink(np.bincount(label, total, 1), np.bincount(label, count, 1), overall, pseudo_count)
    prior = np.where(types >= 0, type_mean[label], overall)
    return shrink(total, count, prior, pseudo_count).astype(np.float32)


def _count_later(bought: Events, n_items: int) -> tuple[int, int]:
    """Count the purchases after each user's first day, and the repeats among them."""
    if not len(bought):
        return 0, 0
    pair = bought.user_idx.astype(np.int64) * n_items + bought.item_idx
    first_of_pair = _first_time(pair, bought.timestamp)
    first_of_user = _first_time(bought.user_idx, bought.timestamp)
    later = bought.timestamp >= first_of_user + DAY_S / 2
    repeats = bought.timestamp >= first_of_pair + DAY_S / 2
    return int(later.sum()), int((later & repeats).sum())


def _first_time(label: npt.NDArray[np.integer], timestamp: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return, for each entry, the earliest time of its label; `timestamp` is ascending."""
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    return timestamp[first][inverse]
