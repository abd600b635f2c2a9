"""Baskets and pairs, by hand and against loops over sets."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given

from recsys.data.dataset import DAY_S, Dataset
from recsys.models.pairs.basket_pairs import count_lines, count_pairs, group_baskets
from tests.recsys.small_shops import CATALOG, shops
from tests.shop import at, dataset_of, moment


def baskets(*lines: tuple[str, str, int]) -> Dataset:
    """Purchases of one user: basket, item, day."""
    rows = [
        {"user_id": "u", "basket_id": basket, "item_id": item, "timestamp": at(moment(day))}
        for basket, item, day in lines
    ]
    return dataset_of(rows, CATALOG)


def test_pairs_by_hand() -> None:
    """A basket of two from today weighs 1/log₂3, one of ten days ago half of that with a decay of ten days."""
    dataset = baskets(
        ("1", "a1", 10), ("1", "b1", 10), ("1", "b1", 10), ("2", "a1", 0), ("2", "b1", 0), ("3", "a1", 10)
    )
    assert count_lines(dataset).share_in_pairs == 0.8
    grouped = group_baskets(dataset, max_basket=5)
    pairs = count_pairs(grouped, moment(10), decay_days=10.0)
    first, second = dataset.items.row("a1"), dataset.items.row("b1")
    weight = 1.5 / np.log2(3)
    assert pairs.weight[first, second] == pytest.approx(weight)
    assert pairs.count[first, second] == 2
    assert pairs.item_weight[first] == pytest.approx(weight), "a basket of one item says nothing of pairs"
    assert pairs.n_baskets[[first, second]].tolist() == [3, 2]
    assert pairs.share[[first, second]].tolist() == pytest.approx([1, weight / (weight + 1)])
    assert pairs.n_all == 3


@given(shops(max_size=60))
def test_pairs_equal_loops_over_baskets(dataset: Dataset) -> None:
    events, n_items = dataset.target_events, len(dataset.items)
    contents: dict[int, set[int]] = {}
    latest: dict[int, int] = {}
    for basket, item, when in zip(events.basket_idx.tolist(), events.item_idx.tolist(), events.timestamp, strict=True):
        if item not in contents.setdefault(basket, set()):
            contents[basket].add(item)
            latest[basket] = int(when)
    weight, count = np.zeros((n_items, n_items)), np.zeros((n_items, n_items))
    for basket, items in contents.items():
        share = 1 / (1 + (dataset.end - latest[basket]) / DAY_S / 30) / np.log2(1 + len(items))
        for one, other in permutations(items, 2):
            weight[one, other] += share
            count[one, other] += 1
    grouped = group_baskets(dataset, max_basket=100)
    pairs = count_pairs(grouped, dataset.end, decay_days=30.0)
    np.testing.assert_allclose(pairs.weight.toarray(), weight, rtol=1e-5)
    np.testing.assert_array_equal(pairs.count.toarray(), count)
    np.testing.assert_array_equal(pairs.weight.indices, pairs.count.indices)


def test_all_items_of_a_user_can_be_one_basket() -> None:
    dataset = baskets(("1", "a1", 0), ("2", "b1", 1))
    assert count_lines(dataset).share_in_pairs == 0
    grouped = group_baskets(dataset, max_basket=5, by_user=True)
    assert np.diff(grouped.matrix.indptr).tolist() == [2]
    assert grouped.timestamp.tolist() == [moment(1)]


def test_large_baskets_are_left_out() -> None:
    dataset = baskets(("1", "a1", 0), ("1", "b1", 0), ("1", "c1", 0), ("2", "a1", 0), ("2", "b1", 0))
    grouped = group_baskets(dataset, max_basket=2)
    assert grouped.matrix.shape[0] == 1


def test_the_time_of_a_basket_is_that_of_its_last_new_item() -> None:
    """An item that is bought again in the same basket does not make the basket younger."""
    dataset = baskets(("1", "a1", 0), ("1", "b1", 2), ("1", "a1", 5))
    grouped = group_baskets(dataset, max_basket=5)
    assert grouped.timestamp.tolist() == [moment(2)]
