"""Baskets and pairs, by hand and against loops over sets."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given

from recsys.data.dataset import DAY_S, Dataset
from recsys.models.pairs.basket_pairs import count_pairs, group_baskets
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
    """A basket of two from today weighs 1/log₂3, one of ten days ago e⁻¹ of that with a decay of ten days."""
    dataset = baskets(
        ("1", "a1", 10), ("1", "b1", 10), ("1", "b1", 10), ("2", "a1", 0), ("2", "b1", 0), ("3", "a1", 10)
    )
    grouped, by_basket = group_baskets(dataset, max_basket=5, min_basket_share=0.5)
    assert by_basket
    pairs = count_pairs(grouped, moment(10), decay_days=10.0)
    first, second = dataset.items.row("a1"), dataset.items.row("b1")
    weight = (1 + np.exp(-1)) / np.log2(3)
    assert pairs.weight[first, second] == pytest.approx(weight)
    assert pairs.count[first, second] == 2
    assert pairs.item_weight[first] == pytest.approx(weight + 1)
    assert pairs.n_baskets[[first, second]].tolist() == [3, 2]
    assert pairs.total == pytest.approx(weight + 1)


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
        share = np.exp(-(dataset.end - latest[basket]) / DAY_S / 30) / np.log2(1 + len(items))
        for one, other in permutations(items, 2):
            weight[one, other] += share
            count[one, other] += 1
    grouped, _ = group_baskets(dataset, max_basket=100, min_basket_share=0.0)
    pairs = count_pairs(grouped, dataset.end, decay_days=30.0)
    np.testing.assert_allclose(pairs.weight.toarray(), weight, rtol=1e-5)
    np.testing.assert_array_equal(pairs.count.toarray(), count)
    np.testing.assert_array_equal(pairs.weight.indices, pairs.count.indices)


def test_purchases_are_grouped_by_user_where_baskets_have_one_item() -> None:
    grouped, by_basket = group_baskets(baskets(("1", "a1", 0), ("2", "b1", 1)), max_basket=5, min_basket_share=0.5)
    assert not by_basket
    assert np.diff(grouped.matrix.indptr).tolist() == [2]
    assert grouped.timestamp.tolist() == [moment(1)]


def test_large_baskets_are_left_out() -> None:
    dataset = baskets(("1", "a1", 0), ("1", "b1", 0), ("1", "c1", 0), ("2", "a1", 0), ("2", "b1", 0))
    grouped, _ = group_baskets(dataset, max_basket=2, min_basket_share=0.0)
    assert grouped.matrix.shape[0] == 1


def test_the_time_of_a_basket_is_that_of_its_last_new_item() -> None:
    """An item that is bought again in the same basket does not make the basket younger."""
    dataset = baskets(("1", "a1", 0), ("1", "b1", 2), ("1", "a1", 5))
    grouped, _ = group_baskets(dataset, max_basket=5, min_basket_share=0.0)
    assert grouped.timestamp.tolist() == [moment(2)]
