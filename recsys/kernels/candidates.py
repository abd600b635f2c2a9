"""From lists of items with scores to the candidates of a request: sums over lists, quotas, and the table of scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.kernels.compiled import compiled, part
from recsys.kernels.history import EVERY
from recsys.kernels.scratch import NONE, positions_table

Rows = npt.NDArray[np.int32]
Scores = npt.NDArray[np.float32]
Starts = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

OWNED = -2
"""Mark of an item that the user bought, where it has no position."""


def sum_lists(rows: Rows, score: Scores, factor: Scores, allowed: Mask | None, n_items: int) -> tuple[Rows, Scores]:
    """Return the distinct rows of some lists, in any order, and the sum of `factor · score` of each.

    Args:
        rows: int32 (n_lists, width), negative ones are left out.
        score: float32 (n_lists, width); products of 0 or less are left out.
        factor: float32 (n_lists,).
        allowed: bool (n_items,), the only rows that count; None for all.
        n_items: number of items of the catalog.
    """
    found: tuple[Rows, Scores] = sum_lists_loop(
        np.ascontiguousarray(rows),
        np.ascontiguousarray(score),
        factor,
        EVERY if allowed is None else allowed,
        positions_table(n_items),
    )
    return found


def sum_lists_numpy(
    rows: Rows, score: Scores, factor: Scores, allowed: Mask, table: npt.NDArray[np.int32]
) -> tuple[Rows, Scores]:
    """Compute `sum_lists` by sorting; `allowed` is empty for all, and `table` is not used."""
    product = score * factor[:, None]
    kept = (rows >= 0) & (product > 0)
    if len(allowed):
        kept &= allowed[rows]
    found, position = np.unique(rows[kept], return_inverse=True)
    return found, np.bincount(position, product[kept], len(found)).astype(np.float32)


@compiled("i4:: f4:: f4: bool: i4:!", otherwise=sum_lists_numpy)
def sum_lists_loop(rows: Any, score: Any, factor: Any, allowed: Any, table: Any) -> Any:
    """Compute `sum_lists` in one pass; `table` has the position of each row that was found."""
    n_lists, width = rows.shape
    found, total, n = np.empty(n_lists * width, np.int32), np.empty(n_lists * width), 0
    for idx in range(n_lists):
        for column in range(width):
            row, value = rows[idx, column], score[idx, column] * factor[idx]
            if row < 0 or value <= 0 or (len(allowed) > 0 and not allowed[row]):
                continue
            if table[row] == NONE:
                table[row], found[n], total[n] = n, row, 0.0
                n += 1
            total[table[row]] += value
    summed = np.empty(n, np.float32)
    for idx in range(n):
        table[found[idx]], summed[idx] = NONE, total[idx]
    return found[:n].copy(), summed


def sum_weights_numpy(
    neighbor: npt.NDArray[np.int16], weight: Scores, rows: Rows, factor: Scores
) -> tuple[Rows, Scores]:
    """Return the neighbors of some rows whose weighted sum is above 0, ascending, and these sums.

    Args:
        neighbor: int16 (n, width), rows of this matrix.
        weight: float32 (n, width), of either sign; 0 past the end of a row.
        rows: int32 (m,).
        factor: float32 (m,).
    """
    product = weight[rows] * factor[:, None]
    place = neighbor[rows].ravel() % max(len(neighbor), 1)
    total: Scores = np.bincount(place, product.ravel(), len(neighbor)).astype(np.float32)
    found: Rows = np.flatnonzero(total > 0).astype(np.int32)
    return found, total[found]


@compiled("i2:: f4:: i4: f4:", otherwise=sum_weights_numpy)
def sum_weights(neighbor: Any, weight: Any, rows: Any, factor: Any) -> Any:
    """Compute `sum_weights_numpy` in one table over all rows, which stays in the fastest cache."""
    n, width = neighbor.shape
    total = np.zeros(n)
    for idx in range(len(rows)):
        row = rows[idx]
        for column in range(width):
            total[neighbor[row, column]] += weight[row, column] * factor[idx]
    found, summed, n_found = np.empty(n, np.int32), np.empty(n, np.float32), 0
    for row in range(n):
        if np.float32(total[row]) > 0:
            found[n_found], summed[n_found] = row, total[row]
            n_found += 1
    return found[:n_found].copy(), summed[:n_found].copy()


def choose_top(
    rows: Rows, score: Scores, starts: Starts, quota: Starts, repeat: int, owned: Rows, n_items: int
) -> Rows:
    """Return the rows within the quotas of their sources, int32, distinct, ascending.

    Args:
        rows: int32 (n,), what the sources found, one source after the other; distinct within each.
        score: float32 (n,), > 0.
        starts: int64 (n_sources + 1,), where each source begins.
        quota: int64 (n_sources,), rows of each source, the best; equal ones by row.
        repeat: the source whose quota is for items that the user bought, -1 for none; other quotas are for new items.
        owned: int32, distinct items that the user bought.
        n_items: number of items of the catalog.
    """
    found: Rows = choose_top_loop(rows, score, starts, quota, repeat, owned, positions_table(n_items))
    return found


def choose_top_numpy(
    rows: Rows, score: Scores, starts: Starts, quota: Starts, repeat: int, owned: Rows, table: npt.NDArray[np.int32]
) -> Rows:
    """Compute `choose_top` source by source; `table` is not used."""
    kept = [rows[:0]]
    for source in range(len(quota)):
        piece = slice(starts[source], starts[source + 1])
        of_source, value = rows[piece], score[piece]
        if len(of_source) > quota[source]:
            if source != repeat:
                is_new = ~np.isin(of_source, owned)
                of_source, value = of_source[is_new], value[is_new]
            of_source = of_source[np.lexsort((of_source, -value))[: quota[source]]]
        kept.append(of_source)
    return np.unique(np.concatenate(kept))


@part
def _is_worse(score: Any, row: Any, other_score: Any, other_row: Any) -> Any:
    return score < other_score or (score == other_score and row > other_row)


@part
def _sink(heap_score: Any, heap_row: Any, n: Any) -> None:
    """Move the first entry of a heap, the worst on top, down to its place."""
    idx, score, row = 0, heap_score[0], heap_row[0]
    while True:
        child = 2 * idx + 1
        if child >= n:
            break
        if child + 1 < n and _is_worse(heap_score[child + 1], heap_row[child + 1], heap_score[child], heap_row[child]):
            child += 1
        if not _is_worse(heap_score[child], heap_row[child], score, row):
            break
        heap_score[idx], heap_row[idx] = heap_score[child], heap_row[child]
        idx = child
    heap_score[idx], heap_row[idx] = score, row


@part
def _rise(heap_score: Any, heap_row: Any, idx: Any) -> None:
    """Move the last entry of a heap up to its place."""
    score, row = heap_score[idx], heap_row[idx]
    while idx > 0:
        parent = (idx - 1) // 2
        if not _is_worse(score, row, heap_score[parent], heap_row[parent]):
            break
        heap_score[idx], heap_row[idx] = heap_score[parent], heap_row[parent]
        idx = parent
    heap_score[idx], heap_row[idx] = score, row


@compiled("i4: f4: i8: i8: i8 i4: i4:!", otherwise=choose_top_numpy)
def choose_top_loop(rows: Any, score: Any, starts: Any, quota: Any, repeat: Any, owned: Any, table: Any) -> Any:
    """Compute `choose_top` with a heap of the best rows of each source; `table` has the rows that are chosen."""
    for row in owned:
        table[row] = OWNED
    size = 0
    for source in range(len(quota)):
        size += min(quota[source], starts[source + 1] - starts[source])
    chosen, n = np.empty(size, np.int32), 0
    for source in range(len(quota)):
        begin, end = starts[source], starts[source + 1]
        limit = min(quota[source], end - begin)
        heap_score, heap_row, n_heap = np.empty(limit, np.float32), np.empty(limit, np.int32), 0
        is_cut = end - begin > limit
        for idx in range(begin, end):
            row, value = rows[idx], score[idx]
            if not is_cut:
                heap_row[n_heap] = row
                n_heap += 1
                continue
            if n_heap == limit and (limit == 0 or not _is_worse(heap_score[0], heap_row[0], value, row)):
                continue
            if source != repeat and table[row] <= OWNED:
                continue
            if n_heap < limit:
                heap_score[n_heap], heap_row[n_heap] = value, row
                n_heap += 1
                _rise(heap_score, heap_row, n_heap - 1)
            else:
                heap_score[0], heap_row[0] = value, row
                _sink(heap_score, heap_row, limit)
        for idx in range(n_heap):
            row = heap_row[idx]
            if table[row] == NONE or table[row] == OWNED:
                table[row] = 0 if table[row] == NONE else OWNED - 1
                chosen[n] = row
                n += 1
    for idx in range(n):
        table[chosen[idx]] = NONE
    for row in owned:
        table[row] = NONE
    return np.sort(chosen[:n])


def score_table(
    rows: Rows, score: Scores, starts: Starts, chosen: Rows, n_items: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return every score that a source has for some rows, divided by the source's best, and that best.

    Args:
        rows: int32 (n,), what the sources found, one source after the other; distinct within each.
        score: float32 (n,), > 0.
        starts: int64 (n_sources + 1,), where each source begins.
        chosen: int32 (n_chosen,), distinct.
        n_items: number of items of the catalog.

    Returns:
        float32 (n_sources, n_chosen), 0 where a source did not find a row, and float32 (n_sources,), 0 where it found
        nothing.
    """
    found: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] = score_table_loop(
        rows, score, starts, chosen, positions_table(n_items)
    )
    return found


