from __future__ import annotations

from datetime import date

import pytest

from training.exports.shopify import shopify_items

TODAY = date(2024, 6, 15)
FIRST = {
    "handle": "tea",
    "title": "Tea",
    "vendor": "Leaf",
    "type": "Hot > Tea",
    "tags": "green, japan",
    "option1 name": "Size",
    "option1 value": "S",
    "variant sku": "T-S",
    "variant price": "7.50",
    "image src": "a.jpg",
}


def test_a_product_of_one_variant_has_no_group() -> None:
    row = {"handle": "mug", "title": "Mug", "option1 name": "Title", "option1 value": "Default Title"}
    exported = shopify_items([(1, row | {"variant price": "3"})], TODAY)
    ((number, item),) = exported.items
    assert (number, item["item_id"], item["handle"], item["price"]) == (1, "mug", "mug", "3")
    assert "item_group_id" not in item
    assert "option_title" not in item
    assert exported.notes == ()


def test_variants_share_what_the_first_row_has() -> None:
    second = {"handle": "tea", "option1 value": "L", "variant price": "15", "variant image": "l.jpg"}
    image = {"handle": "tea", "image src": "b.jpg", "image position": "2"}
    exported = shopify_items([(1, FIRST), (2, second), (3, image)], TODAY)
    small, large = (item for _, item in exported.items)
    assert (small["item_id"], large["item_id"]) == ("T-S", "tea/L")
    assert (small["size"], large["size"], small["image"], large["image"]) == ("S", "L", "a.jpg", "l.jpg")
    for item in (small, large):
        assert (item["title"], item["brand"], item["item_group_id"]) == ("Tea", "Leaf", "tea")
        assert (item["category"], item["tags"]) == (["Hot", "Tea"], ["green", "japan"])
    assert exported.notes == ("rows of further images, which belong to the products above them: 1",)


def test_the_newer_names_of_columns() -> None:
    row = {
        "url handle": "tea",
        "title": "Tea",
        "sku": "T",
        "price": "7",
        "compare-at price": "9",
        "product category": "Food > Tea",
        "product image url": "a.jpg",
        "published on online store": "TRUE",
        "inventory quantity": "0",
        "inventory tracker": "shopify",
        "continue selling when out of stock": "DENY",
    }
    ((_, item),) = shopify_items([(1, row)], TODAY).items
    assert (item["item_id"], item["price"], item["list_price"], item["image"]) == ("T", "7", "9", "a.jpg")
    assert item["category"] == ["Food", "Tea"]
    assert item["available"] == "false"


@pytest.mark.parametrize(
    ("cells", "available"),
    [
        ({}, "true"),
        ({"published": "FALSE"}, "false"),
        ({"status": "draft"}, "false"),
        ({"status": "archived"}, "false"),
        ({"variant inventory tracker": "shopify", "variant inventory qty": "0"}, "false"),
        ({"variant inventory tracker": "shopify", "variant inventory qty": "-3"}, "false"),
        ({"variant inventory tracker": "shopify", "variant inventory qty": "3"}, "true"),
        ({"variant inventory qty": "0"}, "true"),
        (
            {
                "variant inventory tracker": "shopify",
                "variant inventory qty": "0",
                "variant inventory policy": "continue",
            },
            "true",
        ),
    ],
)
def test_what_can_be_bought(cells: dict[str, str], available: str) -> None:
    ((_, item),) = shopify_items([(1, FIRST | cells)], TODAY).items
    assert item["available"] == available


def test_a_row_without_any_handle_has_no_id() -> None:
    ((_, item),) = shopify_items([(4, {"title": "Tea", "variant price": "1"})], TODAY).items
    assert item["item_id"] is None
