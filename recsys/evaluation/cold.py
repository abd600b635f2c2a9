"""Protocols for those of whom next to nothing is known: new items, new shoppers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys import metrics
from recsys.candidates import Shopper
from recsys.context import Query
from recsys.dataset import Dataset
from recsys.engine import Engine, EngineConfig, fit_engine
from recsys.evaluation.baselines import Past, popularity
from recsys.evaluation.tasks import Task, next_basket
from recsys.evaluation.windows import Window
from recsys.history import History, UserHistory, build_history
from recsys.metrics import Values
from recsys.pipeline import rank
from recsys.placements import PLACEMENTS

MIN_BUYERS = 20
COLD_SHARE = 0.05
LEFT_OUT_SHARE = 1 / 3
KEPT_ITEMS = (1, 3, 5)
N_LISTED = 10


@dataclass(frozen=True)
class ColdItems:
    """Items whose every interaction is hidden, and who bought them.

    Attributes:
        item_idx: int32 (n_cold,).
        buyers: float32 CSC of ones (n_users, n_cold).
        engine: fitted without them.
        past: without them, for baselines.
    """

    item_idx: npt.NDArray[np.int32]
    buyers: sparse.csc_matrix
    engine: Engine
    past: Past


def hide_items(dataset: Dataset, window: Window, config: EngineConfig, rng: np.random.Generator) -> ColdItems | None:
    """Hide a share of the items that enough shoppers bought before the window; None where there are none."""
    known = dataset.until(window.start)
    bought = known.successes
    named = bought.take(bought.user_idx >= 0)
    shape = (len(dataset.users), len(dataset.items))
    held = sparse.csr_matrix((np.ones(len(named), np.float32), (named.user_idx, named.item_idx)), shape=shape)
    held.data[:] = 1
    candidates = np.flatnonzero(np.asarray(held.sum(axis=0)).ravel() >= MIN_BUYERS)
    n_cold = int(COLD_SHARE * len(candidates))
    if not n_cold:
        return None
    cold = np.sort(rng.choice(candidates, n_cold, replace=False)).astype(np.int32)
    hidden = replace(known, events=known.events.take(~np.isin(known.events.item_idx, cold)))
    engine = fit_engine(hidden, config, now=window.start)
    return ColdItems(cold, held[:, cold].tocsc(), engine, Past(hidden, window.start))


def score_cold_items(cold: ColdItems, window: Window) -> npt.NDArray[np.float32]:
    """How much each shopper is expected to like each hidden item, float32 (n_users, n_cold)."""
    engine = cold.engine
    scores = np.zeros(cold.buyers.shape, np.float32)
    for user_idx in range(len(engine.users)):
        history = engine.history.of(user_idx, window.start)
        rows, weight = engine.als.weights_of(history.item_idx, history.kind, window.start - history.timestamp)
        scores[user_idx] = engine.hybrid.vectors[cold.item_idx] @ engine.als.fold_in(rows, weight)
    return scores


def judge_cold_items(cold: ColdItems, scores: npt.NDArray[np.float32]) -> tuple[Values, Values]:
    """AUC of each item over shoppers, and each shopper's recall@50 over the hidden items."""
    area = np.empty(len(cold.item_idx))
    for column in range(len(area)):
        is_buyer = np.zeros(len(scores), np.bool_)
        is_buyer[cold.buyers.indices[cold.buyers.indptr[column] : cold.buyers.indptr[column + 1]]] = True
        area[column] = metrics.auc(scores[is_buyer, column], scores[~is_buyer, column])
    relevant = cold.buyers.tocsr()
    asked = np.flatnonzero(np.diff(relevant.indptr))
    best = np.argsort(-scores[asked], axis=1, kind="stable")[:, :50].astype(np.int32)
    return area, metrics.recall_at_k(best, relevant[asked], 50)


@dataclass(frozen=True)
class ColdUsers:
    """Shoppers whom the models never saw, asked about their next basket.

    Attributes:
        task: their first baskets in the window.
        history: everybody's events, theirs included.
        engine: fitted without them.
        past: without them, for baselines.
    """

    task: Task
    history: History
    engine: Engine
    past: Past


def leave_users_out(dataset: Dataset, window: Window, config: EngineConfig, rng: np.random.Generator) -> ColdUsers:
    """Leave a third of the shoppers out of training."""
    is_out = rng.random(len(dataset.users)) < LEFT_OUT_SHARE
    known = dataset.until(window.start)
    is_seen = (known.events.user_idx < 0) | ~is_out[known.events.user_idx]
    rest = replace(known, events=known.events.take(is_seen))
    task = next_basket(dataset, window)
    return ColdUsers(
        task=task.take(is_out[task.user_idx]),
        history=build_history(known, config.history),
        engine=fit_engine(rest, config, now=window.start),
        past=Past(rest, window.start),
    )


def judge_cold_users(cold: ColdUsers, n_kept: int) -> dict[str, Values]:
    """Recall@10 of `for_you`, and of own items before popular ones, from the last `n_kept` items alone."""
    placement, engine = PLACEMENTS["for_you"], cold.engine
    shape = (len(cold.task), N_LISTED)
    lists, baseline = np.full(shape, -1, np.int32), np.full(shape, -1, np.int32)
    popular = popularity(cold.past)(np.zeros(1, np.int32))[0]
    for place, user_idx in enumerate(cold.task.user_idx.tolist()):
        moment = int(cold.task.as_of[place])
        history = last_items(cold.history.of(user_idx, moment), engine.shop.goal, n_kept)
        rows = rank(placement, Shopper(engine, Query(-1, moment, 12, 0, N_LISTED, history))).item_idx
        lists[place, : len(rows)] = rows
        own = popular.copy()
        own[np.unique(history.item_idx)] += 1
        baseline[place] = np.argsort(-own, kind="stable")[:N_LISTED]
    return {
        "engine": metrics.recall_at_k(lists, cold.task.relevant, N_LISTED),
        "own_and_popular": metrics.recall_at_k(baseline, cold.task.relevant, N_LISTED),
    }


def last_items(history: UserHistory, goal: int, n_kept: int) -> UserHistory:
    """The latest purchase of each of the last `n_kept` distinct items."""
    bought = history.of_kind(goal)
    _, from_end = np.unique(bought.item_idx[::-1], return_index=True)
    latest = np.sort(len(bought) - 1 - from_end)[-n_kept:]
    chosen = np.zeros(len(bought), np.bool_)
    chosen[latest] = True
    return bought.take(chosen)
