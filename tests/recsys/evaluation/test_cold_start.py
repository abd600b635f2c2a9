from __future__ import annotations

import numpy as np
import pytest

from recsys.data.dataset import PURCHASE, Dataset
from recsys.data.history import HistoryConfig, build_history
from recsys.evaluation.cold_start import ColdItemsTask, ColdUsersTask, hide_items, last_items, leave_users_out
from recsys.evaluation.splits import find_window
from tests.shop import at, dataset_of, moment, small_config


@pytest.fixture(scope="module")
def hidden(shop_dataset: Dataset) -> ColdItemsTask:
    window = find_window(shop_dataset, "report", 28)
    found = hide_items(shop_dataset, window, small_config(), np.random.default_rng(0))
    assert found is not None
    return found


def test_no_model_contains_hidden_items(hidden: ColdItemsTask) -> None:
    assert len(hidden.item_idx) > 0
    assert not np.isin(hidden.engine.history.item_idx, hidden.item_idx).any()
    assert (hidden.engine.popularity.n_buyers[hidden.item_idx] == 0).all()
    assert not hidden.engine.als.item_factors[hidden.item_idx].any()
    assert not hidden.past.counts[:, hidden.item_idx].nnz
    assert (np.diff(hidden.buyers.indptr) >= 20).all()


def test_no_model_contains_users_who_were_left_out(shop_dataset: Dataset) -> None:
    window = find_window(shop_dataset, "report", 28)
    cold: ColdUsersTask = leave_users_out(shop_dataset, window, small_config(), np.random.default_rng(0))
    assert 0 < len(cold.task) < len(shop_dataset.users) / 2
    for user_idx in cold.task.user_idx.tolist():
        assert len(cold.engine.history.of(user_idx, window.stop)) == 0
        assert len(cold.history.of(user_idx, window.start)) > 0
    assert cold.history.timestamp.max() < window.start


def test_the_last_items_are_the_latest_purchases_of_distinct_items() -> None:
    lines = [("a", 1), ("b", 2), ("a", 3), ("c", 4), ("c", 5)]
    rows = [{"user_id": "u", "item_id": item, "timestamp": at(moment(day, 9))} for item, day in lines]
    dataset = dataset_of(rows)
    history = build_history(dataset, HistoryConfig()).of(0, moment(30))
    kept = [[dataset.items.ids[row] for row in last_items(history, PURCHASE, n).item_idx] for n in (1, 2, 5)]
    assert kept == [["c"], ["a", "c"], ["b", "a", "c"]]
    assert last_items(history, PURCHASE, 2).timestamp.tolist() == [moment(3, 9), moment(5, 9)]
