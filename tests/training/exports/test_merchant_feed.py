from __future__ import annotations

from datetime import date

import pytest

from training.exports.merchant_feed import merchant_items

TODAY = date(2024, 6, 15)
ROW = {
    "id": "sku-1",
    "title": "Tea",
    "link": "https://shop.example/tea",
    "image_link": "https://cdn.example/tea.jpg",
    "price": "15.00 USD",
    "availability": "in_stock",
    "product_type": "Food > Tea",
    "google_product_category": "499676",
    "item_group_id": "tea",
    "color": "green",
}


def test_fields_of_a_product() -> None:
    ((number, item),) = merchant_items([(3, ROW)], TODAY).items
    assert number == 3
    assert (item["item_id"], item["item_group_id"], item["title"]) == ("sku-1", "tea", "Tea")
    assert (item["price"], item["list_price"], item["currency"]) == ("15.00 USD", None, "USD")
    assert (item["url"], item["image"], item["color"]) == (ROW["link"], ROW["image_link"], "green")
    assert item["category"] == ["Food", "Tea"]


@pytest.mark.parametrize(
    ("period", "price", "list_price"),
    [
        ("", "9 USD", "15.00 USD"),
        ("2024-06-01T00:00-0800/2024-06-30T23:59-0800", "9 USD", "15.00 USD"),
        ("2024-05-01T00:00-0800/2024-05-30T23:59-0800", "15.00 USD", None),
    ],
)
def test_the_sale_price_is_the_price_in_its_period(period: str, price: str, list_price: str | None) -> None:
    row = ROW | {"sale_price": "9 USD", "sale_price_effective_date": period}
    ((_, item),) = merchant_items([(1, row)], TODAY).items
    assert (item["price"], item["list_price"]) == (price, list_price)


@pytest.mark.parametrize(
    ("availability", "available"),
    [("in stock", "true"), ("IN_STOCK", "true"), ("preorder", "true"), ("out of stock", "false"), ("sold", "false")],
)
def test_what_can_be_bought(availability: str, available: str) -> None:
    ((_, item),) = merchant_items([(1, ROW | {"availability": availability})], TODAY).items
    assert item["available"] == available


@pytest.mark.parametrize(
    ("category", "path"),
    [
        ("Food > Tea", ["Food", "Tea"]),
        ("499676", None),
        ("Food, Beverages & Tobacco > Tea", ["Food, Beverages & Tobacco", "Tea"]),
    ],
)
def test_googles_category_stands_in_for_a_missing_one(category: str, path: list[str] | None) -> None:
    row = {name: value for name, value in ROW.items() if name != "product_type"} | {"google_product_category": category}
    ((_, item),) = merchant_items([(1, row)], TODAY).items
    assert item["category"] == path
