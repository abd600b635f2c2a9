from __future__ import annotations

from datetime import date

import pytest

from training.exports.woocommerce import woocommerce_items

TODAY = date(2024, 6, 15)
PARENT = {
    "id": "10",
    "type": "variable",
    "sku": "SHIRT",
    "name": "Shirt",
    "published": "1",
    "in stock?": "1",
    "categories": "Sale, Clothing > Shirts",
    "tags": "cotton",
    "images": "a.jpg, b.jpg",
    "attribute 1 name": "Color",
    "attribute 1 value(s)": "Red, Blue",
}
CHILD = {
    "id": "11",
    "type": "variation",
    "sku": "SHIRT-R",
    "name": "Shirt - Red",
    "published": "1",
    "in stock?": "1",
    "regular price": "20",
    "parent": "SHIRT",
    "attribute 1 name": "Color",
    "attribute 1 value(s)": "Red",
}


@pytest.mark.parametrize("parent", ["SHIRT", "id:10"])
def test_a_variation_has_what_its_product_has(parent: str) -> None:
    exported = woocommerce_items([(1, PARENT), (2, CHILD | {"parent": parent})], TODAY)
    above, item = (each for _, each in exported.items)
    assert (above["item_id"], above["item_group_id"], item["item_id"], item["item_group_id"]) == (
        "10",
        "10",
        "11",
        "10",
    )
    assert item["category"] == above["category"] == ["Clothing", "Shirts"]
    assert item["tags"] == above["tags"] == ["cotton", "Sale"]
    assert item["image"] == "a.jpg"
    assert (item["color"], "color" in above) == ("Red", False)


def test_a_variation_of_a_hidden_product_cannot_be_bought() -> None:
    exported = woocommerce_items([(1, PARENT | {"published": "0"}), (2, CHILD)], TODAY)
    assert [item["available"] for _, item in exported.items] == ["false", "false"]


@pytest.mark.parametrize(
    ("cells", "price", "list_price"),
    [
        ({}, "20", None),
        ({"sale price": "15"}, "15", "20"),
        ({"sale price": "15", "date sale price starts": "2024-07-01"}, "20", None),
        ({"sale price": "15", "date sale price ends": "2024-06-30"}, "15", "20"),
        ({"sale price": "15", "date sale price ends": "2024-06-01"}, "20", None),
    ],
)
def test_the_sale_price_is_the_price_while_the_sale_is_on(
    cells: dict[str, str], price: str, list_price: str | None
) -> None:
    ((_, item),) = woocommerce_items([(1, CHILD | cells)], TODAY).items
    assert (item["price"], item["list_price"]) == (price, list_price)


@pytest.mark.parametrize(
    ("cells", "available"),
    [
        ({}, "true"),
        ({"in stock?": "0"}, "false"),
        ({"in stock?": "backorder"}, "true"),
        ({"in stock?": "0", "backorders allowed?": "notify"}, "true"),
        ({"published": "-1"}, "false"),
        ({"visibility in catalog": "hidden"}, "false"),
    ],
)
def test_what_can_be_bought(cells: dict[str, str], available: str) -> None:
    ((_, item),) = woocommerce_items([(1, CHILD | {"type": "simple"} | cells)], TODAY).items
    assert item["available"] == available


def test_a_product_without_an_id_is_known_by_its_sku() -> None:
    ((_, item),) = woocommerce_items([(1, {"type": "simple", "sku": "S", "name": "x"})], TODAY).items
    assert item["item_id"] == "S"
