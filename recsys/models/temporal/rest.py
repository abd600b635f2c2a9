"""How long nobody buys an item again, and which product types are bought once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.config.ranges import PositiveFloat, PositiveShare, Share
from recsys.data.catalog import Catalog
from recsys.data.dataset import DAY_S, PURCHASE, Dataset
from recsys.data.event_columns import Events
from recsys.models.arrays import shrink

NEVER_DAYS: Final = 36_500.0
"""Rest of an item that nobody buys again."""

MIN_GAP_DAYS: Final = 0.5
"""Purchases closer together than this are one purchase."""

MAX_DURABLE_LIFT: Final = 0.5
"""A type is durable where its owners certainly buy others of it less often than this part of what chance gives."""

MIN_REGULARITY: Final = 0.25
"""Items whose earliest repeats come before this part of the mean gap have no rhythm, and do not rest."""

Z_90: Final = 1.28


@dataclass(frozen=True)
class RestConfig:
    """Settings of the rest of items after a purchase.

    Attributes:
        earliest_share: share of all repeats that come before the end of an item's rest.
        min_rate: items that certainly a smaller share of their buyers buys again rest for good.
        shrinkage: gaps that pull an item to its type, and a type to the shop.
    """

    earliest_share: PositiveShare = 0.05
    min_rate: Share = 0.03
    shrinkage: PositiveFloat = 20.0


@dataclass(frozen=True)
class RestModel:
    """What a user who bought an item is not shown for a while.

    Attributes:
        days: float32 (n_items,), time after a purchase before which almost nobody buys the item again, >= 0.
        is_durable_type: bool (n_types,), types of which owners buy no other item.
    """

    days: npt.NDArray[np.float32]
    is_durable_type: npt.NDArray[np.bool_]

    @cached_property
    def is_any_durable(self) -> bool:
        """Whether any type is durable."""
        return bool(self.is_durable_type.any())


def fit_rest(
    dataset: Dataset, catalog: Catalog, interval_days: npt.NDArray[np.float32], config: RestConfig
) -> RestModel:
    """Measure the earliest repeats of items, and the types that are bought once.

    The rest is the `earliest_share` quantile of the gaps between a user's purchases of the item, shrunk to that of its
    type, and this to the shop's, as logarithms; 0 where it is below `MIN_REGULARITY` of the mean gap. An item rests for
    good if the upper end of a one-sided 90 % interval of the share of its buyers who bought it again, of those who
    bought anything an interval later, is below `min_rate`; or if that of its type or of the shop is, and its own share
    does not prove the contrary. A type is durable if the upper end of such an interval of the other items of it that
    its owners bought later is below `MAX_DURABLE_LIFT` of what its share of sales gives.

    Args:
        dataset: the shop.
        catalog: product types.
        interval_days: float32 (n_items,), mean gap between purchases.
        config: settings.

    Returns:
        The model; nothing rests where nothing is known, or where the shop records no purchases.
    """
    bought = dataset.target_events
    is_purchase = dataset.target_event == PURCHASE
    bought = bought.take((bought.user_idx >= 0) & is_purchase)
    days = _earliest_repeats(bought, catalog, config)
    days[days < MIN_REGULARITY * interval_days] = 0
    is_once = _bought_once(bought, catalog, interval_days, config.min_rate)
    return RestModel(
        days=np.where(is_once, NEVER_DAYS, days).astype(np.float32),
        is_durable_type=_durable_types(bought, catalog),
    )


def _earliest_repeats(bought: Events, catalog: Catalog, config: RestConfig) -> npt.NDArray[np.float64]:
    n_items, types = len(catalog.item_type), catalog.item_type
    order = np.lexsort((bought.timestamp, bought.item_idx, bought.user_idx))
    user, item = bought.user_idx[order], bought.item_idx[order]
    gap = np.diff(bought.timestamp[order]) / DAY_S
    is_gap = (user[1:] == user[:-1]) & (item[1:] == item[:-1]) & (gap >= MIN_GAP_DAYS)
    item, log_gap = item[1:][is_gap], np.log(gap[is_gap])
    if not len(item):
        return np.zeros(n_items)
    n_types = len(catalog.type_names)
    overall = np.quantile(log_gap, config.earliest_share, method="lower")
    of_type, n_of_type = _quantiles(types[item] + 1, log_gap, n_types + 1, config.earliest_share)
    of_item, n_of_item = _quantiles(item, log_gap, n_items, config.earliest_share)
    type_level = shrink(of_type * n_of_type, n_of_type, overall, config.shrinkage)
    prior = np.where(types >= 0, type_level[types + 1], overall)
    return np.exp(shrink(of_item * n_of_item, n_of_item, prior, config.shrinkage))


def _quantiles(
    label: npt.NDArray[np.integer], value: npt.NDArray[np.float64], n_labels: int, share: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return the lower quantile of the values of each label, 0 without any, and their numbers."""
    order = np.lexsort((value, label))
    count = np.bincount(label, minlength=n_labels)
    position = np.concatenate([[0], np.cumsum(count)[:-1]]) + (share * np.maximum(count - 1, 0)).astype(np.int64)
    return np.where(count > 0, value[order][np.minimum(position, len(value) - 1)], 0.0), count


