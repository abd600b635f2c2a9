"""Orders of lists of items bought together, by hand and against counting."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.ids import NO_ITEM
from recsys.data.catalog import read_catalog
from recsys.data.dataset import Dataset
from recsys.models.pairs.copurchase import CopurchaseConfig, count_copurchase, fit_copurchase, list_together
from recsys.models.pairs.related_items import RelatedItems
from recsys.models.pairs.together_lists import TogetherOrder, popularity_prior
from recsys.models.temporal.popularity import PopularityConfig, fit_popularity
from tests.recsys.small_shops import CATALOG, shops
from tests.shop import at, dataset_of, moment

CONFIG = CopurchaseConfig(list_length=8, item_shrinkage=50.0)
ORDERS: tuple[TogetherOrder, ...] = get_args(TogetherOrder)


def momentum_of(dataset: Dataset) -> np.ndarray:
    return fit_popularity(dataset, PopularityConfig(), dataset.end).weekly_momentum


def lists_of(dataset: Dataset, order: TogetherOrder, **changes: float) -> RelatedItems:
    config = replace(CONFIG, order=order, **changes)
    catalog = read_catalog(dataset.catalog)
    counts = count_copurchase(dataset, catalog, config, dataset.end)
    return list_together(counts, momentum_of(dataset), catalog, config)


def first(dataset: Dataset, item_id: str, order: TogetherOrder) -> str:
    row = dataset.items.row(item_id)
    assert row is not None
    return dataset.items.ids[lists_of(dataset, order).item_idx[row, 0]]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """`x` shares one basket with `a1`, its buyers also buy `b1`, and all others buy `c1`."""
    baskets = {"u1": ["x a1", "b1"], "u2": ["x", "b1"], "u3": ["x", "b1"]} | {f"v{n}": ["c1 c2"] for n in range(20)}
    rows = [
        {"user_id": user, "item_id": item, "basket_id": f"{user}-{n}", "timestamp": at(moment(9 + n))}
        for user, orders in baskets.items()
        for n, order in enumerate(orders)
        for item in order.split()
    ]
    return dataset_of(rows, CATALOG)


def test_each_order_puts_first_what_it_counts(dataset: Dataset) -> None:
    assert first(dataset, "x", "baskets") == "a1"
    assert first(dataset, "x", "users") == "b1"
    assert first(dataset, "x", "popularity") in ("c1", "c2")


def test_the_sum_adds_the_two_shares(dataset: Dataset) -> None:
    row, score = dataset.items.row("x"), {}
    for order in ("baskets", "users", "sum"):
        lists = lists_of(dataset, order)
        score[order] = dict(zip(lists.item_idx[row].tolist(), lists.score[row].tolist(), strict=True))
    for item, both in score["sum"].items():
        if item != NO_ITEM:
            assert both == pytest.approx(score["baskets"].get(item, 0) + score["users"].get(item, 0), abs=1e-5)


@given(shops(max_size=60), st.sampled_from(ORDERS))
def test_lists_never_hold_the_item_itself_nor_an_item_twice(dataset: Dataset, order: TogetherOrder) -> None:
    lists = lists_of(dataset, order)
    for row, items in enumerate(lists.item_idx.tolist()):
        known = [item for item in items if item != NO_ITEM]
        assert row not in known
        assert len(set(known)) == len(known)
    assert (np.diff(lists.score) <= 0).all()


@given(shops(max_size=60), st.sampled_from(ORDERS), st.data())
def test_some_lists_equal_those_of_all_items(dataset: Dataset, order: TogetherOrder, data: st.DataObject) -> None:
    catalog, config = read_catalog(dataset.catalog), replace(CONFIG, order=order)
    counts = count_copurchase(dataset, catalog, config, dataset.end)
    every = list_together(counts, momentum_of(dataset), catalog, config)
    wanted = np.array(sorted(data.draw(st.sets(st.integers(0, len(dataset.items) - 1)))), np.int64)
    some = list_together(counts, momentum_of(dataset), catalog, config, wanted)
    np.testing.assert_array_equal(some.item_idx[wanted], every.item_idx[wanted])
    others = np.setdiff1d(np.arange(len(dataset.items)), wanted)
    assert (some.item_idx[others] == NO_ITEM).all()


def test_settings_that_only_order_share_their_counts() -> None:
    config = CopurchaseConfig()
    ordering = replace(config, item_shrinkage=3.0, momentum_power=0.0, popularity_discount=0.5, order="sum")
    assert ordering.counted == config.counted
    assert replace(config, decay_days=7.0).counted != config.counted


def test_the_prior_divides_by_popularity(dataset: Dataset) -> None:
    share = np.linspace(0.1, 0.6, len(dataset.items))
    np.testing.assert_allclose(popularity_prior(np.ones(len(share)), share, 0.0, 1.0), 1 / share)
    np.testing.assert_allclose(popularity_prior(np.full(len(share), 3.0), share, 0.0, 0.0), 1.0)


@pytest.mark.parametrize("order", ORDERS)
def test_the_candidates_of_users_do_not_depend_on_the_order_of_the_lists(
    dataset: Dataset, order: TogetherOrder
) -> None:
    """The weights of users' lists are learned with candidates by probability."""
    catalog = read_catalog(dataset.catalog)
    ordered, plain = (
        fit_copurchase(dataset, catalog, replace(CONFIG, order=each, n_partners=4), dataset.end)
        for each in (order, "probability")
    )
    np.testing.assert_array_equal(ordered.partners.item_idx, plain.partners.item_idx)
    np.testing.assert_array_equal(ordered.partners.score, plain.partners.score)
    if order != "probability":
        assert (ordered.bought_together.score != plain.bought_together.score).any()


def test_a_shop_whose_order_is_popularity_has_no_lists(dataset: Dataset) -> None:
    """The fallback of the placement serves: no list says that a best seller goes with an item."""
    config = replace(CONFIG, order="popularity")
    model = fit_copurchase(dataset, read_catalog(dataset.catalog), config, dataset.end)
    assert (model.bought_together.item_idx == NO_ITEM).all()
    assert (model.partners.item_idx != NO_ITEM).any()
