from __future__ import annotations

from datetime import date

import pytest

from training.exports.magento import magento_items

TODAY = date(2024, 6, 15)
CHILD = {
    "sku": "WT01-S",
    "product_type": "simple",
    "attribute_set_code": "Top",
    "name": "Tank-S",
    "price": "29.0000",
    "product_online": "1",
    "visibility": "Not Visible Individually",
    "is_in_stock": "1",
    "url_key": "tank-s",
    "additional_attributes": "color=Purple,size=S,material=Wool,cotton,manufacturer=Breeze",
}
PARENT = {
    "sku": "WT01",
    "product_type": "configurable",
    "attribute_set_code": "Top",
    "name": "Tank",
    "categories": "Default Category/Women,Default Category/Women/Tops",
    "product_online": "1",
    "visibility": "Catalog, Search",
    "url_key": "tank",
    "base_image": "/w/t.jpg",
    "configurable_variations": "sku=WT01-S,size=S,color=Purple|sku=WT01-M,size=M,color=Purple",
}


def test_a_variation_belongs_to_its_configurable_product() -> None:
    exported = magento_items([(1, CHILD), (2, PARENT)], TODAY)
    item, parent = (each for _, each in exported.items)
    assert (item["item_id"], item["item_group_id"], parent["item_group_id"]) == ("WT01-S", "WT01", "WT01")
    assert (item["title"], item["handle"], item["image"]) == ("Tank", "tank", "/w/t.jpg")
    assert item["category"] == parent["category"] == ["Women", "Tops"]
    assert (item["size"], item["color"], item["material"]) == ("S", "Purple", "Wool,cotton")
    assert item["brand"] == "Breeze"
    assert item["available"] == "true"


def test_rows_of_store_views_are_left_out_and_counted() -> None:
    exported = magento_items([(1, CHILD), (2, {"sku": "WT01-S", "store_view_code": "de", "name": "Hemd"})], TODAY)
    assert [number for number, _ in exported.items] == [1]
    assert exported.notes == ("rows that repeat products for a store view, left out: 1",)


@pytest.mark.parametrize(
    ("cells", "price", "list_price"),
    [
        ({}, "29.0000", None),
        ({"special_price": "19"}, "19", "29.0000"),
        ({"special_price": "19", "special_price_to_date": "2024-06-01"}, "29.0000", None),
        ({"special_price": "19", "special_price_from_date": "2024-06-01 00:00:00"}, "19", "29.0000"),
    ],
)
def test_the_special_price_is_the_price_while_it_is_in_force(
    cells: dict[str, str], price: str, list_price: str | None
) -> None:
    ((_, item),) = magento_items([(1, CHILD | cells)], TODAY).items
    assert (item["price"], item["list_price"]) == (price, list_price)


@pytest.mark.parametrize(
    ("cells", "available"),
    [
        ({"visibility": "Catalog, Search"}, "true"),
        ({}, "false"),
        ({"visibility": "Catalog", "product_online": "2"}, "false"),
        ({"visibility": "Catalog", "is_in_stock": "0"}, "false"),
        ({"visibility": "Catalog", "is_in_stock": "0", "allow_backorders": "1"}, "true"),
    ],
)
def test_what_can_be_bought_by_itself(cells: dict[str, str], available: str) -> None:
    ((_, item),) = magento_items([(1, CHILD | cells)], TODAY).items
    assert item["available"] == available
