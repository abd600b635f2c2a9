"""Complements: significance by exact limits, planted pairs and staples, and the limit of exposure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from recsys.core.ids import NO_ITEM
from recsys.data.catalog import read_catalog
from recsys.data.dataset import Dataset
from recsys.fitting.engine import Engine
from recsys.models.pairs.complements import EVEN_SHARES, N_FIRST, exposure_prices, lowest_count
from recsys.models.pairs.copurchase import CopurchaseConfig, CopurchaseModel, fit_copurchase
from recsys.models.pairs.related_items import RelatedItems
from tests.recsys.small_shops import shops
from tests.shop import CAMERAS, CARDS, PHONES, at, dataset_of, moment

N_KINDS = 40


def planted_shop(staple_share: float, seed: int = 0, n_baskets: int = 6000) -> Dataset:
    """Each kind has a host and an accessory that follow each other into baskets; a staple is in many baskets."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for basket in range(n_baskets):
        kind = int(rng.integers(N_KINDS))
        held = {f"host {kind}"}
        if rng.random() < 0.6:
            held.add(f"accessory {kind}")
        held |= {f"host {other}" for other in rng.integers(N_KINDS, size=2)}
        if rng.random() < staple_share:
            held.add("staple")
        rows += [
            {"item_id": item_id, "basket_id": str(basket), "timestamp": at(moment(basket / 100))} for item_id in held
        ]
    items = [
        {"item_id": item_id, "category": [item_id.split()[0], item_id]} for item_id in {row["item_id"] for row in rows}
    ]
    return dataset_of(rows, items)


def fit(dataset: Dataset) -> CopurchaseModel:
    return fit_copurchase(dataset, read_catalog(dataset.catalog), CopurchaseConfig(list_length=20), dataset.end)


@given(st.lists(st.integers(0, 500), max_size=20))
def test_the_lower_limit_is_exact(counts: list[int]) -> None:
    """At the limit, a count as high as the observed one has a probability of 5 %."""
    low = lowest_count(np.array(counts, np.int64))
    for count, limit in zip(counts, low.tolist(), strict=True):
        assert limit == 0 if count == 0 else poisson.sf(count - 1, limit) == pytest.approx(0.05)


@pytest.mark.parametrize("staple_share", [0.2, 0.5, 0.9])
def test_a_staple_is_no_complement_of_everything(staple_share: float) -> None:
    dataset = planted_shop(staple_share)
    model, ids = fit(dataset), dataset.items
    holds_staple = (model.complementary.item_idx == ids.row("staple")).any(axis=1)
    assert holds_staple.mean() <= 0.05
    in_together = (model.bought_together.item_idx == ids.row("staple")).any(axis=1)
    assert in_together.mean() > 0.9, "it is what ends up in the same basket"


@pytest.mark.parametrize("staple_share", [0.0, 0.5])
def test_every_host_has_its_accessory_first(staple_share: float) -> None:
    dataset = planted_shop(staple_share)
    model, ids = fit(dataset), dataset.items
    for kind in range(N_KINDS):
        assert model.complementary.item_idx[ids.row(f"host {kind}"), 0] == ids.row(f"accessory {kind}")


def test_without_any_pair_but_chance_lists_are_empty() -> None:
    rng = np.random.default_rng(3)
    rows = [
        {"item_id": f"i{item}", "basket_id": str(basket), "timestamp": at(moment(basket / 100))}
        for basket in range(4000)
        for item in set(rng.integers(30, size=4).tolist())
    ]
    lists = fit(dataset_of(rows)).complementary
    assert (lists.item_idx >= 0).sum() <= 0.05 * 30 * 29


@given(shops(max_size=60))
def test_every_pair_is_significant_and_every_fill_has_a_significant_type(dataset: Dataset) -> None:
    model, catalog = fit(dataset), read_catalog(dataset.catalog)
    events = dataset.events
    baskets = [set(events.item_idx[events.basket_idx == each].tolist()) for each in np.unique(events.basket_idx)]
    by_type = [{int(catalog.item_type[item]) for item in held} for held in baskets]
    if not model.by_basket:
        return

    def low(groups: list[set[int]], one: int, other: int) -> float:
        both = sum({one, other} <= held for held in groups)
        by_chance = sum(one in held for held in groups) * sum(other in held for held in groups)
        return float(lowest_count(np.array([both]))[0]) * len(groups) / max(by_chance, 1)

    lists = model.complementary
    for item in range(len(dataset.items)):
        for other, n_together in zip(lists.item_idx[item].tolist(), lists.n_together[item].tolist(), strict=True):
            if other == NO_ITEM:
                continue
            if n_together:
                assert low(baskets, item, other) > 1.5
            else:
                types = catalog.item_type[[item, other]].tolist()
                assert min(types) >= 0
                assert low(by_type, *types) > 1.5


