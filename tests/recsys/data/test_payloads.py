from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.errors import DataError
from recsys.core.schema import EVENTS
from recsys.data.payload_fields import ItemlessRow, UnreadNumber
from recsys.data.payloads import parse_payload

GA4 = {
    "event_name": "purchase",
    "event_timestamp": 1483603200000000,
    "user_id": "u",
    "user_pseudo_id": "v",
    "currency": "EUR",
    "value": 8.5,
    "ecommerce": {"transaction_id": "T1"},
    "items": [{"item_id": "a", "price": 1.5, "quantity": 2}, {"item_id": 7, "price": "3", "index": 1}],
}
SEGMENT: dict[str, Any] = {
    "type": "track",
    "event": "Order Completed",
    "userId": "u",
    "anonymousId": "v",
    "messageId": "m",
    "timestamp": "2017-01-05T08:00:00Z",
    "properties": {
        "order_id": "o",
        "currency": "USD",
        "products": [{"product_id": "x"}, {"product_id": "y"}],
    },
}
RETAIL = {
    "eventType": "purchase-complete",
    "visitorId": "v",
    "eventTime": "2017-01-05T08:00:00Z",
    "userInfo": {"userId": "u"},
    "attributionToken": "ignored",
    "productDetails": [{"product": {"id": "z"}, "quantity": 3}],
    "purchaseTransaction": {"id": "p"},
    "cartId": "c",
}


def test_ga4_purchase_unfolds_into_one_row_an_item() -> None:
    first, second = parse_payload(GA4)
    assert first["item_id"] == "a"
    assert second["item_id"] == "7"
    assert (first["price"], first["quantity"], second["price"], second["position"]) == (1.5, 2.0, 3.0, 1)
    for row in (first, second):
        assert row["event"] == "purchase"
        assert row["timestamp"] == "2017-01-05T08:00:00+00:00"
        assert (row["user_id"], row["visitor_id"], row["basket_id"], row["currency"]) == (
            "u",
            "v",
            "T1",
            "EUR",
        )
        assert "value" not in row


def test_ga4_bigquery_export_and_measurement_protocol() -> None:
    exported = {
        "event_name": "view_item",
        "event_timestamp": "1483603200000000",
        "user_pseudo_id": "v",
        "event_params": [
            {"key": "ga_session_id", "value": {"string_value": None, "int_value": 5}},
            {"key": "transaction_id", "value": {"string_value": "T"}},
        ],
        "items": [{"item_id": "a"}],
    }
    (row,) = parse_payload(exported)
    assert row["session_id"] == "5"
    assert row["basket_id"] is None, "a view is in no basket"
    protocol = {
        "client_id": "c",
        "timestamp_micros": 1483603200000000,
        "events": [{"name": "add_to_cart", "params": {"items": [{"item_id": "a"}]}}],
    }
    (row,) = parse_payload(protocol)
    assert (row["event"], row["visitor_id"], row["item_id"]) == ("add_to_cart", "c", "a")


def test_segment_order_gives_every_row_its_own_event_id() -> None:
    rows = parse_payload(SEGMENT)
    assert [row["event_id"] for row in rows] == ["m#1", "m#2"]
    assert {row["basket_id"] for row in rows} == {"o"}
    assert {row["event"] for row in rows} == {"purchase"}


def test_segment_single_product_keeps_its_event_id() -> None:
    properties = {"product_id": "x", "price": 2, "quantity": 1, "cart_id": "c"}
    (row,) = parse_payload(SEGMENT | {"event": "Product Added", "properties": properties})
    assert (row["event"], row["event_id"], row["item_id"], row["price"]) == ("add_to_cart", "m", "x", 2.0)
    assert row["basket_id"] is None


def test_google_retail() -> None:
    (row,) = parse_payload(RETAIL)
    assert (row["event"], row["item_id"], row["quantity"], row["basket_id"]) == ("purchase", "z", 3.0, "p")
    assert (row["user_id"], row["visitor_id"]) == ("u", "v")
    (row,) = parse_payload(RETAIL | {"purchaseTransaction": None, "eventType": "detail-page-view"})
    assert (row["event"], row["basket_id"]) == ("view_item", "c")


def test_flat_row_passes_through() -> None:
    row = {"item_id": 7, "event": "Product Viewed", "timestamp": 1483603200, "user_id": "u", "sku": [1]}
    assert parse_payload(row) == [row | {"item_id": "7", "event": "view_item"}]


