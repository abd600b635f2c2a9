"""Lists of items from their packed form: own entries, merged with those of a shared list."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.kernels.candidates import sum_lists_numpy
from recsys.kernels.compiled import compiled, part
from recsys.kernels.evidence import strongest_numpy
from recsys.kernels.scratch import NONE

Rows = npt.NDArray[np.int32]
Scores = npt.NDArray[np.float32]
Starts = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

END = -1
"""Item past the end of a list, and entry of an item that the list has from a shared one."""

Unpacked = tuple[Rows, Scores, Starts]


def unpack_numpy(
    starts: Starts,
    item_idx: Rows,
    score: Scores,
    shared: Rows,
    scale: Scores,
    size: Rows,
    wanted: Rows,
    width: int,
    table: npt.NDArray[np.int32],
) -> Unpacked:
    """Return some lists, best first; equal scores by item.

    Args:
        starts: int64 (n + 1,), where the own entries of each list begin.
        item_idx: int32 (n_entries,).
        score: float32 (n_entries,), descending in each list; an own entry of 0 hides the item of the shared list.
        shared: int32 (n,), the list whose entries follow, with their scores times `scale`, but for own items; -1 for
            none.
        scale: float32 (n,).
        size: int32 (n,), entries of each list.
        wanted: int32 (m,).
        width: columns of the result.
        table: not used.

    Returns:
        Items, int32 (m, width), -1 past the end; scores, float32 (m, width), 0 past the end; the own entry of each
        item, int64 (m, width), -1 where it is of the shared list.
    """
    rows = np.full((len(wanted), width), END, np.int32)
    scores, entry = np.zeros((len(wanted), width), np.float32), np.full((len(wanted), width), END, np.int64)
    for n, each in enumerate(wanted.tolist()):
        own = np.arange(starts[each], starts[each + 1])
        item, value, of = item_idx[own], score[own], own
        if shared[each] >= 0:
            lent = np.arange(starts[shared[each]], starts[shared[each] + 1])
            lent = lent[~np.isin(item_idx[lent], item)]
            item, value = np.concatenate([item, item_idx[lent]]), np.concatenate([value, score[lent] * scale[each]])
            of = np.concatenate([of, np.full(len(lent), END)])
            order = np.lexsort((item, -value))
            item, value, of = item[order], value[order], of[order]
        kept = slice(0, int(size[each]))
        rows[n, kept], scores[n, kept], entry[n, kept] = item[kept], value[kept], of[kept]
    return rows, scores, entry


@part
def _merge(
    starts: Any, item_idx: Any, score: Any, shared: Any, scale: Any, size: Any, each: Any, table: Any, rows: Any,
    scores: Any, entry: Any,
) -> Any:  # fmt: skip
    """Write one list, best first, and return its length; `table` marks the list's own items."""
    own, own_end, lent, lent_end = starts[each], starts[each + 1], 0, 0
    if shared[each] >= 0:
        lent, lent_end = starts[shared[each]], starts[shared[each] + 1]
        for place in range(own, own_end):
            table[item_idx[place]] = 0
    n = 0
    while n < size[each]:
        while lent < lent_end and table[item_idx[lent]] != NONE:
            lent += 1
        is_own = own < own_end
        if is_own and lent < lent_end:
            value = score[lent] * scale[each]
            is_own = score[own] > value or (score[own] == value and item_idx[own] < item_idx[lent])
        if is_own:
            rows[n], scores[n], entry[n] = item_idx[own], score[own], own
            own += 1
        else:
            rows[n], scores[n], entry[n] = item_idx[lent], score[lent] * scale[each], END
            lent += 1
        n += 1
    if shared[each] >= 0:
        for place in range(starts[each], own_end):
            table[item_idx[place]] = NONE
    return n


@compiled("i8: i4: f4: i4: f4: i4: i4: i8 i4:!", otherwise=unpack_numpy)
def unpack_loop(
    starts: Any, item_idx: Any, score: Any, shared: Any, scale: Any, size: Any, wanted: Any, width: Any, table: Any
) -> Any:
    """Compute `unpack_numpy` by merging; `table` marks the own items of a list."""
    rows, scores = np.empty((len(wanted), width), np.int32), np.empty((len(wanted), width), np.float32)
    entry = np.empty((len(wanted), width), np.int64)
    for n in range(len(wanted)):
        length = _merge(starts, item_idx, score, shared, scale, size, wanted[n], table, rows[n], scores[n], entry[n])
        for column in range(length, width):
            rows[n, column], scores[n, column], entry[n, column] = END, 0, END
    return rows, scores, entry


