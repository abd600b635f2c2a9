"""The catalog with offers in place, on an engine of eight items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.schema import ITEMS, OFFERS
from recsys.data.offers import Offers, OfferScope, read_offers
from recsys.fitting.engine import Engine
from recsys.pipeline.offer_view import NO_SCOPE, SHARED, offer_context_key, with_offers
from tests.recsys.tiny_engine import NOW, tiny_engine
from tests.shop import at, table

ITEMS_TABLE = table(
    [{"item_id": item_id, "price": 10.0, "available": True if item_id < "g" else None} for item_id in "abcdefgh"], ITEMS
)


def engine_of(*offers: dict[str, Any]) -> Engine:
    engine = tiny_engine(items_table=ITEMS_TABLE)
    return replace(engine, offers=Offers(read_offers(table(offers, OFFERS), engine.items)))


def view(engine: Engine, as_of: int = NOW, user: Mapping[str, Any] | None = None, **context: Any) -> Engine:
    def attributes() -> Mapping[str, Any]:
        assert user is not None, "no offer is for a region"
        return user

    return with_offers(engine, context, as_of, attributes)


def test_an_engine_without_offers_is_its_own_view() -> None:
    engine = engine_of()
    assert view(engine, store="x") is engine
    assert offer_context_key(engine, {"store": "x"}, NOW, dict) == NO_SCOPE


def test_where_no_offer_applies_the_engine_is_its_own_view() -> None:
    engine = engine_of({"item_id": "a", "store": "x", "price": 1.0})
    assert view(engine) is engine
    assert view(engine, store="y") is engine
    assert len(engine.offered) == 0


def test_prices_and_availability_are_those_of_the_place() -> None:
    engine = engine_of(
        {"item_id": "a", "store": "x", "price": 1.0},
        {"item_id": "b", "available": False},
        {"item_id": "b", "store": "x", "available": True},
        {"item_id": "h", "store": "x", "available": True, "price": 2.0},
    )
    here, there = view(engine, store="x"), view(engine)
    assert here.items_table["price"].to_list() == [1.0, *[10.0] * 6, 2.0]
    assert here.items_table["available"].to_list() == [True] * 6 + [None, True]
    assert there.items_table["price"].to_list() == [10.0] * 8
    assert there.items_table["available"].to_list() == [True, False, *[True] * 4, None, None]
    assert there.catalog.available.tolist() == [True, False, *[True] * 6]
    assert here.catalog.price.dtype == np.float32
    assert here.catalog.price.tolist() == here.items_table["price"].to_list()
    assert engine.items_table.equals(ITEMS_TABLE), "the engine itself is unchanged"


def test_a_price_that_nobody_states_stays_unknown() -> None:
    engine = engine_of({"item_id": "a", "price": 1.0})
    unpriced = replace(engine, items_table=ITEMS_TABLE.with_columns(price=ITEMS_TABLE["price"].clear(8)))
    assert view(unpriced).items_table["price"].to_list() == [1.0, *[None] * 7]
    assert np.isnan(view(unpriced).catalog.price[1:]).all()


def test_views_are_kept_by_the_offers_that_apply_not_by_the_context() -> None:
    engine = engine_of(
        {"item_id": "a", "store": "x", "price": 1.0},
        {"item_id": "a", "store": "x", "price": 2.0, "valid_from": at(NOW + 60)},
    )
    assert view(engine, store="x") is view(engine, store="x", channel="app")
    assert view(engine, NOW + 59, store="x") is view(engine, store="x")
    later = view(engine, NOW + 60, store="x")
    assert later is not view(engine, store="x")
    assert later.items_table["price"][0] == 2.0
    assert len(engine.offered) == 2


def test_the_user_s_region_counts_where_the_context_has_none() -> None:
    engine = engine_of({"item_id": "a", "region": "湖北", "price": 1.0})
    assert view(engine, user={"region": "湖北"}).items_table["price"][0] == 1.0
    assert view(engine, user={"region": "上海"}) is engine
    assert view(engine, user={}) is engine
    assert view(engine, region="上海") is engine, "the user is not looked up"
    assert view(engine, region="湖北").items_table["price"][0] == 1.0


@pytest.mark.parametrize("name", SHARED)
def test_what_no_offer_changes_is_shared(name: str) -> None:
    engine = engine_of({"item_id": "a", "store": "x", "price": 1.0})
    assert getattr(view(engine, store="x"), name) is getattr(engine, name)


def test_a_view_has_a_state_of_its_own() -> None:
    engine = engine_of({"item_id": "a", "store": "x", "available": False})
    here = view(engine, store="x")
    assert here.state is not engine.state
    assert here.general_state is engine.state
    assert here.listable["all"] is not None
    assert engine.listable["all"] is None


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "item_id": st.sampled_from("abg"),
                "store": st.sampled_from([None, "x", "y"]),
                "channel": st.sampled_from([None, "app"]),
                "price": st.sampled_from([None, 1.0, 2.0]),
                "available": st.sampled_from([None, True, False]),
            }
        ),
        max_size=6,
    ),
    st.sampled_from([{}, {"store": "x"}, {"store": "x", "channel": "app"}]),
)
def test_a_view_is_what_its_offers_say_one_by_one(offers: list[dict[str, Any]], context: dict[str, str]) -> None:
    engine = engine_of(*offers)
    prices, available = [10.0] * 8, [True] * 8
    key = engine.offers.context_key(OfferScope.of(context), NOW)
    for _, terms in engine.offers.applicable_terms(key, NOW):
        for row, price, said in zip(*(column.tolist() for column in terms[:3]), strict=True):
            prices[row] = prices[row] if price != price else price
            available[row] = available[row] if said < 0 else bool(said)
    found = view(engine, **context)
    assert found.items_table["price"].to_list() == prices
    assert found.catalog.available.tolist() == available
