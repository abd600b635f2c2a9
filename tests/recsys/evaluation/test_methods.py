"""Lists of baselines: by hand, and against a full sort."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from recsys.core.ids import NO_ITEM
from recsys.data.dataset import Dataset
from recsys.evaluation import methods
from recsys.evaluation.baselines import PERSONAL, TrainingSlice
from recsys.evaluation.methods import baseline_lists, recent_own_lists
from recsys.evaluation.tasks import Task
from recsys.fitting.engine import Engine

K = 5


def task_of(users: list[int], now: int, n_items: int) -> Task:
    n = len(users)
    return Task(
        user_idx=np.array(users, np.int32),
        as_of=np.full(n, now, np.int64),
        seed=np.full(n, NO_ITEM, np.int32),
        relevant=sparse.csr_matrix((n, n_items), dtype=np.float32),
        hour=np.full(n, -1, np.int8),
    )


@pytest.fixture(scope="module")
def past(shop_dataset: Dataset) -> TrainingSlice:
    return TrainingSlice(shop_dataset, shop_dataset.end + 1)


@pytest.fixture(scope="module")
def task(past: TrainingSlice) -> Task:
    return task_of(np.unique(past.events.user_idx)[:9].tolist(), past.now - 1, past.shape[1])


@pytest.mark.parametrize("name", ["popularity", "gp_topfreq", "ease"])
@pytest.mark.parametrize("only_new", [False, True])
def test_lists_equal_a_full_sort(
    name: str, only_new: bool, past: TrainingSlice, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In blocks of four users, ties by item."""
    monkeypatch.setattr(methods, "BLOCK_CELLS", 4 * past.shape[1])
    found = baseline_lists(past, task, [name], K, only_new=only_new)[name]
    for user, listed in zip(task.user_idx, found, strict=True):
        score = np.array(PERSONAL[name](past)(np.array([user], np.int32))[0], np.float64)
        allowed = np.flatnonzero(past.counts[user].toarray()[0] == 0) if only_new else np.arange(past.shape[1])
        expected = sorted(allowed.tolist(), key=lambda item: (-score[item], item))[:K]
        assert listed.tolist() == expected


def test_a_list_ends_where_every_item_was_bought(past: TrainingSlice, task: Task) -> None:
    n_items = past.shape[1]
    lists = baseline_lists(past, task, ["popularity"], n_items, only_new=True)["popularity"]
    n_bought = np.diff(past.counts.indptr)[task.user_idx]
    assert ((lists >= 0).sum(axis=1) == n_items - n_bought).all()


def test_recent_purchases_come_first_by_decayed_weight(shop_engine: Engine, past: TrainingSlice, task: Task) -> None:
    lists = recent_own_lists(shop_engine, past, task, K, decay_days=10.0)
    for query_idx, user in enumerate(task.user_idx.tolist()):
        history = shop_engine.history.of(user, int(task.as_of[query_idx]))
        score = 0.1 * past.popularity.astype(np.float64)
        bought = history.of_type(shop_engine.dataset_info.target_event)
        for item, when in zip(bought.item_idx, bought.timestamp, strict=True):
            score[item] += np.exp(-(int(task.as_of[query_idx]) - when) / 86_400 / 10)
        expected = sorted(range(past.shape[1]), key=lambda item: (-score[item], item))[:K]
        assert lists[query_idx].tolist() == expected
