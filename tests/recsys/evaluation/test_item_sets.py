"""Held-out support: by hand and by loops; random pairs are as popular as their sets; planted sets return."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.evaluation.experiment import Experiment
from recsys.evaluation.item_sets import contained_share, evaluate_sets, groups_of, random_pairs
from recsys.evaluation.splits import Window
from recsys.evaluation.summary import summarize
from recsys.evaluation.tasks import ANONYMOUS, Task, several
from recsys.models.pairs.item_sets import NO_ITEM_SETS, ItemSetConfig, fit_item_sets
from recsys.models.pairs.set_mining import Rows
from tests.recsys.basket_shops import BasketShop, baskets_of, with_sets
from tests.recsys.models.pairs.test_item_sets import catalog
from tests.shop import at, dataset_of, moment


def any_pair(first: Rows, second: Rows) -> npt.NDArray[np.bool_]:
    return np.ones(len(first), np.bool_)


def test_the_share_of_sets_of_each_basket_by_hand() -> None:
    baskets = baskets_of([[0, 1], [0, 1, 2], [2, 3], []], 5).matrix
    sets = np.array([[0, 1, -1, -1], [0, 1, 2, -1], [2, 3, -1, -1], [3, 4, -1, -1]], np.int32)
    assert contained_share(baskets, sets).tolist() == [0.25, 0.5, 0.25, 0]
    assert contained_share(baskets, sets[:0]).tolist() == [0, 0, 0, 0]


@given(
    st.lists(st.sets(st.integers(0, 7), max_size=6), min_size=1, max_size=12),
    st.lists(st.sets(st.integers(0, 7), min_size=2, max_size=4), min_size=1, max_size=8),
)
def test_the_share_equals_a_loop(contents: list[set[int]], sets: list[set[int]]) -> None:
    rows = np.array([sorted(items) + [-1] * (4 - len(items)) for items in sets], np.int32)
    expected = [sum(items <= basket for items in sets) / len(sets) for basket in contents]
    assert contained_share(baskets_of([sorted(basket) for basket in contents], 8).matrix, rows) == pytest.approx(
        expected
    )


def test_random_pairs_are_as_popular_as_the_items_of_the_sets() -> None:
    rng = np.random.default_rng(0)
    counts = np.rint(20_000 / np.arange(1, 2001) ** 0.8).astype(np.int64)
    sets = np.array([[3, 900, -1, -1], [50, 400, 420, -1], [1, 2, -1, -1]], np.int32)
    for items in sets:
        pairs = random_pairs(items[None], counts, any_pair, rng)
        rows = [row for row in items.tolist() if row >= 0]
        wanted = np.mean([np.log(counts[one] * counts[other]) for one in rows for other in rows if one < other])
        assert np.log(counts[pairs].prod(axis=1)).mean() == pytest.approx(wanted, abs=0.05)
        assert (pairs[:, 0] != pairs[:, 1]).all()
        assert len(np.unique(pairs, axis=0)) >= (4 if items[0] == 1 else 20)


def test_random_pairs_are_of_different_types() -> None:
    counts, rng = np.full(40, 9), np.random.default_rng(0)
    pairs = random_pairs(np.array([[3, 8]], np.int32), counts, lambda one, other: one % 2 != other % 2, rng)
    assert len(pairs)
    assert (pairs[:, 0] % 2 != pairs[:, 1] % 2).all()


def experiment_of(planted: list[tuple[int, ...]], seed: int) -> tuple[Experiment, Task]:
    """Models of one year of a shop with planted sets, and the baskets of another year of it."""
    shop = BasketShop()
    past, later = (with_sets(shop.baskets(seed + n), planted, 60, seed + n) for n in (0, 1000))
    n_baskets = np.asarray(past.matrix.sum(axis=0)).ravel().astype(np.int32)
    engine = SimpleNamespace(
        item_sets=fit_item_sets(past, catalog(), ItemSetConfig()),
        catalog=catalog(),
        copurchase=SimpleNamespace(n_baskets=n_baskets),
    )
    n = len(later.user_idx)
    none = np.full(n, ANONYMOUS, np.int32)
    task = Task(later.user_idx, later.timestamp, none, later.matrix, np.zeros(n, np.int8))
    return cast(Experiment, SimpleNamespace(engine=engine)), task


def test_planted_sets_return_much_more_often_than_random_pairs() -> None:
    experiment, task = experiment_of([(20, 90), (30, 70, 110), (10, 100, 120, 140)], 0)
    results = evaluate_sets(experiment, task)
    assert set(results.values["item_sets"]) >= {f"set_support_of_{n}" for n in (2, 3, 4)}
    (found,) = (
        each for each in summarize(results, np.random.default_rng(0)).comparisons if each.metric == "set_support"
    )
    assert found.relative.low > 2, "more than three times"


def test_metrics_without_a_set_are_left_out() -> None:
    assert groups_of(NO_ITEM_SETS) == {}
    experiment, _ = experiment_of([(20, 90)], 0)
    groups: dict[str, Any] = groups_of(experiment.engine.item_sets)
    assert {name: len(rows) for name, rows in groups.items()} == {
        "set_support": 1,
        "set_support@20": 1,
        "set_support_of_2": 1,
    }


def test_the_baskets_or_users_of_the_window_that_bought_several_items() -> None:
    def line(user: str, basket: str, item: str, day: int) -> dict[str, Any]:
        return {"user_id": user, "basket_id": basket, "item_id": item, "timestamp": at(moment(day))}

    rows = [line("u", "1", "a", 0), line("u", "1", "b", 0), line("u", "2", "a", 5), line("u", "3", "c", 6)]
    rows += [line("v", "4", "a", 5), line("v", "4", "b", 5), line("w", "5", "a", 6), line("w", "5", "a", 6)]
    dataset = dataset_of(rows, [])
    window = Window(moment(3), moment(9))
    names = dataset.items.ids
    for by_user, expected in ((False, [{"a", "b"}]), (True, [{"a", "c"}, {"a", "b"}])):
        task = several(dataset, window, by_user=by_user)
        assert [{names[item] for item in row.indices} for row in task.relevant] == expected
