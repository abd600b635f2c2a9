"""Cold-start protocols: items and users without training data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.core import metrics
from recsys.core.metrics import Values
from recsys.core.placements import PLACEMENTS
from recsys.core.progress import Progress, silent, track
from recsys.core.timestamps import NOON
from recsys.core.topk import top_k
from recsys.data.dataset import Dataset
from recsys.data.history import History, build_history, last_items
from recsys.data.incidence import incidence
from recsys.evaluation.baselines import TrainingSlice, popularity
from recsys.evaluation.experiment import QuestionResults, draw
from recsys.evaluation.splits import Window
from recsys.evaluation.tasks import ANONYMOUS, Task, next_basket
from recsys.fitting.engine import Engine, EngineConfig
from recsys.fitting.fit import fit_models
from recsys.pipeline.stages import rank
from recsys.ranking.fit import fit_engine
from recsys.retrieval.audience import audience_scores
from recsys.retrieval.query import Query
from recsys.retrieval.user_state import UserState

MIN_BUYERS = 20
COLD_SHARE = 0.05
LEFT_OUT_SHARE = 1 / 3
KEPT_ITEMS = (1, 3, 5)
N_LISTED = 10
N_COLD_LISTED = 50


@dataclass(frozen=True)
class ColdItemsTask:
    """Items whose interactions are all hidden, and their buyers.

    Attributes:
        item_idx: int32 (n_cold,), the hidden items.
        buyers: float32 CSC of ones (n_users, n_cold).
        engine: fitted without these interactions.
        past: the data without these interactions, for baselines.
    """

    item_idx: npt.NDArray[np.int32]
    buyers: sparse.csc_matrix
    engine: Engine
    past: TrainingSlice


def hide_items(
    dataset: Dataset, window: Window, config: EngineConfig, rng: np.random.Generator
) -> ColdItemsTask | None:
    """Hide a share of the items with at least `MIN_BUYERS` users before the window.

    Args:
        dataset: the shop.
        window: the evaluated period.
        config: settings of the models.
        rng: source of the draw.

    Returns:
        The task; None if there are too few such items.
    """
    known = dataset.until(window.start)
    bought = known.target_events
    named = bought.take(bought.user_idx >= 0)
    shape = (len(dataset.users), len(dataset.items))
    purchases = incidence(named.user_idx, named.item_idx, shape)
    candidates = np.flatnonzero(np.asarray(purchases.sum(axis=0)).ravel() >= MIN_BUYERS)
    n_cold = int(COLD_SHARE * len(candidates))
    if not n_cold:
        return None
    cold = np.sort(rng.choice(candidates, n_cold, replace=False)).astype(np.int32)
    hidden = replace(known, events=known.events.take(~np.isin(known.events.item_idx, cold)))
    engine = fit_models(hidden, config, now=window.start, user_lists_only=True)
    return ColdItemsTask(cold, purchases[:, cold].tocsc(), engine, TrainingSlice(hidden, window.start))


def evaluate_hidden_items(hidden: ColdItemsTask, window: Window) -> Iterator[QuestionResults]:
    """Compute the AUC of each hidden item over the users, then each user's recall@50 over the hidden items.

    The baseline scores a user by the number of distinct items bought; it cannot tell items apart.

    Args:
        hidden: the task.
        window: the evaluated period.

    Yields:
        The results of both questions.
    """
    activity = np.diff(hidden.past.counts.indptr).astype(np.float32)
    scores = {
        "engine": audience_scores(hidden.engine, hidden.item_idx, window.start - 1),
        "shopper_activity": np.repeat(activity[:, None], len(hidden.item_idx), axis=1),
    }
    yield QuestionResults(
        ("engine",), "auc", {name: {"auc": _auc_per_item(hidden, score)} for name, score in scores.items()}
    )
    task = _buyers_task(hidden, window)
    lists = {
        name: hidden.item_idx[np.argsort(-score[task.user_idx], axis=1, kind="stable")[:, :N_COLD_LISTED]]
        for name, score in scores.items()
    }
    values = {
        name: {f"recall@{N_COLD_LISTED}": metrics.recall_at_k(rows, task.relevant, N_COLD_LISTED)}
        for name, rows in lists.items()
    }
    yield QuestionResults(("engine",), f"recall@{N_COLD_LISTED}", values, lists, task)


def _auc_per_item(hidden: ColdItemsTask, scores: npt.NDArray[np.float32]) -> Values:
    values = np.empty(len(hidden.item_idx))
    for column in range(len(values)):
        is_buyer = np.zeros(len(scores), np.bool_)
        is_buyer[hidden.buyers.indices[hidden.buyers.indptr[column] : hidden.buyers.indptr[column + 1]]] = True
        values[column] = metrics.auc(scores[is_buyer, column], scores[~is_buyer, column])
    return values


def _buyers_task(hidden: ColdItemsTask, window: Window) -> Task:
    bought = hidden.buyers.tocoo()
    n_users, n_items = hidden.buyers.shape[0], len(hidden.past.dataset.items)
    relevant = sparse.csr_matrix((bought.data, (bought.row, hidden.item_idx[bought.col])), shape=(n_users, n_items))
    users = np.flatnonzero(np.diff(relevant.indptr))
    return Task(
        user_idx=users.astype(np.int32),
        as_of=np.full(len(users), window.start - 1, np.int64),
        seed=np.full(len(users), ANONYMOUS, np.int32),
        relevant=relevant[users],
        hour=np.full(len(users), -1, np.int8),
    )


@dataclass(frozen=True)
class ColdUsersTask:
    """Users that the models were not fitted on, with their next baskets.

    Attributes:
        task: their first baskets in the window.
        history: events of all users, theirs included.
        engine: fitted without them.
        past: the data without them, for baselines.
    """

    task: Task
    history: History
    engine: Engine
    past: TrainingSlice


def leave_users_out(dataset: Dataset, window: Window, config: EngineConfig, rng: np.random.Generator) -> ColdUsersTask:
    """Leave a third of the users out of training.

    Args:
        dataset: the shop.
        window: the evaluated period.
        config: settings of the models.
        rng: source of the draw.

    Returns:
        The task; it has no queries if none of these users bought before and in the window.
    """
    is_out = rng.random(len(dataset.users)) < LEFT_OUT_SHARE
    known = dataset.until(window.start)
    is_seen = (known.events.user_idx < 0) | ~is_out[known.events.user_idx]
    rest = replace(known, events=known.events.take(is_seen))
    task = draw(next_basket(dataset, window))
    return ColdUsersTask(
        task=task.take(is_out[task.user_idx]),
        history=build_history(known, config.history),
        engine=fit_engine(rest, config, now=window.start),
        past=TrainingSlice(rest, window.start),
    )


def evaluate_cold_users(cold: ColdUsersTask, n_kept: int, progress: Progress = silent) -> QuestionResults:
    """Compute recall@10 of `for_you`, and of own items followed by popular ones, from the last `n_kept` items only.

    Args:
        cold: the task.
        n_kept: items of each user's history that are visible, >= 1.
        progress: receives the progress.

    Returns:
        The results.
    """
    placement, engine = PLACEMENTS["for_you"], cold.engine
    shape = (len(cold.task), N_LISTED)
    lists, baseline = np.full(shape, -1, np.int32), np.full(shape, -1, np.int32)
    popular = popularity(cold.past)(np.zeros(1, np.int32))[0]
    bucket, allowed = int(engine.timeofday.bucket_of_hour[NOON]), engine.listable[placement.pool]
    for query_idx in track(range(len(cold.task)), f"for_you from {n_kept}", progress):
        as_of = int(cold.task.as_of[query_idx])
        history = cold.history.of(int(cold.task.user_idx[query_idx]), as_of)
        history = last_items(history, engine.dataset_info.target_event, n_kept)
        query = Query(-1, as_of, NOON, bucket, N_LISTED, history, allowed=allowed)
        rows = rank(placement, UserState(engine, query)).item_idx
        lists[query_idx, : len(rows)] = rows
        own = popular.copy()
        own[np.unique(history.item_idx)] += 1
        top_idx = top_k(own, N_LISTED)
        baseline[query_idx, : len(top_idx)] = top_idx
    by_method, metric = {"engine": lists, "own_and_popular": baseline}, f"recall@{N_LISTED}_n{n_kept}"
    recall = {
        name: {metric: metrics.recall_at_k(rows, cold.task.relevant, N_LISTED)} for name, rows in by_method.items()
    }
    return QuestionResults(("engine",), metric, recall, by_method, cold.task)
