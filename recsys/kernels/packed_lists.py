"""Lists of items from their packed form: own entries, merged with those of a shared list."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.kernels.compiled import compiled
from recsys.kernels.scratch import NONE

Rows = npt.NDArray[np.int32]
Scores = npt.NDArray[np.float32]
Starts = npt.NDArray[np.int64]

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


@compiled("i8: i4: f4: i4: f4: i4: i4: i8 i4:!", otherwise=unpack_numpy)
def unpack_loop(
    starts: Any, item_idx: Any, score: Any, shared: Any, scale: Any, size: Any, wanted: Any, width: Any, table: Any
) -> Any:
    """Compute `unpack_numpy` by merging; `table` marks the own items of a list."""
    rows, scores = np.empty((len(wanted), width), np.int32), np.empty((len(wanted), width), np.float32)
    entry = np.empty((len(wanted), width), np.int64)
    for n in range(len(wanted)):
        each = wanted[n]
        own, own_end, lent, lent_end = starts[each], starts[each + 1], 0, 0
        if shared[each] >= 0:
            lent, lent_end = starts[shared[each]], starts[shared[each] + 1]
            for place in range(own, own_end):
                table[item_idx[place]] = 0
        for column in range(width):
            while lent < lent_end and table[item_idx[lent]] != NONE:
                lent += 1
            is_own = own < own_end
            if is_own and lent < lent_end:
                value = score[lent] * scale[each]
                is_own = score[own] > value or (score[own] == value and item_idx[own] < item_idx[lent])
            if column >= size[each]:
                rows[n, column], scores[n, column], entry[n, column] = END, 0, END
            elif is_own:
                rows[n, column], scores[n, column], entry[n, column] = item_idx[own], score[own], own
                own += 1
            else:
                rows[n, column], scores[n, column] = item_idx[lent], score[lent] * scale[each]
                entry[n, column] = END
                lent += 1
        if shared[each] >= 0:
            for place in range(starts[each], own_end):
                table[item_idx[place]] = NONE
    return rows, scores, entry