def score_table_numpy(
    rows: Rows, score: Scores, starts: Starts, chosen: Rows, table: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Compute `score_table` source by source; `table` is not used."""
    order = np.argsort(chosen)
    scores, best = np.zeros((len(starts) - 1, len(chosen)), np.float32), np.zeros(len(starts) - 1, np.float32)
    for source in range(len(starts) - 1):
        piece = slice(starts[source], starts[source + 1])
        of_source, value = rows[piece], score[piece]
        best[source] = value.max(initial=0)
        is_chosen = np.isin(of_source, chosen)
        position = order[np.searchsorted(chosen[order], of_source[is_chosen])]
        scores[source, position] = value[is_chosen] / (best[source] if best[source] > 0 else np.float32(1))
    return scores, best


@compiled("i4: f4: i8: i4: i4:!", otherwise=score_table_numpy)
def score_table_loop(rows: Any, score: Any, starts: Any, chosen: Any, table: Any) -> Any:
    """Compute `score_table`; `table` has the position of each chosen row."""
    n_sources = len(starts) - 1
    scores, best = np.zeros((n_sources, len(chosen)), np.float32), np.zeros(n_sources, np.float32)
    for idx in range(len(chosen)):
        table[chosen[idx]] = idx
    for source in range(n_sources):
        for idx in range(starts[source], starts[source + 1]):
            best[source] = max(best[source], score[idx])
        unit = best[source] if best[source] > 0 else np.float32(1)
        for idx in range(starts[source], starts[source + 1]):
            if table[rows[idx]] != NONE:
                scores[source, table[rows[idx]]] = score[idx] / unit
    for row in chosen:
        table[row] = NONE
    return scores, best
