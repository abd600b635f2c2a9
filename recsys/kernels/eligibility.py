"""Rules about what a user has bought, over the purchases and some rows at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.kernels.compiled import compiled

Rows = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


def resting_items_numpy(
    own_items: Rows,
    starts: npt.NDArray[np.int64],
    time: npt.NDArray[np.int64],
    interval_days: npt.NDArray[np.float32],
    rest_days: npt.NDArray[np.float32],
    now: int,
    own_share: float,
) -> Rows:
    """Return the items that rest: bought so lately that almost nobody buys them again; own repeats count.

    Args:
        own_items: int32 (n,), items that the user bought.
        starts: int64 (n + 1,), where the purchases of each begin in `time`.
        time: int64, seconds since 1970, oldest first for each item.
        interval_days: float32 (n,), the user's interval of each.
        rest_days: float32 (n_items,), rest of each item of the catalog.
        now: seconds since 1970.
        own_share: part of the interval after which an item that the user bought again no longer rests.
    """
    age_days = (now - time[starts[1:] - 1]) / 86_400
    usual = np.where(np.diff(starts) > 1, own_share * interval_days, np.inf)
    return own_items[age_days < np.minimum(rest_days[own_items], usual)]


@compiled("i4: i8: i8: f4: f4: i8 f8", otherwise=resting_items_numpy)
def resting_items(
    own_items: Any, starts: Any, time: Any, interval_days: Any, rest_days: Any, now: Any, own_share: Any
) -> Any:
    """Compute `resting_items_numpy` item by item."""
    resting, n = np.empty(len(own_items), np.int32), 0
    for idx in range(len(own_items)):
        end = starts[idx + 1]
        rest = np.float64(rest_days[own_items[idx]])
        if end - starts[idx] > 1:
            rest = min(rest, own_share * np.float64(interval_days[idx]))
        if (now - time[end - 1]) / 86_400 < rest:
            resting[n] = own_items[idx]
            n += 1
    return resting[:n].copy()


def is_no_second_numpy(rows: Rows, own_items: Rows, item_type: Rows, is_durable_type: Mask) -> Mask:
    """Return which rows are not of a type that is bought once and that the user has, bool (n,).

    Args:
        rows: int32 (n,), items.
        own_items: int32, items that the user bought; these are kept.
        item_type: int32 (n_items,), -1 for an unknown type.
        is_durable_type: bool (n_types,), types that are bought once.
    """
    types = item_type[own_items]
    has = np.zeros(len(is_durable_type) + 1, np.bool_)
    has[types] = True
    has[:-1] &= is_durable_type
    has[-1] = False
    kept: Mask = ~has[item_type[rows]] | np.isin(rows, own_items)
    return kept


@compiled("i4: i4: i4: bool:", otherwise=is_no_second_numpy)
def is_no_second(rows: Any, own_items: Any, item_type: Any, is_durable_type: Any) -> Any:
    """Compute `is_no_second_numpy`; most rows are of no such type."""
    has, kept = np.zeros(len(is_durable_type), np.bool_), np.ones(len(rows), np.bool_)
    for item in own_items:
        type_ = item_type[item]
        if type_ >= 0:
            has[type_] = is_durable_type[type_]
    for idx in range(len(rows)):
        type_ = item_type[rows[idx]]
        if type_ < 0 or not has[type_]:
            continue
        kept[idx] = False
        for item in own_items:
            if item == rows[idx]:
                kept[idx] = True
                break
    return kept
