"""What every protocol works on, by hand: eight items, a few users, and queries that are written down."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from recsys.core.metrics import Lists
from recsys.data.dataset import DAY_S, Dataset
from recsys.evaluation import experiment as experiment_module
from recsys.evaluation.baselines import TrainingSlice
from recsys.evaluation.experiment import Experiment, QuestionResults, draw, score_lists
from recsys.evaluation.measures import accuracy, completion_by_other_types
from recsys.evaluation.splits import Window
from recsys.evaluation.tasks import ANONYMOUS, Task
from tests.recsys.tiny_engine import NOW, i32, tiny_engine
from tests.shop import at, dataset_of

ENGINE = tiny_engine()
ITEMS = [{"item_id": item_id} for item_id in "abcdefgh"]


def bought(user: str | None, item_id: str, day: float, basket: str | None = None) -> dict[str, object]:
    return {"user_id": user, "item_id": item_id, "timestamp": at(NOW + round(day * DAY_S)), "basket_id": basket}


def task_of(*rows: tuple[int, int, int, list[int]]) -> Task:
    """Queries as (user, seed, local hour, relevant items), asked one second apart."""
    relevant = np.zeros((len(rows), 8), np.float32)
    for query, (_, _, _, items) in enumerate(rows):
        relevant[query, items] = 1
    return Task(
        user_idx=i32(*(row[0] for row in rows)),
        as_of=np.arange(len(rows), dtype=np.int64) + NOW,
        seed=i32(*(row[1] for row in rows)),
        relevant=sparse.csr_matrix(relevant),
        hour=np.array([row[2] for row in rows], np.int8),
    )


DATASET: Dataset = dataset_of(
    [
        bought("u", "a", -9, "1"),
        bought("u", "b", -9, "1"),
        bought("u", "a", -8, "2"),
        bought("v", "c", -7, "3"),
        bought(None, "c", -6, "4"),
        bought("u", "d", 1, "5"),
    ],
    ITEMS,
)
EXPERIMENT = Experiment(DATASET, Window(NOW, NOW + 9 * DAY_S), ENGINE, TrainingSlice(DATASET.until(NOW), NOW))
TASK = task_of((0, 2, 9, [3, 1]), (1, 0, 20, [0]), (0, 6, -1, [7]))
LISTS: Lists = np.array([[3, 0], [1, 2], [7, -1]], np.int32)


def test_baskets_are_counted_before_the_window() -> None:
    """The user's two lines of one basket are one; that of nobody counts for nobody."""
    assert EXPERIMENT.n_baskets.tolist() == [2, 1]


def test_segments_are_the_lengths_of_history_and_the_parts_of_the_day() -> None:
    """Parts that no query is in are left out, and so are queries of no known hour."""
    found = EXPERIMENT.segments(TASK)
    assert {kind: {name: mask.tolist() for name, mask in masks.items()} for kind, masks in found.items()} == {
        "history": {"1 baskets": [False, True, False], "2-4 baskets": [True, False, True]},
        "hour": {"00-11h": [True, False, False], "12-23h": [False, True, False]},
    }


def test_segments_that_mean_nothing_are_left_out() -> None:
    nobody = replace(TASK, user_idx=i32(0, ANONYMOUS, 0))
    assert EXPERIMENT.segments(nobody).keys() == {"hour"}
    without_hours = replace(TASK, hour=np.full(3, -1, np.int8))
    assert EXPERIMENT.segments(without_hours).keys() == {"history"}
    unfitted = replace(EXPERIMENT, engine=replace(ENGINE, timeofday=replace(ENGINE.timeofday, is_fitted=False)))
    assert unfitted.segments(TASK).keys() == {"history"}


@pytest.mark.parametrize(
    ("n_baskets", "name"),
    [(1, "1 baskets"), (2, "2-4 baskets"), (4, "2-4 baskets"), (5, "5-19 baskets"), (20, "20-99 baskets"),
     (99, "20-99 baskets"), (100, "100+ baskets"), (5000, "100+ baskets")],
)  # fmt: skip
def test_each_length_of_history_is_in_one_part(n_baskets: int, name: str) -> None:
    found = replace(EXPERIMENT)
    vars(found)["n_baskets"] = np.array([n_baskets, 1])
    parts = found.segments(task_of((0, -1, 9, [1])))["history"]
    assert {part for part, mask in parts.items() if mask[0]} == {name}


def test_queries_beyond_the_bound_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert draw(TASK) is TASK
    many = task_of(*((row, -1, 9, [row % 8]) for row in range(40)))
    monkeypatch.setattr(experiment_module, "MAX_QUERIES", 10)
    few = draw(many)
    assert len(few) == 10
    assert (np.diff(few.user_idx) > 0).all(), "in their order, each once"
    assert few.user_idx.tolist() == draw(many).user_idx.tolist()
    assert (few.as_of - NOW == few.user_idx).all()
    assert few.user_idx.tolist() != list(range(10))


def test_rolling_requests_see_what_came_since_the_models_were_fitted() -> None:
    task = EXPERIMENT.rolling_task
    assert (task.user_idx.tolist(), task.relevant.indices.tolist()) == ([0], [3])
    history = EXPERIMENT.rolling_engine.history.of(0, NOW + 9 * DAY_S)
    assert history.item_idx.tolist() == [0, 1, 0, 3]
    assert EXPERIMENT.rolling_engine.als is ENGINE.als


def test_results_are_those_of_every_method() -> None:
    other: Lists = np.array([[0, 1], [0, 1], [0, 1]], np.int32)
    found = score_lists(
        EXPERIMENT, TASK, {"mine": LISTS, "other": other}, accuracy, treatments=("mine",), primary_metric="recall@10"
    )
    assert found.values["mine"]["recall@10"].tolist() == [0.5, 0, 1]
    assert found.values["other"]["recall@10"].tolist() == [0.5, 1, 0]
    assert found.totals["mine"]["coverage@20"] == 5
    assert found.totals["other"] == {"coverage@20": 2, "gini@20": pytest.approx(0.75)}
    assert found.n_queries == 3
    assert found.segments.keys() == {"history", "hour"}
    only_types = score_lists(
        EXPERIMENT,
        TASK,
        {"mine": LISTS},
        completion_by_other_types,
        treatments=("mine",),
        primary_metric="acc_ndcg@10",
        prefix="acc_",
    )
    assert only_types.totals["mine"].keys() == {"acc_coverage@20", "acc_gini@20"}


def test_queries_of_one_user_are_one_unit() -> None:
    """Queries of nobody are each alone; where items are asked about, every query is."""
    mixed = replace(TASK, user_idx=i32(1, ANONYMOUS, 1))
    results = QuestionResults(("mine",), "x", {"mine": {"x": np.zeros(3)}}, task=mixed)
    first, alone, again = results.unit.tolist()
    assert first == again != alone
    assert QuestionResults(("mine",), "x", {"mine": {"x": np.zeros(3)}}).unit.tolist() == [0, 1, 2]
