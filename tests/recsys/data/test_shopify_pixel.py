from __future__ import annotations

from typing import Any

import pytest

from recsys.core.errors import DataError
from recsys.data.payload_fields import ItemKey, ItemlessRow, UnreadNumber
from recsys.data.payloads import parse_payload, shape_of

VARIANT: dict[str, Any] = {
    "id": "501",
    "sku": "tea-green",
    "price": {"amount": 12.5, "currencyCode": "EUR"},
    "product": {"id": "50", "title": "Tea", "vendor": "Leaf"},
    "title": "Green",
}


def event(name: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "sh-1",
        "name": name,
        "clientId": "browser-1",
        "timestamp": "2024-06-30T00:00:00.250Z",
        "context": {"document": {"title": "Tea"}},
        "data": data,
        **more,
    }


def checkout(*lines: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"checkout": {"token": "t-9", "currencyCode": "USD", "lineItems": list(lines), **more}}


def test_a_viewed_product() -> None:
    payload = event("product_viewed", {"productVariant": VARIANT})
    assert shape_of(payload) == "shopify"
    (row,) = parse_payload(payload)
    assert row["timestamp"] == "2024-06-30T00:00:00.250Z"
    assert (row["event"], row["item_id"], row["price"], row["currency"]) == ("view_item", "50", 12.5, "EUR")
    assert (row["event_id"], row["visitor_id"], row["user_id"], row["basket_id"]) == ("sh-1", "browser-1", None, None)


@pytest.mark.parametrize(
    ("name", "ours"), [("product_added_to_cart", "add_to_cart"), ("product_removed_from_cart", "remove_from_cart")]
)
def test_a_line_of_a_cart(name: str, ours: str) -> None:
    line = {"quantity": 3, "cost": {"totalAmount": {"amount": 37.5}}, "merchandise": VARIANT}
    (row,) = parse_payload(event(name, {"cartLine": line}, customer={"id": 77}))
    assert (row["event"], row["item_id"], row["quantity"], row["price"]) == (ours, "50", 3.0, 12.5)
    assert row["user_id"] == "77"


def test_a_completed_checkout_has_one_row_per_line_with_the_price_paid() -> None:
    second = {**VARIANT, "product": {"id": "51"}}
    data = checkout(
        {"quantity": 2, "variant": VARIANT, "finalLinePrice": {"amount": 20}},
        {"quantity": 1, "variant": second},
        order={"id": "gid://shopify/OrderIdentity/900", "customer": {"id": "gid://shopify/Customer/7"}},
    )
    first, other = parse_payload(event("checkout_completed", data))
    assert [(row["event_id"], row["item_id"], row["price"]) for row in (first, other)] == [
        ("sh-1#1", "50", 10.0),
        ("sh-1#2", "51", 12.5),
    ]
    assert (first["event"], first["basket_id"], first["user_id"], first["currency"]) == ("purchase", "900", "7", "USD")


def test_a_started_checkout_is_known_by_its_token() -> None:
    (row,) = parse_payload(event("checkout_started", checkout({"quantity": 1, "variant": VARIANT})))
    assert (row["event"], row["basket_id"]) == ("begin_checkout", "t-9")


def test_a_collection_lists_its_products() -> None:
    rows = parse_payload(event("collection_viewed", {"collection": {"productVariants": [VARIANT, VARIANT]}}))
    assert [(row["event"], row["item_id"]) for row in rows] == [("view_item_list", "50")] * 2


@pytest.mark.parametrize(("key", "item_id"), [("product", "50"), ("variant", "501"), ("sku", "tea-green")])
def test_the_shop_chooses_which_id_is_the_items(key: ItemKey, item_id: str) -> None:
    (row,) = parse_payload(event("product_viewed", {"productVariant": VARIANT}), item_key=key)
    assert row["item_id"] == item_id
    without_sku = event("product_viewed", {"productVariant": VARIANT | {"sku": None}})
    assert parse_payload(without_sku, item_key="sku")[0]["item_id"] == "501"


def test_other_events_have_no_item() -> None:
    (row,) = parse_payload(event("search_submitted", {"searchResult": {"query": "tea"}}))
    assert isinstance(row, ItemlessRow)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ("x", "data"),
        ({"productVariant": 1}, "data.productVariant"),
        ({"checkout": {"lineItems": 3}}, "data.checkout.lineItems"),
        ({"checkout": {"lineItems": [{"variant": []}]}}, "data.checkout.lineItems[0].variant"),
        ({"productVariant": {"product": {"id": []}}}, "data.productVariant.product.id"),
    ],
)
def test_a_wrong_type_is_named_by_its_path(data: Any, field: str) -> None:
    with pytest.raises(DataError) as raised:
        parse_payload(event("product_viewed", data))
    assert str(raised.value).startswith(f"{field}: ")


def test_a_quantity_that_is_no_number_keeps_its_path() -> None:
    line = {"quantity": "many", "variant": VARIANT, "finalLinePrice": {"amount": 20}}
    (row,) = parse_payload(event("checkout_completed", checkout(line)))
    assert isinstance(row["quantity"], UnreadNumber)
    assert (row["quantity"].path, row["price"]) == ("data.checkout.lineItems[0].quantity", 12.5)
