"""One user's purchases by item: one per item and order, with what each adds to the chance of the next one."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from recsys.kernels.compiled import compiled, part

DAY_S: Final = 86_400
HALF_DAY_S: Final = DAY_S // 2

Rows = npt.NDArray[np.int32]
Times = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float32]


def group_purchases_numpy(
    item: Rows, time: Times, basket: Rows
) -> tuple[Rows, Times, Times, npt.NDArray[np.int64], Times]:
    """Group purchases by item, one per item and order.

    The result does not depend on the numbers of the orders, so that sums over it are equal to the last bit for a
    history from the bundle and one from the live log.

    Args:
        item: int32 (n,), oldest first.
        time: int64 (n,), seconds since 1970.
        basket: int32 (n,), the order of each purchase.

    Returns:
        Distinct items, int32 (n_items,), ascending; where the purchases of each begin in the arrays that follow, int64
        (n_items + 1,); the time of each purchase, and the number of later orders, where one that others interrupt
        counts again; when each order began, ascending.
    """
    order = np.lexsort((basket, item))
    of_item, of_basket = item[order], basket[order]
    rows = order[_is_first(of_item) | _is_first(of_basket)]
    rows = rows[np.lexsort((rows, item[rows]))]
    by_item = item[rows]
    starts = np.flatnonzero(_is_first(by_item))
    n_before = np.cumsum(_is_first(basket)) - 1
    n_later = (n_before[-1:] - n_before)[rows]
    by_basket = np.argsort(basket, kind="stable")
    began = np.sort(time[by_basket[_is_first(basket[by_basket])]])
    return by_item[starts], np.append(starts, len(rows)), time[rows], n_later, began


def _is_first(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which values differ from the one before."""
    return np.concatenate([np.ones(len(values[:1]), np.bool_), values[1:] != values[:-1]])


@part
def _is_repeated(basket: Any, rows: Any, begin: Any, end: Any, wanted: Any, is_split: Any) -> Any:
    """Tell whether an order is among those of some purchases; only the last one where no order is interrupted."""
    first = begin if is_split else max(begin, end - 1)
    for idx in range(end - 1, first - 1, -1):  # noqa: SIM110, numba compiles no generators
        if basket[rows[idx]] == wanted:
            return True
    return False


@compiled("i4: i8: i4:", otherwise=group_purchases_numpy)
def group_purchases(item: Any, time: Any, basket: Any) -> Any:
    """Compute `group_purchases_numpy` in one pass over the purchases sorted by item."""
    n = len(item)
    n_before, began, n_orders = np.zeros(n, np.int64), np.empty(n, np.int64), 0
    stretch = np.empty(n, np.int32)
    for idx in range(n):
        if idx == 0 or basket[idx] != basket[idx - 1]:
            stretch[n_orders], began[n_orders] = basket[idx], time[idx]
            n_orders += 1
        n_before[idx] = n_orders - 1
    labels = np.argsort(stretch[:n_orders], kind="mergesort")
    n_began, is_split = 0, False
    first = np.empty(n_orders, np.int64)
    for idx in range(n_orders):
        if idx and stretch[labels[idx]] == stretch[labels[idx - 1]]:
            is_split = True
        else:
            first[n_began] = began[labels[idx]]
            n_began += 1
    order = np.argsort(item, kind="mergesort")
    items, starts = np.empty(n, np.int32), np.empty(n + 1, np.int64)
    rows, n_rows, n_items = np.empty(n, np.int64), 0, 0
    for idx in range(n):
        row = order[idx]
        if idx == 0 or item[row] != items[n_items - 1]:
            items[n_items], starts[n_items] = item[row], n_rows
            n_items += 1
        elif _is_repeated(basket, rows, starts[n_items - 1], n_rows, basket[row], is_split):
            continue
        rows[n_rows] = row
        n_rows += 1
    starts[n_items] = n_rows
    kept_time, n_later = np.empty(n_rows, np.int64), np.empty(n_rows, np.int64)
    for idx in range(n_rows):
        kept_time[idx], n_later[idx] = time[rows[idx]], n_orders - 1 - n_before[rows[idx]]
    return items[:n_items].copy(), starts[: n_items + 1].copy(), kept_time, n_later, np.sort(first[:n_began])


def rate_items_numpy(
    items: Rows,
    starts: Times,
    time: Times,
    n_later: Times,
    now: int,
    step_of_half_days: Times,
    step_of_orders: Times,
    curves: Numbers,
    curve_of: Rows,
    height: Numbers,
    interval_days: Numbers,
    shrinkage: float,
) -> tuple[Numbers, Numbers]:
    """Return the chance of each item to be in the user's next order, and the user's interval of it, float32 each.

    The chance sums `height_i · (k_days(age) + k_orders(n_later))` over the purchases. The interval is
    `(Σ gaps + s·interval_i) / (n_gaps + s)`, in days.

    Args:
        items: int32 (n,), distinct.
        starts: int64 (n + 1,), where the purchases of each begin.
        time: int64, of each purchase, oldest first for each item, seconds since 1970.
        n_later: int64, later orders.
        now: seconds since 1970.
        step_of_half_days: int64, column of `curves` for each age in half days.
        step_of_orders: int64, the same for each number of later orders.
        curves: float32 (n_curves, n_steps), with `curve_of` and `height` as in
            `recsys.models.temporal.kernels.KernelModel`.
        curve_of: int32 (n_items,).
        height: float32 (n_items,).
        interval_days: float32 (n_items,), of all users.
        shrinkage: s.
    """
    item = np.repeat(items, np.diff(starts))
    day = step_of_half_days[np.clip((now - time) // HALF_DAY_S, 0, len(step_of_half_days) - 1)]
    order = step_of_orders[np.minimum(n_later, len(step_of_orders) - 1)]
    rate = height[item] * (curves[curve_of[item], day] + curves[curve_of[item], order])
    n_gaps = np.diff(starts) - 1
    score = np.bincount(np.repeat(np.arange(len(items)), n_gaps + 1), rate, len(items)).astype(np.float32)
    own_days = (time[starts[1:] - 1] - time[starts[:-1]]) / DAY_S
    interval = (own_days + shrinkage * interval_days[items]) / (n_gaps + shrinkage)
    return score, interval.astype(np.float32)


@compiled("i4: i8: i8: i8: i8 i8: i8: f4:: i4: f4: f4: f8", otherwise=rate_items_numpy)
def rate_items(
    items: Any, starts: Any, time: Any, n_later: Any, now: Any, step_of_half_days: Any, step_of_orders: Any,
    curves: Any, curve_of: Any, height: Any, interval_days: Any, shrinkage: Any,
) -> Any:  # fmt: skip
    """Compute `rate_items_numpy` purchase by purchase."""
    n = len(items)
    score, interval = np.empty(n, np.float32), np.empty(n, np.float32)
    for idx in range(n):
        item, total = items[idx], 0.0
        curve = curves[curve_of[item]]
        for line in range(starts[idx], starts[idx + 1]):
            half_days = min(max((now - time[line]) // HALF_DAY_S, 0), len(step_of_half_days) - 1)
            order = min(n_later[line], len(step_of_orders) - 1)
            total += height[item] * (curve[step_of_half_days[half_days]] + curve[step_of_orders[order]])
        score[idx] = total
        n_gaps = starts[idx + 1] - starts[idx] - 1
        own_days = (time[starts[idx + 1] - 1] - time[starts[idx]]) / DAY_S
        interval[idx] = (own_days + shrinkage * np.float64(interval_days[item])) / (n_gaps + shrinkage)
    return score, interval
