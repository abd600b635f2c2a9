from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from recsys.data.catalog import read_catalog
from recsys.data.dataset import Dataset
from recsys.models.pairs.purchase_order import DirectionConfig, find_reversed_pairs
from tests.recsys.small_shops import CATALOG, shops
from tests.shop import CAMERAS, CARDS, CASES, DAY_S, PHONES, at, dataset_of, moment

CONFIG = DirectionConfig(window_days=9.0, max_followers=2, min_z=1.0)


def _rows(user_id: str, days: dict[str, tuple[int, ...]]) -> list[dict[str, Any]]:
    return [
        {"user_id": user_id, "item_id": item_id, "timestamp": at(moment(day, 12))}
        for item_id, sold in days.items()
        for day in sold
    ]


def test_the_card_follows_the_camera_and_never_the_other_way() -> None:
    """Nine shoppers buy b (100) and days later a (10): z = ½·2·√9 = 3, and from `a` nobody is sent to `b`."""
    rows = [row for n in range(9) for row in _rows(f"u{n}", {"b1": (n,), "a1": (n + 3,)})]
    dataset = dataset_of(rows, CATALOG)
    catalog = read_catalog(dataset.catalog)
    backward = find_reversed_pairs(dataset, catalog, DirectionConfig())
    item = {item_id: row for row, item_id in enumerate(dataset.items.ids)}
    everything = np.arange(len(item), dtype=np.int32)
    assert np.flatnonzero(backward.is_reversed(item["a1"], everything, catalog)).tolist() == [item["b1"], item["b2"]]
    assert not backward.is_reversed(item["b1"], everything, catalog).any()
    assert not backward.is_reversed(item["x"], everything, catalog).any()
    fewer = dataset_of(rows[:-2], CATALOG)
    assert not find_reversed_pairs(fewer, catalog, DirectionConfig()).pairs.nnz


def test_a_cheaper_item_is_never_excluded() -> None:
    rows = [row for n in range(20) for row in _rows(f"u{n}", {"a1": (n,), "b1": (n + 3,)})]
    dataset = dataset_of(rows, CATALOG)
    catalog = read_catalog(dataset.catalog)
    backward = find_reversed_pairs(dataset, catalog, DirectionConfig())
    assert backward.pairs.nnz == 1
    assert not backward.is_reversed(dataset.items.row("b1"), np.arange(6, dtype=np.int32), catalog).any()


@given(shops(max_size=60))
def test_equals_counting_follow_ups_one_by_one(dataset: Dataset) -> None:
    catalog, events = read_catalog(dataset.catalog), dataset.events
    baskets: dict[int, dict[int, tuple[int, set[int]]]] = {}
    for user, item, basket, when in zip(
        events.user_idx, events.item_idx, events.basket_idx, events.timestamp, strict=True
    ):
        type_ = int(catalog.item_type[item])
        if user >= 0 and type_ >= 0:
            baskets.setdefault(int(user), {}).setdefault(int(basket), (int(when), set()))[1].add(type_)
    follow: Counter[tuple[int, int]] = Counter()
    for own in baskets.values():
        ordered = sorted(own.values(), key=lambda basket: basket[0])
        for place, (when, types) in enumerate(ordered):
            for later, followers in ordered[place + 1 : place + 1 + CONFIG.max_followers]:
                if 0 < later - when <= CONFIG.window_days * DAY_S:
                    follow.update((a, b) for a in types for b in followers)
    expected = set()
    for (a, b), n in follow.items():
        for ahead, pair in ((n, (a, b)), (follow[b, a], (b, a))):
            both = n + follow[b, a]
            if a != b and ahead / both <= CONFIG.backward_share and (1 - 2 * ahead / both) * both**0.5 >= CONFIG.min_z:
                expected.add(pair)
    pairs = find_reversed_pairs(dataset, catalog, CONFIG).pairs.tocoo()
    assert set(zip(pairs.row.tolist(), pairs.col.tolist(), strict=True)) == expected


@given(shops(max_size=60))
def test_no_pair_is_reversed_in_both_directions(dataset: Dataset) -> None:
    pairs = find_reversed_pairs(dataset, read_catalog(dataset.catalog), CONFIG).pairs
    assert pairs.multiply(pairs.T).nnz == 0
    assert not pairs.diagonal().any()


@pytest.mark.parametrize(("seeds", "vetoed"), [(CARDS, CAMERAS), (CASES, PHONES)])
def test_hosts_are_not_recommended_for_their_accessories(
    shop_dataset: Dataset, seeds: tuple[str, ...], vetoed: tuple[str, ...]
) -> None:
    catalog = read_catalog(shop_dataset.catalog)
    backward = find_reversed_pairs(shop_dataset, catalog, DirectionConfig())
    hosts, accessories = shop_dataset.items.rows(vetoed), shop_dataset.items.rows(seeds)
    for seed in accessories:
        assert backward.is_reversed(int(seed), hosts, catalog).all()
    for host in hosts:
        assert not backward.is_reversed(int(host), accessories, catalog).any()
