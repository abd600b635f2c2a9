"""One user's purchases by item: one per item and order, with what each adds to the chance of the next one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.kernels.compiled import compiled, part

Rows = npt.NDArray[np.int32]
Times = npt.NDArray[np.int64]


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
