"""Which of a user's items says most for each listed item."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.kernels.compiled import compiled
from recsys.kernels.scratch import NONE, positions_table

Rows = npt.NDArray[np.int32]
Scores = npt.NDArray[np.float32]


def strongest(
    near: npt.NDArray[Any],
    score: Scores,
    lists: Rows,
    weight: Scores,
    rows: Rows,
    n_items: int,
) -> tuple[Rows, Rows]:
    """Return for each row the list with the largest weighted score for it, and its entry there.

    Args:
        near: int32 or int16 (n_lists, width), rows; negative ones are left out.
        score: float32 (n_lists, width).
        lists: int32 (m,), the lists that count.
        weight: float32 (m,), of each of them.
        rows: int32 (n,), distinct, below `n_items`.
        n_items: larger than every row.

    Returns:
        Positions in `lists` and columns, int32 (n,) each; -1 where no list has the row. Of equal entries the first.
    """
    loop = strongest_of_small if near.dtype == np.int16 else strongest_of
    near, score = np.ascontiguousarray(near), np.ascontiguousarray(score)
    found: tuple[Rows, Rows] = loop(near, score, lists, weight, rows, positions_table(n_items))
    return found


def strongest_numpy(
    near: npt.NDArray[Any],
    score: Scores,
    lists: Rows,
    weight: Scores,
    rows: Rows,
    table: npt.NDArray[np.int32],
) -> tuple[Rows, Rows]:
    """Compute `strongest` from all entries of the lists in order of their scores; `table` is not used."""
    of_entry, width = near[lists].ravel(), near.shape[1]
    weighted = (score[lists] * weight[:, None]).ravel()
    order = np.argsort(-weighted, kind="stable")
    found, first = np.unique(of_entry[order], return_index=True)
    entry_of = dict(zip(found.tolist(), order[first].tolist(), strict=True))
    entries = np.array([entry_of.get(row, -1) for row in rows.tolist()], np.int64)
    where, column = (
        np.where(entries < 0, -1, entries // max(width, 1)),
        np.where(entries < 0, -1, entries % max(width, 1)),
    )
    return where.astype(np.int32), column.astype(np.int32)


def _strongest_loop(near: Any, score: Any, lists: Any, weight: Any, rows: Any, table: Any) -> Any:
    """Compute `strongest` in one pass; `table` has the position of each row."""
    where, columns = np.full(len(rows), -1, np.int32), np.full(len(rows), -1, np.int32)
    best = np.empty(len(rows), np.float32)
    for idx in range(len(rows)):
        table[rows[idx]] = idx
    for idx in range(len(lists)):
        for column in range(near.shape[1]):
            row = near[lists[idx], column]
            if row < 0 or row >= len(table) or table[row] == NONE:
                continue
            place, value = table[row], score[lists[idx], column] * weight[idx]
            if where[place] < 0 or value > best[place]:
                where[place], columns[place], best[place] = idx, column, value
    for row in rows:
        table[row] = NONE
    return where, columns


strongest_of = compiled("i4:: f4:: i4: f4: i4: i4:!", otherwise=strongest_numpy)(_strongest_loop)
strongest_of_small = compiled("i2:: f4:: i4: f4: i4: i4:!", otherwise=strongest_numpy)(_strongest_loop)
