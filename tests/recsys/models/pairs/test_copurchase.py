from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from recsys.core.ids import NO_ITEM
from recsys.data.catalog import Catalog, read_catalog
from recsys.data.dataset import Dataset
from recsys.fitting.engine import Engine
from recsys.models.pairs.complements import ComplementConfig
from recsys.models.pairs.copurchase import CopurchaseConfig, CopurchaseModel, fit_copurchase
from recsys.models.pairs.purchase_order import DirectionConfig, find_reversed_pairs
from recsys.models.pairs.related_items import BY_USER_ONLY, RelatedItems
from recsys.models.temporal.popularity import momentum
from tests.recsys.small_shops import CATALOG, shops
from tests.shop import CAMERAS, CARDS, CASES, CHARGERS, DAY_S, PHONES, at, dataset_of, moment

CONFIG = CopurchaseConfig(
    decay_days=30.0,
    item_shrinkage=3.0,
    type_shrinkage=4.0,
    category_shrinkage=9.0,
    list_length=8,
    min_basket_share=0.0,
    momentum_power=0.0,
    direction=DirectionConfig(min_z=1.0),
)


def _fit(dataset: Dataset, config: CopurchaseConfig = CONFIG) -> CopurchaseModel:
    return fit_copurchase(dataset, read_catalog(dataset.catalog), config, dataset.end)


def _baskets(*baskets: str, users: bool = False) -> Dataset:
    rows = [
        {"user_id": "u" if users else None, "item_id": item_id, "basket_id": str(n), "timestamp": at(moment(9))}
        for n, basket in enumerate(baskets)
        for item_id in basket.split()
    ]
    return dataset_of(rows, CATALOG)


def _as_dict(lists: RelatedItems, row: int) -> dict[int, float]:
    entries = zip(lists.item_idx[row].tolist(), lists.score[row].tolist(), strict=True)
    return {item: score for item, score in entries if item != NO_ITEM}


def test_hand_computed_probability() -> None:
    """`x` has no type: `P(c1|x) = (k + s₁·p)/(n + s₁)`, each basket of two weighing `1/log2(3)`."""
    dataset = _baskets("x c1", "x c1", "x a1", "c1 a1")
    model, ids = _fit(dataset), dataset.items
    w, s = 1 / np.log2(3), CONFIG.item_shrinkage
    expected = (2 * w + s * 3 / 4) / (3 * w + s)
    assert _as_dict(model.bought_together, ids.row("x"))[ids.row("c1")] == pytest.approx(expected, rel=1e-5)
    assert model.n_baskets.tolist() == [2, 0, 0, 0, 3, 3]
    assert (model.n_all, model.by_basket) == (4, True)
    place = model.bought_together.item_idx[ids.row("x")].tolist().index(ids.row("c1"))
    assert model.bought_together.n_together[ids.row("x"), place] == 2


