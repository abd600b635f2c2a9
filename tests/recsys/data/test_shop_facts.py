"""Facts about a whole shop: parts that are numbered by them have the events of the whole."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from recsys.core.schema import EVENT_NAMES
from recsys.data.dataset import Dataset, build_dataset
from recsys.data.shop_facts import choose_target, gather_facts
from recsys.data.variants import find_variants
from tests.shop import TIMEZONE, ShopTables


def test_parts_of_the_users_have_the_events_of_the_whole(shop_tables: ShopTables, shop_dataset: Dataset) -> None:
    events, items, users = shop_tables.events, shop_tables.items, shop_tables.users
    scope = shop_dataset.orders.scope
    facts = gather_facts(events, items, TIMEZONE, scope, find_variants(events, items))
    assert facts.items == shop_dataset.items
    assert (facts.target_event, facts.has_hours) == (shop_dataset.target_event, shop_dataset.has_hours)
    key = pl.coalesce("user_id", "visitor_id")
    middle = shop_dataset.users.ids[len(shop_dataset.users) // 2]
    halves = [
        build_dataset(events.filter(is_in), items, users.filter(of_users), timezone=TIMEZONE, facts=facts)
        for is_in, of_users in (
            (key < middle, pl.col("user_id") < middle),
            (key.is_null() | (key >= middle), pl.col("user_id") >= middle),
        )
    ]
    assert [*halves[0].users.ids, *halves[1].users.ids] == list(shop_dataset.users.ids)
    for name in ("item_idx", "timestamp", "event_type", "hour", "rating_weight"):
        both = np.concatenate([getattr(half.events, name) for half in halves])
        assert sorted(both.tolist()) == sorted(getattr(shop_dataset.events, name).tolist()), name


@pytest.mark.parametrize(
    ("counts", "target"),
    [
        ({"purchase": 1, "view_item": 900}, "purchase"),
        ({"purchase": 1, "view_item": 5000}, "view_item"),
        ({}, "purchase"),
    ],
)
def test_the_target_is_the_strongest_event_with_enough_of_them(counts: dict[str, int], target: str) -> None:
    found = choose_target(np.array([counts.get(name, 0) for name in EVENT_NAMES]))
    assert EVENT_NAMES[found] == target


def test_impressions_do_not_count() -> None:
    counts = np.zeros(len(EVENT_NAMES), np.int64)
    counts[EVENT_NAMES.index("view_item_list")], counts[EVENT_NAMES.index("purchase")] = 10**6, 1
    assert EVENT_NAMES[choose_target(counts)] == "purchase"
