"""Price drops and items that are back: what is planted is found, and what is no news is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.schema import EVENT_NAMES
from tests.recsys.moments.moment_shop import NOW, LiveShop, asked, event, fitted, shop
from tests.shop import DAY_S, at

VIEWS = [
    event("drop", "lamp", 3, price=100.0),
    event("wish", "lamp", 3, "add_to_wishlist", price=100.0),
    event("again", "soap", 10, "purchase", price=12.0),
    event("rise", "lamp", 3, price=70.0),
    event("same", "lamp", 3, price=80.0),
    event("tiny", "lamp", 3, price=82.0),
    event("unknown", "lamp", 60),
    event("known", "lamp", 3),
    event("saw it", "lamp", 3, price=100.0),
    event("saw it", "lamp", 1, price=80.0),
    event("dollars", "lamp", 3, price=100.0, currency="USD"),
    event("long ago", "lamp", 31, price=100.0),
    event("out", "lamp", 3, "remove_from_cart", price=100.0),
]
ENGINE = fitted(shop(VIEWS))


@pytest.mark.parametrize("user_id", ["drop", "wish", "again"])
def test_a_planted_drop_is_found(user_id: str) -> None:
    (item,) = asked(ENGINE, "price_drop", user_id)
    (reason,) = item.reasons
    before = 12.0 if user_id == "again" else 100.0
    now = 10.0 if user_id == "again" else 80.0
    assert (item.item_id, item.source) == ("soap" if user_id == "again" else "lamp", "price_drop")
    assert reason.code == "price_drop"
    assert reason.values["reference_price"] == before
    assert reason.values["price"] == now
    assert reason.values["drop"] == pytest.approx(1 - now / before, abs=1e-3)


def test_the_reason_states_both_prices_in_both_languages() -> None:
    (item,) = asked(ENGINE, "price_drop", "drop")
    assert item.reasons[0].text == "20% less than when you viewed it 3 days ago: 80 instead of 100"
    assert item.reasons[0].text_zh == "比您3天前看它时便宜20%：现价80，当时100"


@pytest.mark.parametrize(
    "user_id",
    ["rise", "same", "tiny", "unknown", "known", "saw it", "dollars", "long ago", "out", "nobody", None],
)
def test_what_is_no_drop_gives_no_message(user_id: str | None) -> None:
    """Risen, equal, below the least share, of unknown reference, seen at the lower price, in another currency, old."""
    assert asked(ENGINE, "price_drop", user_id) == ()


@given(st.floats(1, 500), st.sampled_from([name for name in EVENT_NAMES if name not in ("view_item_list", "purchase")]))
def test_a_drop_is_listed_if_and_only_if_it_is_one(seen: float, name: str) -> None:
    live = LiveShop(ENGINE)
    live.event("u", "vase", 2, name, price=seen)
    is_interest = name not in ("remove_from_cart", "refund")
    is_drop = is_interest and 1 - 60.0 / np.float32(seen) >= 0.05
    assert live.ids("price_drop", "u") == (["vase"] if is_drop else [])


def test_a_live_change_of_the_price_counts_at_the_next_request_and_has_an_expiry() -> None:
    live = LiveShop(ENGINE)
    live.event("u", "vase", 2)
    assert live.ids("price_drop", "u") == []
    live.add("item_patch", "vase", 1, price=45.0)
    item = live.one("price_drop", "u")
    assert item.reasons[0].values["reference_price"] == 60.0
    assert item.expires_at == at(NOW + 13 * DAY_S).isoformat().replace("+00:00", "Z")
    live.add("item_patch", "vase", 0.5, price=60.0)
    assert live.ids("price_drop", "u") == []


def test_the_price_between_two_changes_is_the_reference_of_what_was_seen_then() -> None:
    live = LiveShop(ENGINE)
    live.add("item_patch", "vase", 5, price=90.0)
    live.event("seen at 90", "vase", 4)
    live.add("item_patch", "vase", 3, price=50.0)
    live.event("seen at 50", "vase", 2)
    live.add("item_patch", "vase", 1, price=55.0)
    assert live.one("price_drop", "seen at 90").reasons[0].values["reference_price"] == 90.0
    assert live.ids("price_drop", "seen at 50") == []


def test_a_new_item_has_no_price_before_it_was_known() -> None:
    live = LiveShop(ENGINE)
    live.add("item_put", "fresh", 2, title="Fresh", category=["Home", "Rugs"], price=30.0)
    live.event("u", "fresh", 1.5)
    assert live.ids("price_drop", "u") == []
    live.add("item_patch", "fresh", 1, price=20.0)
    assert live.one("price_drop", "u").reasons[0].values["reference_price"] == 30.0


def test_the_offer_of_the_time_is_the_reference_and_its_end_the_expiry() -> None:
    offers = [
        {"item_id": "vase", "price": 90.0, "valid_from": at(NOW - 9 * DAY_S), "valid_to": at(NOW - 5 * DAY_S)},
        {"item_id": "vase", "price": 50.0, "valid_from": at(NOW - DAY_S), "valid_to": at(NOW + 2 * DAY_S)},
    ]
    engine = fitted(shop([event("u", "vase", 7), event("v", "vase", 3)]), offers)
    (item,) = asked(engine, "price_drop", "u")
    assert item.reasons[0].values["reference_price"] == 90.0
    assert item.expires_at == at(NOW + 2 * DAY_S).isoformat().replace("+00:00", "Z")
    (item,) = asked(engine, "price_drop", "v")
    assert item.reasons[0].values["reference_price"] == 60.0, "the price of the catalog, known for that time"
    assert asked(engine, "price_drop", "v", as_of=NOW + 3 * DAY_S) == (), "the offer has ended"


def test_an_item_that_is_back_is_news_for_those_who_looked_while_it_was_gone() -> None:
    live = LiveShop(fitted(shop([event("before", "sold-out", 3), event("never", "vase", 3)])))
    assert live.ids("back_in_stock", "before") == []
    live.add("item_patch", "sold-out", 1, available=True)
    live.event("after", "sold-out", 0.5)
    item = live.one("back_in_stock", "before")
    assert item.reasons[0].text == "back in stock since yesterday; you viewed it 3 days ago"
    assert item.reasons[0].text_zh == "昨天已到货；您3天前看过它"
    assert item.expires_at == at(NOW + 13 * DAY_S).isoformat().replace("+00:00", "Z")
    assert live.ids("back_in_stock", "after") == live.ids("back_in_stock", "never") == []
    assert live.ids("back_in_stock", "before", as_of=NOW + 14 * DAY_S) == []
    live.add("item_patch", "sold-out", 0, available=False)
    assert live.ids("back_in_stock", "before") == []


@pytest.mark.parametrize(
    ("restocked", "is_back"),
    [
        (at(NOW - DAY_S), True),
        ("2024-05-31T00:00:00Z", True),
        (None, False),
        ("soon", False),
        (at(NOW - 4 * DAY_S), False),
    ],
)
def test_a_column_of_the_shop_says_when_an_item_was_back(restocked: Any, is_back: bool) -> None:
    engine = fitted(shop([event("u", "vase", 3)]))
    column = pl.Series("restocked_at", [restocked if each == "vase" else None for each in engine.items.ids])
    engine = replace(engine, items_table=engine.items_table.with_columns(column))
    assert len(asked(engine, "back_in_stock", "u")) == is_back


def test_an_offer_without_stock_that_has_ended_is_a_return() -> None:
    offers = [{"item_id": "vase", "available": False, "valid_from": at(NOW - 9 * DAY_S), "valid_to": at(NOW - DAY_S)}]
    engine = fitted(shop([event("u", "vase", 3), event("v", "vase", 0.5)]), offers)
    assert [item.item_id for item in asked(engine, "back_in_stock", "u")] == ["vase"]
    assert asked(engine, "back_in_stock", "v") == ()
