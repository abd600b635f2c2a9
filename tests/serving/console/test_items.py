from __future__ import annotations

from pathlib import Path

import pytest

from recsys.pipeline.recommender import Recommender
from serving.console.items import ShownItem, _shown, shown_items


def test_known_items_have_titles_and_facts(shop_models: Path) -> None:
    recommender = Recommender.open(shop_models)
    item_id = recommender.examples().item_id
    found = shown_items(recommender, [item_id, "nothing", item_id])
    assert list(found) == [item_id]
    assert found[item_id].title == recommender.title(item_id)
    assert "item_id" not in found[item_id].facts


@pytest.mark.parametrize(
    ("address", "shown"), [("https://a/b.png", True), ("http://a/b.png", False), ("javascript:1", False)]
)
def test_pictures_are_those_of_https(address: str, shown: bool) -> None:
    item = _shown("i", "", {"image": address, "price": 1234.5, "tags": ["a", "b"], "empty": None, "available": False})
    assert item == ShownItem(
        "i", "i", address if shown else "", {"price": "1,234.50", "tags": "a, b", "available": "False"}, False
    )
    assert item.notes == "1,234.50"