def _bought_once(
    bought: Events, catalog: Catalog, interval_days: npt.NDArray[np.float32], min_rate: float
) -> npt.NDArray[np.bool_]:
    """Return the items that certainly hardly anybody buys again, by their own buyers, their type's or the shop's."""
    types, n_items = catalog.item_type, len(catalog.item_type)
    user, item, first, last = _pairs(bought.user_idx, bought.item_idx, bought.timestamp, n_items)
    last_of_user = np.zeros(int(user.max(initial=-1)) + 1, np.int64)
    np.maximum.at(last_of_user, user, last)
    interval_s = np.rint(np.maximum(interval_days[item], MIN_GAP_DAYS) * DAY_S)
    is_exposed = last_of_user[user] - first >= interval_s
    again = is_exposed & (last - first >= MIN_GAP_DAYS * DAY_S)
    n, k = (np.bincount(item[mask], minlength=n_items) for mask in (is_exposed, again))
    of_shop = bool(_upper(k.sum()) < min_rate * n.sum())
    k_of_type, n_of_type = (np.bincount(types + 1, part, len(catalog.type_names) + 1) for part in (k, n))
    of_type = _refined(np.full(len(k_of_type), of_shop), k_of_type, n_of_type, min_rate)
    of_type[0] = of_shop
    return _refined(of_type[types + 1], k, n, min_rate)


def _refined(
    general: npt.NDArray[np.bool_], k: npt.NDArray[np.number], n: npt.NDArray[np.number], min_rate: float
) -> npt.NDArray[np.bool_]:
    """Return whether a rate `k / n` is certainly below the limit, or a more general one is and it may be."""
    return (_upper(k) < min_rate * n) | (general & (k - Z_90 * np.sqrt(k) <= min_rate * n))


def _upper(k: npt.NDArray[np.number] | int) -> npt.NDArray[np.float64]:
    """Return the upper end of a one-sided 90 % interval of the mean of a count."""
    return np.asarray(k + Z_90 * np.sqrt(k) + 1 + Z_90)


def _durable_types(bought: Events, catalog: Catalog) -> npt.NDArray[np.bool_]:
    n_types = len(catalog.type_names)
    user, item, first, _ = _pairs(bought.user_idx, bought.item_idx, bought.timestamp, len(catalog.item_type))
    type_ = catalog.item_type[item]
    share = np.bincount(type_ + 1, minlength=n_types + 1)[1:] / max(len(item), 1)
    known = type_ >= 0
    owner, owned, since, _ = _pairs(user[known], type_[known], first[known], max(n_types, 1))
    start = int(first.min(initial=0))
    span = int(first.max(initial=0)) - start + DAY_S
    soon = int(MIN_GAP_DAYS * DAY_S)
    moment = np.sort(user.astype(np.int64) * span + first - start)
    ends = np.cumsum(np.bincount(user, minlength=int(user.max(initial=-1)) + 1))
    n_later = ends[owner] - moment.searchsorted(owner.astype(np.int64) * span + np.minimum(since - start + soon, span))
    expected = np.bincount(owned, n_later, n_types) * share
    pair = owner.astype(np.int64) * max(n_types, 1) + owned
    mine = pair.searchsorted(user[known].astype(np.int64) * max(n_types, 1) + type_[known])
    is_later = first[known] - since[mine] >= soon
    k = np.bincount(type_[known][is_later], minlength=n_types)
    return _upper(k) < MAX_DURABLE_LIFT * expected


def _pairs(
    user: npt.NDArray[np.integer], label: npt.NDArray[np.integer], timestamp: npt.NDArray[np.int64], n_labels: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the distinct pairs of user and label in ascending order, and their first and last times."""
    key = user.astype(np.int64) * max(n_labels, 1) + label
    order = np.lexsort((timestamp, key))
    key, timestamp = key[order], timestamp[order]
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])) if len(key) else np.empty(0, np.int64)
    stops = np.append(starts[1:], len(key)) if len(key) else starts
    found = key[starts]
    return found // max(n_labels, 1), found % max(n_labels, 1), timestamp[starts], timestamp[stops - 1]
