"""Lists for a task: ours through the served pipeline, so that what is judged is what a caller gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from recsys.candidates import Shopper
from recsys.context import Request
from recsys.engine import Engine
from recsys.evaluation.tasks import NOBODY, Task
from recsys.pipeline import rank, resolve
from recsys.placements import PLACEMENTS

Track = Callable[[Iterable[int], str], Iterable[int]]
"""Wraps a loop to show its progress; told a label."""

NO_ITEM = -1


def untracked(steps: Iterable[int], label: str) -> Iterable[int]:
    """Show nothing."""
    return steps


def served_lists(engine: Engine, task: Task, placement: str, k: int, track: Track = untracked) -> npt.NDArray[np.int32]:
    """The lists that the engine serves for each query of a task.

    Args:
        engine: models fitted on what was known before the task's window.
        task: the queries.
        placement: which list.
        k: its length.
        track: shows progress.

    Returns:
        int32 (n_queries, k), -1 past the end of a short list.
    """
    chosen = PLACEMENTS[placement]
    lists = np.full((len(task), k), NO_ITEM, np.int32)
    users, items = engine.users.ids, engine.items.ids
    for query_idx in track(range(len(task)), placement):
        user, seed = int(task.user_idx[query_idx]), int(task.seed[query_idx])
        request = Request(
            placement=placement,
            as_of=int(task.as_of[query_idx]),
            limit=k,
            user_id=users[user] if user != NOBODY else None,
            item_ids=(items[seed],) if seed != NOBODY else (),
        )
        query, _ = resolve(engine, request, chosen)
        rows = rank(chosen, Shopper(engine, query)).item_idx
        lists[query_idx, : len(rows)] = rows
    return lists
