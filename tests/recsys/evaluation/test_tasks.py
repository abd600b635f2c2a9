from __future__ import annotations

import numpy as np
import pytest

from recsys.core.errors import DataError
from recsys.data.dataset import Dataset
from recsys.evaluation import tasks
from recsys.evaluation.splits import Window, find_window
from recsys.evaluation.tasks import Task
from tests.shop import at, dataset_of, moment

WINDOW = Window(moment(10), moment(20))


@pytest.fixture
def shop() -> Dataset:
    """`ann` buys a, then a and b, then c; `bob` is new in the window; nobody's basket holds c and d."""
    lines = [
        ("ann", "a", 2, 9, "1"),
        ("ann", "a", 12, 8, "2"),
        ("ann", "b", 12, 8, "2"),
        ("ann", "c", 15, 20, "3"),
        ("bob", "a", 13, 9, "4"),
        (None, "c", 14, 10, "5"),
        (None, "d", 14, 10, "5"),
        ("ann", "d", 25, 9, "6"),
    ]
    rows = [
        {"user_id": user, "item_id": item, "timestamp": at(moment(day, hour)), "basket_id": basket}
        for user, item, day, hour, basket in lines
    ]
    types = {"a": "A", "b": "B", "c": "C", "d": "C"}
    return dataset_of(rows, [{"item_id": item, "category": [kind]} for item, kind in types.items()])


def asked(dataset: Dataset, task: Task) -> list[tuple[str | None, int, set[str]]]:
    """Who, when and what was taken."""
    ids = dataset.items.ids
    return [
        (
            dataset.users.ids[task.user_idx[row]] if task.user_idx[row] >= 0 else None,
            int(task.as_of[row]),
            {ids[item] for item in task.relevant[row].indices},
        )
        for row in range(len(task))
    ]


def test_next_basket_is_the_first_basket_of_each_known_user(shop: Dataset) -> None:
    assert asked(shop, tasks.next_basket(shop, WINDOW)) == [("ann", WINDOW.start - 1, {"a", "b"})]


def test_rolling_queries_are_just_before_every_basket(shop: Dataset) -> None:
    task = tasks.rolling(shop, WINDOW)
    assert asked(shop, task) == [("ann", moment(12, 8) - 1, {"a", "b"}), ("ann", moment(15, 20) - 1, {"c"})]
    assert task.hour.tolist() == [8, 20]


def test_discovery_counts_only_items_never_bought_before(shop: Dataset) -> None:
    assert asked(shop, tasks.discovery(shop, WINDOW)) == [("ann", WINDOW.start - 1, {"b", "c"})]


def test_completion_has_one_item_as_seed_and_the_others_as_relevant(shop: Dataset) -> None:
    task = tasks.completion(shop, WINDOW, np.random.default_rng(0))
    found = [({shop.items.ids[seed]}, taken) for seed, (_, _, taken) in zip(task.seed, asked(shop, task), strict=True)]
    assert [seed | others for seed, others in found] == [{"a", "b"}, {"c", "d"}]
    assert all(len(others) == 1 and not seed & others for seed, others in found)
    types = np.array([0, 1, 2, 2], np.int32)[np.argsort(np.argsort(shop.items.ids))]
    assert [taken for _, _, taken in asked(shop, tasks.of_other_types(task, types))] == [found[0][1]]


def test_anonymous_queries_have_no_user(shop: Dataset) -> None:
    task = tasks.anonymous(shop, WINDOW)
    assert [who for who, _, _ in asked(shop, task)] == [None] * 4
    assert task.hour.tolist() == [8, 9, 10, 20]


def test_baskets_without_an_hour_are_left_out() -> None:
    rows = [{"user_id": "u", "item_id": "a", "timestamp": at(moment(day))} for day in (2, 12)]
    assert len(tasks.anonymous(dataset_of(rows), WINDOW)) == 0


def test_windows_are_adjacent_and_start_at_local_midnight(shop: Dataset) -> None:
    report, tune = find_window(shop, "report", 7), find_window(shop, "tune", 7)
    assert report == Window(moment(19), moment(26))
    assert tune == Window(moment(12), moment(19))


def test_a_window_without_earlier_events_is_refused(shop: Dataset) -> None:
    with pytest.raises(DataError, match="holdout-days"):
        find_window(shop, "tune", 14)
    with pytest.raises(DataError, match="no event to hold out: ingest with --events"):
        find_window(dataset_of(), "report", 1)
