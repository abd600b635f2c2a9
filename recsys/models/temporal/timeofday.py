"""Time of day: each item's lift in each part of the local day, shrunk for items with few sales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from recsys.core.config.ranges import ASCENDING, PositiveFloat
from recsys.data.catalog import Catalog
from recsys.data.dataset import Dataset
from recsys.data.event_columns import NO_HOUR
from recsys.models.arrays import shrink

HOURS_A_DAY = 24


@dataclass(frozen=True)
class TimeOfDayConfig:
    """Settings of the time-of-day model.

    Attributes:
        bucket_starts: first local hour of each part of the day; the last part runs past midnight to the start of the
            first one.
        type_shrinkage: purchases that pull an item to its type.
        category_shrinkage: purchases that pull a type to its category, and a category to all items.
        personal_shrinkage: purchases that pull a user's own hours to those of all users.
    """

    bucket_starts: Annotated[
        tuple[Annotated[int, Meta(ge=0, le=23)], ...], Meta(min_length=1, extra={ASCENDING: True})
    ] = (5, 11, 15, 18, 21)
    type_shrinkage: PositiveFloat = 300.0
    category_shrinkage: PositiveFloat = 200.0
    personal_shrinkage: PositiveFloat = 20.0


@dataclass(frozen=True)
class TimeOfDayModel:
    """Lifts by part of the day.

    Attributes:
        lift: float32 (n_items, n_buckets), `P(bucket | item) / P(bucket)`; 1 for items without data.
        bucket_share: float32 (n_buckets,), share of all purchases.
        bucket_of_hour: int8 (24,), part of the day of each local hour.
        is_fitted: whether the shop's times are finer than a day.
        config: the settings, which name the parts of the day.
    """

    lift: npt.NDArray[np.float32]
    bucket_share: npt.NDArray[np.float32]
    bucket_of_hour: npt.NDArray[np.int8]
    is_fitted: bool
    config: TimeOfDayConfig

    def hours(self, bucket: int) -> tuple[int, int]:
        """Return the first and the last local hour of a part of the day, both inclusive."""
        starts = self.config.bucket_starts
        return starts[bucket], (starts[(bucket + 1) % len(starts)] - 1) % HOURS_A_DAY


class SalesByBucket:
    """The items that sell in each part of the day; each order is made when it is first asked for.

    Args:
        share: float64 (n_items,), share of the sales.
        lift: float32 (n_items, n_buckets), see `TimeOfDayModel`.
    """

    def __init__(self, share: npt.NDArray[np.floating], lift: npt.NDArray[np.float32]) -> None:
        self._share = share
        self._lift = lift
        self._orders: dict[int, npt.NDArray[np.int32]] = {}

    def score(self, bucket: int, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """Return `P(item) · lift(item | bucket)` of some items, float32, of the shape of `rows`."""
        return np.asarray(self._share[rows] * self._lift[rows, bucket], np.float32)

    def best(self, bucket: int) -> npt.NDArray[np.int32]:
        """Return all items with a score above 0, int32, the best first, equal ones by row."""
        order = self._orders.get(bucket)
        if order is None:
            score = self._share * self._lift[:, bucket]
            sold = np.flatnonzero(score > 0)
            order = self._orders[bucket] = sold[np.argsort(-score[sold], kind="stable")].astype(np.int32)
        return order


def bucket_of_hour(config: TimeOfDayConfig) -> npt.NDArray[np.int8]:
    """Map each local hour to its part of the day, int8 (24,).

    >>> bucket_of_hour(TimeOfDayConfig(bucket_starts=(6, 18)))[[0, 6, 17, 18]].tolist()
    [1, 0, 0, 1]
    """
    starts = np.asarray(config.bucket_starts)
    return ((np.searchsorted(starts, np.arange(HOURS_A_DAY), side="right") - 1) % len(starts)).astype(np.int8)


def fit_timeofday(dataset: Dataset, catalog: Catalog, config: TimeOfDayConfig) -> TimeOfDayModel:
    """Count purchases by part of the day and shrink: item to type, type to category, category to the shop.

    `P(b|cat) = (n + κ_c·P(b))/(N + κ_c)`, `P(b|type) = (n + κ_c·P(b|cat))/(N + κ_c)`,
    `P(b|i) = (n + κ_t·P(b|type))/(N + κ_t)`; `lift = P(b|i) / P(b)`.

    Args:
        dataset: the shop.
        catalog: types and categories.
        config: settings.

    Returns:
        The model; every lift is 1 if no time is finer than a day.
    """
    return timeofday_of(count_hours(dataset, config), catalog, config)


def count_hours(dataset: Dataset, config: TimeOfDayConfig) -> npt.NDArray[np.float64]:
    """Count the purchases of some users or of all by part of the day, float64 (n_items, n_buckets)."""
    bought = dataset.target_events
    bought = bought.take(bought.hour != NO_HOUR)
    n_items, n_buckets = len(dataset.items), len(config.bucket_starts)
    cell = bought.item_idx.astype(np.int64) * n_buckets + bucket_of_hour(config)[bought.hour]
    return np.bincount(cell, minlength=n_items * n_buckets).reshape(n_items, n_buckets).astype(np.float64)


def timeofday_of(counts: npt.NDArray[np.float64], catalog: Catalog, config: TimeOfDayConfig) -> TimeOfDayModel:
    """Return the model of the counts of all users; see `fit_timeofday`."""
    total, n_buckets = counts.sum(), counts.shape[1]
    share = (counts.sum(axis=0) + 1) / (total + n_buckets)
    n_categories = int(catalog.type_category.max(initial=-1)) + 1
    by_category = _rate_by_label(counts, catalog.item_category, n_categories, share, config.category_shrinkage)
    prior = np.vstack([by_category, share])[catalog.type_category]
    n_types = len(catalog.type_names)
    by_type = _rate_by_label(counts, catalog.item_type, n_types, prior, config.category_shrinkage)
    prior = np.vstack([by_type, share])[catalog.item_type]
    k = config.type_shrinkage
    probability = shrink(counts, counts.sum(axis=1, keepdims=True), prior, k)
    return TimeOfDayModel(
        lift=(probability / share).astype(np.float32),
        bucket_share=share.astype(np.float32),
        bucket_of_hour=bucket_of_hour(config),
        is_fitted=bool(total > 0),
        config=config,
    )


def _rate_by_label(
    counts: npt.NDArray[np.float64],
    label: npt.NDArray[np.int32],
    n_labels: int,
    prior: npt.NDArray[np.float64],
    pseudo_count: float,
) -> npt.NDArray[np.float64]:
    summed = np.zeros((n_labels, counts.shape[1]))
    known = label >= 0
    np.add.at(summed, label[known], counts[known])
    return shrink(summed, summed.sum(axis=1, keepdims=True), prior, pseudo_count)
