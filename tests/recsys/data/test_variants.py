"""Ids of products in events and requests."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.ids import UNKNOWN
from recsys.core.schema import EVENTS, ITEMS
from recsys.data.variants import find_variants, list_variants, resolve_products
from tests.shop import at, dataset_of, table

SHIRTS = [{"item_id": f"P{n}-{size}", "item_group_id": f"P{n}"} for n in range(2) for size in "SML"]
EVERY = np.ones(7, np.bool_)


def items(*rows: dict[str, object]) -> pl.DataFrame:
    return table([*SHIRTS, {"item_id": "cup"}, *rows], ITEMS)


def test_a_product_is_its_best_selling_variant_that_can_be_bought() -> None:
    variants = list_variants(items(), np.array([1, 3, 2, 0, 0, 0, 9.0]))
    assert variants.row("P0", EVERY) == 1
    assert variants.row("P1", EVERY) == 3
    sold_out = EVERY.copy()
    sold_out[1] = False
    assert variants.row("P0", sold_out) == 2
    assert variants.row("P0", ~EVERY) == 1, "a page of what is sold out still has its lists"
    assert [variants.row(id_, EVERY) for id_ in ("cup", "P0-S", "nothing")] == [UNKNOWN] * 3


def test_an_id_that_an_item_has_is_the_items() -> None:
    shop = items({"item_id": "P0", "item_group_id": "P0"})
    assert list_variants(shop, np.zeros(8)).row("P0", np.ones(8, np.bool_)) == UNKNOWN
    events = table([{"item_id": "P0", "event": "view_item"}], EVENTS)
    assert resolve_products(events, find_variants(events, shop))[1] == 0


def test_events_of_a_product_count_for_its_variant() -> None:
    sold = [
        ("P0-L", "purchase"),
        ("P0-M", "view_item"),
        ("P0-M", "view_item"),
        ("P0", "view_item"),
        ("P1", "view_item"),
    ]
    rows = [{"item_id": id_, "event": event, "user_id": "u", "timestamp": at(n)} for n, (id_, event) in enumerate(sold)]
    dataset = dataset_of(rows, SHIRTS)
    assert [dataset.items.ids[row] for row in dataset.events.item_idx] == ["P0-L", "P0-M", "P0-M", "P0-L", "P1-S"]
    assert dataset.n_product_events == 2
    assert not set(dataset.items.ids) & {"P0", "P1"}, "a product is in no list"


@pytest.mark.parametrize("available", [None, True])
def test_a_variant_that_can_be_bought_comes_before_the_best_selling(available: bool | None) -> None:
    shop = [{"item_id": "a", "item_group_id": "p", "available": False}]
    shop.append({"item_id": "b", "item_group_id": "p", "available": available})
    rows = [{"item_id": id_, "event": "purchase", "user_id": "u", "timestamp": at(n)} for n, id_ in enumerate("aap")]
    dataset = dataset_of(rows, shop)
    assert [dataset.items.ids[row] for row in dataset.events.item_idx] == ["a", "a", "b"]


@given(st.lists(st.sampled_from(["P0", "P1", "P0-S", "P1-L", "cup", "other"]), max_size=12))
def test_every_event_is_kept_and_only_products_change(ids: list[str]) -> None:
    events = table([{"item_id": id_, "event": "view_item"} for id_ in ids], EVENTS)
    resolved, n_resolved = resolve_products(events, find_variants(events, items()))
    assert n_resolved == sum(id_ in ("P0", "P1") for id_ in ids)
    for before, after in zip(ids, resolved["item_id"], strict=True):
        assert after.startswith(f"{before}-") if before in ("P0", "P1") else after == before
