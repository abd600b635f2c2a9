"""An experiment and its results: segments, resampling units and samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from recsys.data.dataset import Dataset
from recsys.evaluation import experiment as module
from recsys.evaluation.experiment import Experiment, QuestionResults, by_hour, draw, score_lists
from recsys.evaluation.measures import accuracy
from recsys.evaluation.splits import find_window
from recsys.evaluation.tasks import ANONYMOUS, Task, next_basket
from tests.recsys.tiny_engine import tiny_engine
from tests.shop import small_config

USERS = st.lists(st.integers(-1, 4), max_size=12)


def task_of(users: list[int], hours: list[int] | None = None) -> Task:
    n = len(users)
    return Task(
        user_idx=np.array(users, np.int32),
        as_of=np.zeros(n, np.int64),
        seed=np.full(n, -1, np.int32),
        relevant=sparse.csr_matrix((n, 3), dtype=np.float32),
        hour=np.array([-1] * n if hours is None else hours, np.int8),
    )


@pytest.fixture(scope="module")
def cut(shop_dataset: Dataset) -> Experiment:
    return Experiment.cut(shop_dataset, find_window(shop_dataset, "report", 28), small_config())


@given(USERS)
def test_queries_share_a_unit_if_they_share_a_user(users: list[int]) -> None:
    unit = task_of(users).unit.tolist()
    for i, one in enumerate(users):
        for j, other in enumerate(users):
            assert (unit[i] == unit[j]) == (i == j or (one == other != ANONYMOUS))


def test_queries_that_are_items_are_units_of_their_own() -> None:
    results = QuestionResults(("m",), "auc", {"m": {"auc": np.zeros(3)}})
    assert results.n_queries == 3
    assert results.unit.tolist() == [0, 1, 2]


def test_models_are_fitted_on_events_before_the_window_only(cut: Experiment) -> None:
    assert cut.past.events.timestamp.max() < cut.window.start <= cut.dataset.end < cut.window.stop
    assert cut.engine.history.timestamp.max() < cut.window.start
    assert cut.rolling_engine.history.timestamp.max() == cut.dataset.end


def test_segments_by_history_contain_each_query_once(cut: Experiment) -> None:
    task = next_basket(cut.dataset, cut.window)
    masks = cut.segments(task)["history"]
    assert np.sum(list(masks.values()), axis=0).tolist() == [1] * len(task)
    for name, mask in masks.items():
        fewest = int(name.removesuffix(" baskets").partition("-")[0].removesuffix("+"))
        assert cut.n_baskets[task.user_idx[mask]].min() >= fewest


def test_anonymous_queries_have_no_segments_by_history(cut: Experiment) -> None:
    task = next_basket(cut.dataset, cut.window)
    anonymous = replace(task, user_idx=np.full(len(task), ANONYMOUS, np.int32))
    assert "history" not in cut.segments(anonymous)


def test_each_hour_is_in_one_part_of_the_day() -> None:
    parts = dict(by_hour(tiny_engine(), task_of([0] * 25, [*range(24), -1])))
    assert np.sum(list(parts.values()), axis=0).tolist() == [1] * 24 + [0]


def test_totals_count_all_lists_together(cut: Experiment) -> None:
    task = next_basket(cut.dataset, cut.window)
    same = np.zeros((len(task), 1), np.int32)
    results = score_lists(cut, task, {"m": same}, accuracy, treatments=("m",), primary_metric="recall@10")
    assert results.totals["m"]["coverage@20"] == 1
    assert results.totals["m"]["gini@20"] == pytest.approx(1 - 1 / len(cut.dataset.items))
    assert results.n_queries == len(task)


def test_a_large_task_is_sampled_the_same_way_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_QUERIES", 4)
    task = task_of(list(range(9)))
    drawn = draw(task).user_idx.tolist()
    assert drawn == draw(task).user_idx.tolist() == sorted(set(drawn))
    assert len(drawn) == 4
    assert draw(task.take(np.arange(4))).user_idx.tolist() == [0, 1, 2, 3]
