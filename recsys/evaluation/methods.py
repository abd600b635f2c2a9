"""Lists for a task: ours through the served pipeline, so that what is judged is what a caller gets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from recsys.core.placements import PLACEMENTS, Placement
from recsys.core.progress import Progress, silent, track
from recsys.core.request import Request
from recsys.core.topk import top_k
from recsys.data.dataset import DAY_S
from recsys.evaluation.baselines import PERSONAL, POPULARITY_WEIGHT, TrainingSlice
from recsys.evaluation.tasks import ANONYMOUS, Task
from recsys.fitting.engine import Engine
from recsys.pipeline.offer_view import with_offers
from recsys.pipeline.recommend import Ranking, rank
from recsys.pipeline.resolve import resolve
from recsys.retrieval.user_state import UserState

NO_ITEM = -1
BLOCK_CELLS = 20_000_000
"""Scores that a baseline gives at a time; bounds the memory."""


def served_lists(
    engine: Engine, task: Task, placement: str | Placement, k: int, progress: Progress = silent
) -> npt.NDArray[np.int32]:
    """The lists that the engine serves for each query of a task.

    Args:
        engine: models fitted on what was known before the task's window.
        task: the queries.
        placement: which list, by its name, or one made for the occasion.
        k: its length.
        progress: receives the progress of the loop.

    Returns:
        int32 (n_queries, k), -1 past the end of a short list.
    """
    lists = np.full((len(task), k), NO_ITEM, np.int32)
    for query_idx, ranking in enumerate(served_rankings(engine, task, placement, k, progress)):
        lists[query_idx, : len(ranking.item_idx)] = ranking.item_idx
    return lists


def served_rankings(
    engine: Engine, task: Task, placement: str | Placement, k: int, progress: Progress = silent
) -> Iterator[Ranking]:
    """The same with scores and sources, a query at a time."""
    chosen = PLACEMENTS[placement] if isinstance(placement, str) else placement
    users, items = engine.users.ids, engine.items.ids
    for query_idx in track(range(len(task)), chosen.name, progress):
        user, seed = int(task.user_idx[query_idx]), int(task.seed[query_idx])
        request = Request(
            placement=chosen.name,
            as_of=int(task.as_of[query_idx]),
            limit=k,
            user_id=users[user] if user != ANONYMOUS else None,
            item_ids=(items[seed],) if seed != ANONYMOUS else (),
        )
        seen = with_offers(engine, request)
        query, _ = resolve(seen, request, chosen)
        yield rank(chosen, UserState(seen, query))


def baseline_lists(
    past: TrainingSlice,
    task: Task,
    names: Iterable[str],
    k: int,
    progress: Progress = silent,
    *,
    only_new: bool = False,
) -> dict[str, npt.NDArray[np.int32]]:
    """The lists of baselines from `PERSONAL`, by name, int32 (n_queries, k).

    Args:
        past: what they are fitted on.
        task: the queries; every one names a shopper.
        names: which baselines.
        k: length of a list.
        progress: receives the progress of the loop.
        only_new: leave out what the shopper has bought.
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
    """`Σ exp(−age/τ)` over what the shopper bought up to each query, most popular items after it, int32 (n_queries, k).

    With no decay it is GP-TopFreq. Popularity is that of the past, as it is for every method.

    Args:
        engine: holds the histories.
        past: what popularity is counted on.
        task: the queries; every one names a shopper.
        k: length of a list.
        decay_days: τ, in days.
        progress: receives the progress of the loop.
    """
    lists = np.full((len(task), k), NO_ITEM, np.int32)
    popular = np.argsort(-past.popularity, kind="stable").astype(np.int32)[:k]
    label = "gp_topfreq" if np.isinf(decay_days) else "exponential_decay"
    for query_idx in track(range(len(task)), label, progress):
        now = int(task.as_of[query_idx])
        bought = engine.history.of(int(task.user_idx[query_idx]), now).of_kind(engine.dataset_info.target_event)
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
