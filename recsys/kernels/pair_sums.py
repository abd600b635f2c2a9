"""Pairs of items of the same user, summed item by item: what is held at a time is the rows that are being summed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.kernels.compiled import compiled
from recsys.kernels.scratch import NONE

Rows = npt.NDArray[np.int32]
Starts = npt.NDArray[np.int64]
Sums = tuple[Starts, Rows, npt.NDArray[np.float32], Rows]


def sum_pairs_numpy(
    rows: Rows, item_starts: Starts, place: Starts, user_starts: Starts, user_idx: Rows, item_idx: Rows, time: Starts,
    user_weight: npt.NDArray[np.float64], gap: float, table: Rows,
) -> Sums:  # fmt: skip
    """Sum `w_u · (1 + |t − t'| / gap)^−½` over the users of each pair of some items with any other item.

    Args:
        rows: int32 (n,), the items, distinct.
        item_starts: int64 (n_items + 1,), where the lines of each item begin in `place`.
        place: int64 (n_lines,), lines by item.
        user_starts: int64 (n_users + 1,), where the lines of each user begin.
        user_idx: int32 (n_lines,), by user; a user has one line per item.
        item_idx: int32 (n_lines,), of the same lines.
        time: int64 (n_lines,), of the same lines.
        user_weight: float64 (n_users,), w.
        gap: > 0, in the units of `time`.
        table: of `positions_table`, for the compiled form.

    Returns:
        Where each row begins, int64 (n + 1,), and its pairs by ascending item: the other item, int32, the sum of the
        weights, float32, and the number of users, int32.
    """
    n_items = len(item_starts) - 1
    size = np.diff(item_starts)[rows]
    row = np.repeat(np.arange(len(rows)), size)
    line = place[_ranges(item_starts[rows], size)]
    others = np.diff(user_starts)[user_idx[line]]
    one, row = np.repeat(line, others), np.repeat(row, others)
    other = _ranges(user_starts[user_idx[line]], others)
    is_pair = one != other
    one, other, row = one[is_pair], other[is_pair], row[is_pair]
    key, pair, count = np.unique(row * n_items + item_idx[other], return_inverse=True, return_counts=True)
    weight = user_weight[user_idx[one]] / np.sqrt(1 + np.abs(time[one] - time[other]) / gap)
    total = np.bincount(pair, weight, len(key)).astype(np.float32)
    starts = np.searchsorted(key, np.arange(len(rows) + 1) * n_items).astype(np.int64)
    return starts, (key % max(n_items, 1)).astype(np.int32), total, count.astype(np.int32)


def _ranges(start: Starts, size: Starts) -> Starts:
    """Return `start, start + 1, …` of each size, one after the other."""
    return np.arange(size.sum()) + np.repeat(start - np.cumsum(size) + size, size)


@compiled("i4: i8: i8: i8: i4: i4: i8: f8: f8 i4:!", otherwise=sum_pairs_numpy)
def sum_pairs(
    rows: Any, item_starts: Any, place: Any, user_starts: Any, user_idx: Any, item_idx: Any, time: Any,
    user_weight: Any, gap: Any, table: Any,
) -> Any:  # fmt: skip
    """Compute `sum_pairs_numpy` with one sum per other item; `table` has the position of each that was found."""
    n_items, n_most = len(item_starts) - 1, 0
    for row in rows:
        n_of_row = 0
        for idx in range(item_starts[row], item_starts[row + 1]):
            user = user_idx[place[idx]]
            n_of_row += user_starts[user + 1] - user_starts[user] - 1
        n_most += min(n_of_row, n_items)
    starts, found = np.zeros(len(rows) + 1, np.int64), np.empty(n_most, np.int32)
    total, count = np.empty(n_most, np.float32), np.empty(n_most, np.int32)
    summed, counted = np.empty(n_items), np.empty(n_items, np.int32)
    begin = 0
    for number in range(len(rows)):
        n = 0
        for idx in range(item_starts[rows[number]], item_starts[rows[number] + 1]):
            line = place[idx]
            user = user_idx[line]
            for other in range(user_starts[user], user_starts[user + 1]):
                if other == line:
                    continue
                item, apart = item_idx[other], abs(time[other] - time[line])
                if table[item] == NONE:
                    table[item], found[begin + n], summed[n], counted[n] = n, item, 0.0, 0
                    n += 1
                summed[table[item]] += user_weight[user] / np.sqrt(1 + apart / gap)
                counted[table[item]] += 1
        found[begin : begin + n].sort()
        for idx in range(begin, begin + n):
            position = table[found[idx]]
            total[idx], count[idx], table[found[idx]] = summed[position], counted[position], NONE
        begin += n
        starts[number + 1] = begin
    return starts, found[:begin].copy(), total[:begin].copy(), count[:begin].copy()
