"""Lists of each method for a task; those of the engine come from the served pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from recsys.core.ids import NO_ITEM
from recsys.core.placements import PLACEMENTS, Placement
from recsys.core.progress import Progress, silent, track
from recsys.core.request import Request
from recsys.core.topk import top_k
from recsys.data.dataset import DAY_S
from recsys.evaluation.baselines import PERSONAL, POPULARITY_WEIGHT, TrainingSlice
from recsys.evaluation.tasks import ANONYMOUS, Task
from recsys.fitting.engine import Engine
from recsys.pipeline.batch import rank_batch
from recsys.retrieval.query import Ranking

BLOCK_CELLS = 20_000_000
"""Scores that a baseline computes at a time; bounds the memory."""


def served_lists(
    engine: Engine, task: Task, placement: str | Placement, k: int, progress: Progress = silent
) -> npt.NDArray[np.int32]:
    """Return the lists that the engine serves for the queries of a task.

    Args:
        engine: models fitted before the task's window.
        task: the queries.
        placement: the list, by name or as a definition.
        k: length of a list, >= 1.
        progress: receives the progress.

    Returns:
        int32 (n_queries, k), best first, -1 past the end of a short list.
    """
    lists = np.full((len(task), k), NO_ITEM, np.int32)
    for query_idx, ranking in enumerate(served_rankings(engine, task, placement, k, progress)):
        lists[query_idx, : len(ranking.item_idx)] = ranking.item_idx
    return lists


def served_rankings(
    engine: Engine, task: Task, placement: str | Placement, k: int, progress: Progress = silent
) -> Iterator[Ranking]:
    """Yield the same lists with scores and sources, one query at a time."""
    chosen = PLACEMENTS[placement] if isinstance(placement, str) else placement
    requests = (_request(engine, task, query_idx, chosen, k) for query_idx in range(len(task)))
    found = rank_batch(engine, requests, {chosen.name: chosen})
    for _ in track(range(len(task)), chosen.name, progress):
        yield next(found)[2]


def _request(engine: Engine, task: Task, query_idx: int, placement: Placement, k: int) -> Request:
    user, seed = int(task.user_idx[query_idx]), int(task.seed[query_idx])
    return Request(
        placement=placement.name,
        as_of=int(task.as_of[query_idx]),
        limit=k,
        user_id=engine.users.ids[user] if user != ANONYMOUS else None,
        item_ids=(engine.items.ids[seed],) if seed != ANONYMOUS else (),
    )


def baseline_lists(
    past: TrainingSlice,
    task: Task,
    names: Iterable[str],
    k: int,
    progress: Progress = silent,
    *,
    only_new: bool = False,
) -> dict[str, npt.NDArray[np.int32]]:
    """Return the lists of baselines from `PERSONAL`, by name.

    Args:
        past: the data that they are fitted on.
        task: the queries, each with a user.
        names: names of baselines.
        k: length of a list, >= 1.
        progress: receives the progress.
        only_new: leave out what the user has bought.

    Returns:
        int32 (n_queries, k) per baseline, best first, -1 past the end of a short list.
    """
    n_rows = max(1, BLOCK_CELLS // max(past.shape[1], 1))
    lists = {}
    for name in names:
        scorer = PERSONAL[name](past)
        lists[name] = np.full((len(task), k), NO_ITEM, np.int32)
        for start in track(range(0, len(task), n_rows), name, progress):
            users = task.user_idx[start : start + n_rows]
            scores = np.array(scorer(users), np.float32)
            if only_new:
                scores[past.counts[users].nonzero()] = -np.inf
            lists[name][start : start + n_rows] = _top_of_rows(scores, k)
    return lists


def recent_own_lists(
    engine: Engine, past: TrainingSlice, task: Task, k: int, decay_days: float = np.inf, progress: Progress = silent
) -> npt.NDArray[np.int32]:
    """List what the user bought up to each query by `Σ exp(−age/τ)`, followed by popular items.

    It is `baselines.exponential_decay` with the history up to each query, and `baselines.gp_topfreq` without decay.
    Popularity is that of the past, as for every method.

    Args:
        engine: contains the histories.
        past: the data that popularity is counted on.
        task: the queries, each with a user.
        k: length of a list, >= 1.
        decay_days: τ, in days, > 0; infinite for no decay.
        progress: receives the progress.

    Returns:
        int32 (n_queries, k), best first, -1 past the end of a short list.
    """
    lists = np.full((len(task), k), NO_ITEM, np.int32)
    popular = np.argsort(-past.popularity, kind="stable").astype(np.int32)[:k]
    label = "gp_topfreq" if np.isinf(decay_days) else "exponential_decay"
    for query_idx in track(range(len(task)), label, progress):
        now = int(task.as_of[query_idx])
        bought = engine.history.of(int(task.user_idx[query_idx]), now).of_type(engine.dataset_info.target_event)
        rows, column = np.unique(np.concatenate([bought.item_idx, popular]), return_inverse=True)
        weight = np.exp(-(now - bought.timestamp) / DAY_S / decay_days)
        score = (
            np.bincount(column[: len(bought)], weight, minlength=len(rows)) + POPULARITY_WEIGHT * past.popularity[rows]
        )
        top_items = rows[top_k(score, k, rows)]
        lists[query_idx, : len(top_items)] = top_items
    return lists


def _top_of_rows(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int32]:
    lists = np.full((len(scores), k), NO_ITEM, np.int32)
    for row, score in enumerate(scores):
        top_idx = top_k(score, k)
        top_idx = top_idx[~np.isneginf(score[top_idx])]
        lists[row, : len(top_idx)] = top_idx
    return lists
