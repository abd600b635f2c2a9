"""The best entries of each group of a long array, as lists of items are made for many items at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.core.topk import top_k
from recsys.kernels.compiled import compiled, part

Positions = npt.NDArray[np.int64]


def top_of_groups(
    score: npt.NDArray[np.floating], rows: npt.NDArray[np.integer], starts: npt.NDArray[np.integer], k: int
) -> tuple[Positions, Positions]:
    """Return the positions of the best entries of each group with a score above 0; equal ones by row, ascending.

    Args:
        score: (n,), no NaN.
        rows: integer (n,), distinct within each group.
        starts: integer (n_groups + 1,), where each group begins.
        k: entries of a group, >= 0.

    Returns:
        Positions, int64, group by group and best first; where each group begins there, int64 (n_groups + 1,).

    >>> top_of_groups(np.array([1.0, 3.0, 3.0, 0.0]), np.array([5, 8, 7, 1]), np.array([0, 3, 4]), 2)
    (array([2, 1]), array([0, 2, 2]))
    """
    found: tuple[Positions, Positions] = top_of_groups_loop(
        np.ascontiguousarray(score, np.float64),
        np.ascontiguousarray(rows, np.int32),
        np.ascontiguousarray(starts, np.int64),
        k,
    )
    return found


def top_of_groups_numpy(
    score: npt.NDArray[np.float64], rows: npt.NDArray[np.int32], starts: Positions, k: int
) -> tuple[Positions, Positions]:
    """Compute `top_of_groups` group by group."""
    found, ends = [np.empty(0, np.int64)], np.zeros(len(starts), np.int64)
    for group in range(len(starts) - 1):
        first, stop = starts[group], starts[group + 1]
        positive = first + np.flatnonzero(score[first:stop] > 0)
        found.append(positive[top_k(score[positive], k, rows[positive])])
        ends[group + 1] = ends[group] + len(found[-1])
    return np.concatenate(found), ends


@part
def is_better(score: Any, rows: Any, one: int, other: int) -> bool:
    """Return whether an entry comes before another one."""
    if score[one] != score[other]:
        return bool(score[one] > score[other])
    return bool(rows[one] < rows[other])


@part
def sink(score: Any, rows: Any, heap: Any, size: int) -> None:
    """Move the entry at the top of a heap down to its place; the worst entry is at the top."""
    place = 0
    while True:
        worst = place
        for child in (2 * place + 1, 2 * place + 2):
            if child < size and is_better(score, rows, heap[worst], heap[child]):
                worst = child
        if worst == place:
            return
        heap[place], heap[worst] = heap[worst], heap[place]
        place = worst


@part
def rise(score: Any, rows: Any, heap: Any, place: int) -> None:
    """Move the entry at a place of a heap up to its place."""
    while place:
        parent = (place - 1) // 2
        if not is_better(score, rows, heap[parent], heap[place]):
            return
        heap[place], heap[parent] = heap[parent], heap[place]
        place = parent


@compiled("f8: i4: i8: i8", otherwise=top_of_groups_numpy)
def top_of_groups_loop(score: Any, rows: Any, starts: Any, k: int) -> Any:
    """Compute `top_of_groups` with a heap of the best `k` entries of each group."""
    n_groups = len(starts) - 1
    n_kept = 0
    for group in range(n_groups):
        n_kept += min(k, starts[group + 1] - starts[group])
    kept, ends = np.empty(n_kept, np.int64), np.zeros(n_groups + 1, np.int64)
    for group in range(n_groups):
        heap, size = kept[ends[group] :], 0
        for position in range(starts[group], starts[group + 1]):
            if score[position] <= 0 or k == 0:
                continue
            if size < k:
                heap[size] = position
                rise(score, rows, heap, size)
                size += 1
            elif is_better(score, rows, position, heap[0]):
                heap[0] = position
                sink(score, rows, heap, size)
        for last in range(size - 1, 0, -1):
            heap[0], heap[last] = heap[last], heap[0]
            sink(score, rows, heap, last)
        ends[group + 1] = ends[group] + size
    return kept[: ends[n_groups]].copy(), ends
