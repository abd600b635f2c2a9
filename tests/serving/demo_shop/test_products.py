from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import polars as pl
import pytest

from recsys.pipeline.recommender import Recommender
from serving.demo_shop.products import Product, departments, find_products, picture
from tests.shop import ORPHANS, PHONES, WEEKLY_ITEM

EVIL = '<script>alert("1")</script>&'


@pytest.fixture(scope="module")
def recommender(shop_models: Path) -> Recommender:
    return Recommender.open(shop_models)


def test_products_are_those_of_the_catalog_in_their_order(recommender: Recommender) -> None:
    asked = [WEEKLY_ITEM, "no such item", PHONES[0], WEEKLY_ITEM]
    found = find_products(recommender, asked)
    assert [each.item_id for each in found] == [WEEKLY_ITEM, PHONES[0], WEEKLY_ITEM]
    row = recommender.engine.items_table.filter(pl.col("item_id") == PHONES[0]).row(0, named=True)
    assert (found[1].title, found[1].price, found[1].category) == (row["title"], row["price"], tuple(row["category"]))
    assert find_products(recommender, []) == []


def test_an_item_without_a_title_has_its_id(recommender: Recommender) -> None:
    (orphan,) = find_products(recommender, ORPHANS[:1])
    assert (orphan.title, orphan.category, orphan.price) == (ORPHANS[0], (), None)


def test_departments_are_the_largest_categories() -> None:
    paths = [["a", "x"], ["b"], ["a"], None, [], ["c", "a"], ["c"], ["c"], [""], [""], ["d"], [None, "a"]]
    assert departments(pl.DataFrame({"category": paths})) == ("c", "a", "b", "d")
    many = pl.DataFrame({"category": [[str(n)] for n in range(40)]})
    assert len(departments(many)) == 10


@pytest.mark.parametrize(("title", "letter"), [("milk", "M"), ("“茶”", "茶"), ("!?", "·"), (EVIL, "S"), ("ß", "SS")])
def test_a_picture_is_an_image_whatever_the_title(title: str, letter: str) -> None:
    product = Product("i", title, None, (EVIL, "x"), (), None, None, None)
    root = ET.fromstring(picture(product))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert [each.text for each in root if each.text] == [letter]
    assert picture(product) == picture(product)