def _probabilities(dataset: Dataset, config: CopurchaseConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`P(j|i)`, baskets of both and baskets of one, from sets and loops."""
    catalog, events, n_items = read_catalog(dataset.catalog), dataset.events, len(dataset.items)
    baskets: dict[int, tuple[int, set[int]]] = {}
    for basket, item, when in zip(events.basket_idx, events.item_idx, events.timestamp, strict=True):
        _, contents = baskets.get(int(basket), (0, set()))
        if int(item) not in contents:
            baskets[int(basket)] = int(when), contents | {int(item)}
    both, own, n_both, total = np.zeros((n_items, n_items)), np.zeros(n_items), np.zeros((n_items, n_items)), 0.0
    share = np.zeros(n_items)
    for when, held in baskets.values():
        weight = 1 / (1 + (dataset.end - when) / DAY_S / config.decay_days) / np.log2(1 + len(held))
        total += weight
        for i in held:
            share[i] += weight
            own[i] += weight * (len(held) > 1)
            for j in held - {i}:
                both[i, j] += weight
                n_both[i, j] += 1
    probability = np.zeros((n_items, n_items))
    for i in range(n_items):
        given = share / max(total, 1e-12)
        type_, category = catalog.item_type[i], catalog.item_category[i]
        for alike, known, s in (
            (catalog.item_category == category, category >= 0, config.category_shrinkage),
            (catalog.item_type == type_, type_ >= 0, config.type_shrinkage),
            (np.arange(n_items) == i, True, config.item_shrinkage),
        ):
            if known:
                given = (both[alike].sum(axis=0) + s * given) / (own[alike].sum() + s)
        probability[i] = given
    return probability, n_both, share


def _partners(i: int, catalog: Catalog, n_both: np.ndarray) -> set[int]:
    """What shared a basket with the item or with one of its type; with its category's where no type's item did."""
    of_type = n_both[catalog.item_type == catalog.item_type[i]].any(axis=0) & (catalog.item_type[i] >= 0)
    of_category = n_both[catalog.item_category == catalog.item_category[i]].any(axis=0) & (
        catalog.item_category[i] >= 0
    )
    wider = of_type if of_type.any() else of_category
    return set(np.flatnonzero((n_both[i] > 0) | wider).tolist()) - {i}


@given(shops(max_size=60))
def test_equals_counting_basket_by_basket(dataset: Dataset) -> None:
    """Without known users, baskets are all there is."""
    events = dataset.events
    dataset = replace(dataset, events=replace(events, user_idx=np.full_like(events.user_idx, -1)))
    model = _fit(dataset)
    catalog = read_catalog(dataset.catalog)
    probability, n_both, share = _probabilities(dataset, CONFIG)
    for i in range(len(dataset.items)):
        if catalog.item_type[i] < 0 and not share[i]:
            continue
        together = _as_dict(model.bought_together, i)
        likely = _partners(i, catalog, n_both)
        assert set(together) == likely
        for j in likely:
            assert together[j] == pytest.approx(probability[i, j], rel=1e-4)
        for j, n in zip(model.bought_together.item_idx[i], model.bought_together.n_together[i], strict=True):
            assert j == NO_ITEM or n == n_both[i, j]


@given(shops(max_size=60))
def test_a_complement_replaces_nothing_and_does_not_come_first(dataset: Dataset) -> None:
    model, catalog = _fit(dataset), read_catalog(dataset.catalog)
    backward = find_reversed_pairs(dataset, catalog, CONFIG.direction)
    for i in range(len(dataset.items)):
        listed = np.array(list(_as_dict(model.complementary, i)), np.int32)
        assert not ((catalog.item_type[i] == catalog.item_type[listed]) & (catalog.item_type[i] >= 0)).any()
        assert not ((catalog.group[i] == catalog.group[listed]) & (catalog.group[i] >= 0)).any()
        assert not backward.is_reversed(i, listed, catalog).any()


@given(shops(max_size=60))
def test_lists_are_descending_and_never_contain_the_item_itself(dataset: Dataset) -> None:
    model = _fit(dataset, replace(CONFIG, list_length=3))
    whole = _fit(dataset)
    for lists in (model.bought_together, model.complementary):
        assert (np.diff(lists.score, axis=1) <= 0).all()
        ends = lists.item_idx == NO_ITEM
        assert not lists.score[ends].any()
        assert not lists.n_together[ends].any()
        assert not (lists.item_idx == np.arange(len(lists.item_idx))[:, None]).any()
    np.testing.assert_array_equal(model.bought_together.item_idx, whole.bought_together.item_idx[:, :3])


def test_a_popularity_discount_of_one_orders_by_lift() -> None:
    dataset = _baskets("x c1", "x c1", "x a1", "c1 a1", "c1", "c1")
    plain = _as_dict(_fit(dataset).bought_together, dataset.items.row("x"))
    lifted = _as_dict(_fit(dataset, replace(CONFIG, popularity_discount=1.0)).bought_together, dataset.items.row("x"))
    weight = np.array([2, 0, 0, 0, 3, 3]) / np.log2(3)
    weight[4] += 2
    total = 4 / np.log2(3) + 2
    for item in (0, 4):
        assert lifted[item] == pytest.approx(plain[item] / (weight[item] / total), rel=1e-4)


def test_large_baskets_have_no_effect() -> None:
    dataset = _baskets("x c1", "x a1 a2 b1")
    model = _fit(dataset, replace(CONFIG, max_basket=3))
    assert model.n_all == 1
    assert model.n_baskets[dataset.items.row("x")] == 1


def test_without_baskets_of_two_items_purchases_are_grouped_by_user() -> None:
    rows: list[dict[str, Any]] = [
        {"user_id": user_id, "item_id": item_id, "basket_id": f"{user_id}/{item_id}", "timestamp": at(moment(day))}
        for user_id in ("u", "v")
        for day, item_id in enumerate(("a1", "c1"))
    ]
    dataset = dataset_of(rows, CATALOG)
    model = _fit(dataset, replace(CONFIG, min_basket_share=0.2))
    assert not model.by_basket
    assert model.n_all == 2
    assert model.bought_together.n_together[dataset.items.row("a1"), 0] == 2


def test_items_of_unknown_type_are_excluded_by_the_given_function() -> None:
    rows = [
        {"user_id": "u", "item_id": item_id, "basket_id": str(n), "timestamp": at(moment(n))}
        for n in range(4)
        for item_id in ("p", "q", "r")
    ]
    dataset = dataset_of(rows)
    model = fit_copurchase(
        dataset,
        read_catalog(dataset.catalog),
        replace(CONFIG, complements=ComplementConfig(min_lift=0.1)),
        dataset.end,
        lambda item, others: (others == 1) & (item == 0),
    )
    assert set(_as_dict(model.bought_together, 0)) == {1, 2}
    assert set(_as_dict(model.complementary, 0)) == {2}
    assert set(_as_dict(model.complementary, 1)) == {0, 2}


def test_a_phone_lists_a_case_and_a_charger_and_a_camera_lists_a_card(shop_engine: Engine) -> None:
    items, lists = shop_engine.items, shop_engine.copurchase.complementary

    def first(seed: str, n: int) -> set[str]:
        return {items.ids[row] for row in lists.item_idx[items.row(seed), :n]}

    for phone in PHONES:
        assert len(first(phone, 5) & {*CASES, *CHARGERS}) >= 4
    for camera in CAMERAS:
        assert len(first(camera, 5) & set(CARDS)) >= 3
    for card in CARDS:
        assert not first(card, 50) & set(CAMERAS)
    for case in CASES:
        assert not first(case, 50) & set(PHONES)
        assert first(case, 4) & set(CHARGERS)


def test_items_that_sell_now_come_before_items_that_sold_as_often_earlier() -> None:
    """`c1` and `a1` share as many baskets with `x`; of late only `c1` sells."""
    rows = [
        {"item_id": item_id, "basket_id": f"{day}", "timestamp": at(moment(day))}
        for day, basket in enumerate([*["x a1"] * 30, *["x c1"] * 30])
        for item_id in basket.split()
    ]
    dataset = dataset_of(rows, CATALOG)
    flat = replace(CONFIG, decay_days=1e9)
    ids, far = dataset.items, _as_dict(_fit(dataset, flat).bought_together, dataset.items.row("x"))
    assert far[ids.row("a1")] == pytest.approx(far[ids.row("c1")], rel=1e-4)
    moved = _as_dict(_fit(dataset, replace(flat, momentum_power=1.0)).bought_together, ids.row("x"))
    bought = dataset.target_events
    expected = momentum(bought.item_idx, (dataset.end - bought.timestamp) / DAY_S, len(ids), 7.0)
    assert expected[ids.row("c1")] > 1 > expected[ids.row("a1")]
    for item, probability in far.items():
        assert moved[item] == pytest.approx(probability * expected[item], rel=1e-4)


def test_an_item_bought_alone_goes_with_what_its_buyers_bought_at_other_times() -> None:
    """`x` and `c1` are never in one basket; as many users bought both as there are baskets of `a1` and `b1`."""
    rows: list[dict[str, Any]] = []
    for n in range(6):
        rows += [{"user_id": f"u{n}", "item_id": "x", "basket_id": f"x{n}", "timestamp": at(moment(n))}]
        rows += [{"user_id": f"u{n}", "item_id": "c1", "basket_id": f"c{n}", "timestamp": at(moment(n + 9))}]
        rows += [
            {"user_id": f"v{n}", "item_id": item_id, "basket_id": f"v{n}", "timestamp": at(moment(n))}
            for item_id in ("a1", "b1")
        ]
    dataset = dataset_of(rows, CATALOG)
    model, ids = _fit(dataset, replace(CONFIG, min_basket_share=0.2)), dataset.items
    assert model.by_basket
    for seed, partner, n_together in (("x", "c1", BY_USER_ONLY), ("a1", "b1", 6)):
        assert model.bought_together.item_idx[ids.row(seed), 0] == ids.row(partner)
        assert model.bought_together.n_together[ids.row(seed), 0] == n_together


def test_where_all_buy_in_full_baskets_users_do_not_count() -> None:
    """The same user's other baskets say nothing that the baskets do not."""
    rows = [
        {"user_id": f"u{n}", "item_id": item_id, "basket_id": f"{basket}{n}", "timestamp": at(moment(n))}
        for n in range(5)
        for basket, item_ids in (("one", "x c1"), ("two", "a1 b1"))
        for item_id in item_ids.split()
    ]
    dataset = dataset_of(rows, CATALOG)
    lists = _fit(dataset).bought_together
    assert not (lists.n_together == BY_USER_ONLY).any()
    assert dataset.items.row("b1") not in _as_dict(lists, dataset.items.row("x"))
