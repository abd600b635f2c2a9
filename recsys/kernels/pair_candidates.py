"""The partners of items in two matrices of pairs, joined with a list of further candidates."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.kernels.compiled import compiled

NOWHERE = -1
"""Place of a candidate that a matrix does not have."""

Partners = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]
"""`indptr` and `indices` of a matrix of pairs, CSR, whose rows are ascending."""


class PairCandidates(NamedTuple):
    """The candidates of some items, item by item.

    Attributes:
        starts: int64 (n_items + 1,), where the candidates of each item begin.
        rows: int32 (n,), rows of the candidates, ascending for each item, without the item itself.
        first: int64 (n,), place of each pair among the entries of the first matrix, `NOWHERE` if it is not there.
        second: int64 (n,), the same for the second one.
    """

    starts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int32]
    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]


def join_partners_numpy(
    items: npt.NDArray[np.int32],
    first_starts: npt.NDArray[np.int64],
    first_rows: npt.NDArray[np.int32],
    second_starts: npt.NDArray[np.int64],
    second_rows: npt.NDArray[np.int32],
    shortlist: npt.NDArray[np.int32],
) -> PairCandidates:
    """Join the partners of items in two matrices and a list.

    Args:
        items: int32 (n_items,), rows of both matrices.
        first_starts: int64, `indptr` of the first matrix, CSR, zero on the diagonal.
        first_rows: int32, its `indices`, ascending within each row.
        second_starts: as the first.
        second_rows: as the first.
        shortlist: int32, ascending, candidates of every item.
    """
    starts = np.zeros(len(items) + 1, np.int64)
    rows, places = [np.empty(0, np.int32)], [np.empty((2, 0), np.int64)]
    for idx, item in enumerate(items.tolist()):
        spans = [slice(ends[item], ends[item + 1]) for ends in (first_starts, second_starts)]
        partners = [first_rows[spans[0]], second_rows[spans[1]]]
        candidates = np.unique(np.concatenate([*partners, shortlist[shortlist != item]]))
        place = np.full((2, len(candidates)), NOWHERE, np.int64)
        for row, span, some in zip(place, spans, partners, strict=True):
            row[candidates.searchsorted(some)] = np.arange(span.start, span.stop)
        rows.append(candidates)
        places.append(place)
        starts[idx + 1] = starts[idx] + len(candidates)
    return PairCandidates(starts, np.concatenate(rows), *np.hstack(places))


@compiled("i4: i8: i4: i8: i4: i4:", otherwise=join_partners_numpy)
def join_partners_loop(
    items: Any, first_starts: Any, first_rows: Any, second_starts: Any, second_rows: Any, shortlist: Any
) -> Any:
    """Compute `join_partners_numpy` by merging the three ascending lists of each item."""
    size = len(items) * len(shortlist)
    for item in items:
        size += first_starts[item + 1] - first_starts[item] + second_starts[item + 1] - second_starts[item]
    starts, rows = np.zeros(len(items) + 1, np.int64), np.empty(size, np.int32)
    first, second = np.empty(size, np.int64), np.empty(size, np.int64)
    n, end = 0, np.int32(2**31 - 1)
    for idx in range(len(items)):
        item = items[idx]
        a, b, c = first_starts[item], second_starts[item], 0
        a_stop, b_stop = first_starts[item + 1], second_starts[item + 1]
        while a < a_stop or b < b_stop or c < len(shortlist):
            of_first = first_rows[a] if a < a_stop else end
            of_second = second_rows[b] if b < b_stop else end
            listed = shortlist[c] if c < len(shortlist) else end
            row = min(of_first, of_second, listed)
            is_first, is_second = a < a_stop and of_first == row, b < b_stop and of_second == row
            if row != item or is_first or is_second:
                rows[n] = row
                first[n], second[n] = a if is_first else NOWHERE, b if is_second else NOWHERE
                n += 1
            a, b, c = a + is_first, b + is_second, c + (c < len(shortlist) and listed == row)
        starts[idx + 1] = n
    return starts, rows[:n].copy(), first[:n].copy(), second[:n].copy()


def join_partners(
    items: npt.NDArray[np.int32],
    first: Partners,
    second: Partners,
    shortlist: npt.NDArray[np.int32],
) -> PairCandidates:
    """Join the partners of items in two matrices, each given by its `indptr` and `indices`, and a list.

    See `join_partners_numpy`.
    """
    return PairCandidates(*join_partners_loop(items, *first, *second, shortlist))