def test_payload_without_items_names_no_item() -> None:
    assert parse_payload({"event_name": "page_view", "user_id": "u"})[0]["item_id"] is None
    assert parse_payload(SEGMENT | {"properties": {"products": []}})[0]["item_id"] is None


@pytest.mark.parametrize(
    ("payload", "is_itemless"),
    [
        ({"event_name": "page_view", "user_id": "u"}, True),
        ({"event_name": "page_view", "items": []}, True),
        ({"events": [{"name": "scroll", "params": {}}]}, True),
        (SEGMENT | {"event": "Email Opened", "properties": {}}, True),
        (SEGMENT | {"event": "Email Opened", "properties": {"products": []}}, True),
        (RETAIL | {"eventType": "home-page-view", "productDetails": []}, True),
        ({"event_name": "bought", "items": [{"item_id": "a"}]}, False),
        ({"event_name": "bought", "items": [{}]}, False),
        (SEGMENT | {"event": "Bought", "properties": {"product_id": "x"}}, False),
        (RETAIL | {"eventType": "home-page-view"}, False),
        ({"event_name": "purchase", "user_id": "u"}, False),
        ({"event_name": None, "user_id": "u"}, False),
        ({"event": "page_view", "user_id": "u"}, False),
    ],
)
def test_an_unknown_event_without_items_is_an_itemless_row(payload: Any, is_itemless: bool) -> None:
    (row,) = parse_payload(payload)
    assert isinstance(row, ItemlessRow) == is_itemless


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (3, "event"),
        (None, "event"),
        ({"item_id": ["a"]}, "item_id"),
        ({"item_id": "a", "user_id": True}, "user_id"),
        ({"item_id": "\ud800"}, "item_id"),
        ({"item_id": "a", "timestamp": {"seconds": 1}}, "timestamp"),
        (GA4 | {"items": "a"}, "items"),
        (GA4 | {"items": [1]}, "items[0]"),
        (GA4 | {"items": [{"item_id": "a"}, {"item_id": {}}]}, "items[1].item_id"),
        (GA4 | {"event_timestamp": 1e300}, "event_timestamp"),
        (GA4 | {"ecommerce": [1]}, "ecommerce"),
        (SEGMENT | {"properties": [1]}, "properties"),
        (RETAIL | {"productDetails": {}}, "productDetails"),
        (RETAIL | {"productDetails": [{"product": "z"}]}, "productDetails[0].product"),
        (RETAIL | {"userInfo": "u"}, "userInfo"),
        ({"events": [1]}, "events[0]"),
    ],
)
def test_a_wrong_type_is_named_by_its_field(payload: Any, field: str) -> None:
    with pytest.raises(DataError) as raised:
        parse_payload(payload)
    assert str(raised.value).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("payload", "path", "column", "text"),
    [
        ({"item_id": "a", "quantity": "abc"}, "quantity", "quantity", "abc"),
        ({"item_id": "a", "quantity": {}}, "quantity", "quantity", "{}"),
        ({"item_id": "a", "price": "2,50"}, "price", "price", "2,50"),
        ({"item_id": "a", "price": float("nan")}, "price", "price", "nan"),
        ({"item_id": "a", "price": 10**400}, "price", "price", str(10**400)),
        ({"item_id": "a", "position": 1.5}, "position", "position", "1.5"),
        (GA4 | {"items": [{"item_id": "a", "quantity": [1]}]}, "items[0].quantity", "quantity", "[1]"),
        (
            SEGMENT | {"properties": {"products": [{"product_id": "a", "price": "x"}]}},
            "properties.products[0].price",
            "price",
            "x",
        ),
    ],
)
def test_a_value_that_is_no_number_keeps_its_text_and_path(payload: Any, path: str, column: str, text: str) -> None:
    found = parse_payload(payload)[0][column]
    assert isinstance(found, UnreadNumber)
    assert (str(found), found.path, found.expected.startswith("expected a")) == (text, path, True)


FIELDS = (
    "items params properties products productDetails product id eventType type event_name event_params key "
    "ecommerce events name userInfo event_timestamp"
)
NAMES = st.sampled_from([*EVENTS, *FIELDS.split()])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["track", "purchase", "", "x"])
SHAPES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)


@given(SHAPES)
def test_any_json_gives_rows_or_a_data_error(payload: Any) -> None:
    before = json.dumps(payload)
    try:
        rows = parse_payload(payload)
    except DataError:
        return
    finally:
        assert json.dumps(payload) == before, "the payload is not changed"
    assert rows or payload.get("events") == []
    for row in rows:
        assert all(not isinstance(row.get(name), list | dict | bool) for name in EVENTS)