def sum_packed_numpy(
    starts: Starts,
    item_idx: Rows,
    score: Scores,
    shared: Rows,
    scale: Scores,
    size: Rows,
    wanted: Rows,
    width: int,
    factor: Scores,
    allowed: Mask,
    table: Rows,
    marks: Rows,
) -> tuple[Rows, Scores]:
    """Return the distinct items of some lists, in any order, and the sums of their scores times the lists' factors.

    Args:
        starts: with `item_idx`, `score`, `shared`, `scale`, `size`, `wanted` and `width` as in `unpack_numpy`.
        item_idx: see there.
        score: see there.
        shared: see there.
        scale: see there.
        size: see there.
        wanted: see there.
        width: see there.
        factor: float32 (m,), of each wanted list; products of 0 or less are left out.
        allowed: bool (n_items,), the only items that count; empty for all.
        table: not used.
        marks: not used.
    """
    rows, scores, _ = unpack_numpy(starts, item_idx, score, shared, scale, size, wanted, width, marks)
    return sum_lists_numpy(rows, scores, factor, allowed, table)


@compiled("i8: i4: f4: i4: f4: i4: i4: i8 f4: bool: i4:! i4:!", otherwise=sum_packed_numpy)
def sum_packed(
    starts: Any, item_idx: Any, score: Any, shared: Any, scale: Any, size: Any, wanted: Any, width: Any, factor: Any,
    allowed: Any, table: Any, marks: Any,
) -> Any:  # fmt: skip
    """Compute `sum_packed_numpy` list by list; `table` has the position of each item that was found."""
    rows, scores, entry = np.empty(width, np.int32), np.empty(width, np.float32), np.empty(width, np.int64)
    capacity, n = 0, 0
    for each in wanted:
        capacity += size[each]
    found, total = np.empty(capacity, np.int32), np.empty(capacity)
    for idx in range(len(wanted)):
        length = _merge(starts, item_idx, score, shared, scale, size, wanted[idx], marks, rows, scores, entry)
        for column in range(length):
            row, value = rows[column], scores[column] * factor[idx]
            if value <= 0 or (len(allowed) > 0 and not allowed[row]):
                continue
            if table[row] == NONE:
                table[row], found[n], total[n] = n, row, 0.0
                n += 1
            total[table[row]] += value
    summed = np.empty(n, np.float32)
    for idx in range(n):
        table[found[idx]], summed[idx] = NONE, total[idx]
    return found[:n].copy(), summed


def strongest_packed_numpy(
    starts: Starts,
    item_idx: Rows,
    score: Scores,
    shared: Rows,
    scale: Scores,
    size: Rows,
    wanted: Rows,
    width: int,
    weight: Scores,
    rows: Rows,
    table: Rows,
    marks: Rows,
) -> tuple[Rows, Starts]:
    """Return for each row the wanted list with the largest weighted score for it, and its own entry there.

    Args:
        starts: with `item_idx`, `score`, `shared`, `scale`, `size`, `wanted` and `width` as in `unpack_numpy`.
        item_idx: see there.
        score: see there.
        shared: see there.
        scale: see there.
        size: see there.
        wanted: see there.
        width: see there.
        weight: float32 (m,), of each wanted list.
        rows: int32 (n,), distinct.
        table: not used.
        marks: not used.

    Returns:
        Positions in `wanted`, int32 (n,), -1 where no list has the row; entries, int64 (n,), -1 where the list has it
        from a shared one. Of equal scores the first.
    """
    near, scores, entry = unpack_numpy(starts, item_idx, score, shared, scale, size, wanted, width, marks)
    lists = np.arange(len(wanted), dtype=np.int32)
    where, column = strongest_numpy(near, scores, lists, weight, rows, table)
    entries, is_found = np.full(len(rows), END, np.int64), where >= 0
    entries[is_found] = entry[where[is_found], column[is_found]]
    return where, entries


@compiled("i8: i4: f4: i4: f4: i4: i4: i8 f4: i4: i4:! i4:!", otherwise=strongest_packed_numpy)
def strongest_packed(
    starts: Any, item_idx: Any, score: Any, shared: Any, scale: Any, size: Any, wanted: Any, width: Any, weight: Any,
    rows: Any, table: Any, marks: Any,
) -> Any:  # fmt: skip
    """Compute `strongest_packed_numpy` in one pass; `table` has the position of each row."""
    near, scores, entry = np.empty(width, np.int32), np.empty(width, np.float32), np.empty(width, np.int64)
    where, entries = np.full(len(rows), -1, np.int32), np.full(len(rows), END, np.int64)
    best = np.empty(len(rows), np.float32)
    for idx in range(len(rows)):
        table[rows[idx]] = idx
    for idx in range(len(wanted)):
        length = _merge(starts, item_idx, score, shared, scale, size, wanted[idx], marks, near, scores, entry)
        for column in range(length):
            place = table[near[column]]
            if place == NONE:
                continue
            value = scores[column] * weight[idx]
            if where[place] < 0 or value > best[place]:
                where[place], entries[place], best[place] = idx, entry[column], value
    for row in rows:
        table[row] = NONE
    return where, entries