def test_what_shared_one_basket_shared_it_by_accident() -> None:
    """Two rarities of one basket have a lift of hundreds, and are not listed; of two baskets, they are."""
    for n_together in (1, 2):
        rows = [
            {"item_id": item_id, "basket_id": str(n), "timestamp": at(moment(n / 10))}
            for n in range(500)
            for item_id in (("rare 1", "rare 2") if n < n_together else (f"i{n % 30}", f"i{n * 7 % 29}"))
        ]
        dataset = dataset_of(rows)
        listed = fit(dataset).complementary.item_idx[dataset.items.row("rare 1")]
        assert (dataset.items.row("rare 2") in listed) == (n_together == 2)


def test_an_item_that_was_never_bought_has_the_complements_of_its_type() -> None:
    rows = [
        {"item_id": item_id, "basket_id": str(n), "timestamp": at(moment(n / 10))}
        for n in range(300)
        for item_id in (("phone", "case") if n % 3 == 0 else (f"bread {n % 7}", f"milk {n % 5}"))
    ]
    items = [
        {"item_id": item_id, "category": [item_id.split()[0]]}
        for item_id in (
            "phone",
            "phone new",
            "case",
            *(f"bread {n}" for n in range(7)),
            *(f"milk {n}" for n in range(5)),
        )
    ]
    dataset = dataset_of(rows, items)
    lists, ids = fit(dataset).complementary, dataset.items
    new = ids.row("phone new")
    assert [ids.ids[row] for row in lists.item_idx[new] if row >= 0] == ["case"]
    assert lists.n_together[new, 0] == 0
    assert lists.n_together[ids.row("phone"), 0] == 100


def test_planted_pairs_of_the_shop_are_first(shop_engine: Engine) -> None:
    items, lists = shop_engine.items, shop_engine.copurchase.complementary
    for seeds, wanted in ((PHONES, ("手机壳 1", "手机壳 2", "case-3", "case-4")), (CAMERAS, CARDS)):
        for seed in seeds:
            assert {items.ids[row] for row in lists.item_idx[items.row(seed), :5]} & set(wanted)


def random_lists(seed: int, n_items: int, length: int = 12) -> RelatedItems:
    """Lists in which a few items are nearly always among the first."""
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.permutation(n_items)[:length] for _ in range(n_items)]).astype(np.int32)
    rows[:, 0] = np.where((rows[:, 1:] == 0).any(axis=1), rows[:, 0], 0)
    score = -np.sort(-rng.random((n_items, length)), axis=1).astype(np.float32)
    return RelatedItems(rows, score + np.float32(1e-3), np.ones_like(rows))


@pytest.mark.parametrize("seed", range(5))
def test_no_item_is_among_the_first_of_too_many_lists(seed: int) -> None:
    n_items, limit = 600, 0.05
    lists = random_lists(seed, n_items)
    price = exposure_prices(lists, np.ones(n_items, np.int32), limit)
    score = lists.score * np.exp(-price)[lists.item_idx]
    order = np.argsort(-score, axis=1, kind="stable")[:, :N_FIRST]
    exposure = np.bincount(np.take_along_axis(lists.item_idx, order, axis=1).ravel(), minlength=n_items)
    even = EVEN_SHARES * N_FIRST * n_items / n_items
    assert exposure.max() <= max(limit * n_items, even)
    assert price[0] > 0 == price[exposure < limit * n_items / 4].min()


def test_within_the_limit_nothing_has_a_price() -> None:
    lists = random_lists(0, 600)
    assert not exposure_prices(lists, np.ones(600, np.int32), 1.0).any()
    assert not exposure_prices(lists, np.zeros(600, np.int32), 0.05).any()
