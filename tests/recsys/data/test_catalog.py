from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.ids import UNKNOWN
from recsys.core.schema import ITEMS
from recsys.data.catalog import read_catalog
from tests.shop import table

levels = st.lists(st.one_of(st.none(), st.sampled_from(["食品", "茶", "A"])), max_size=3)


def test_types_categories_groups_and_prices() -> None:
    items = [
        {"item_id": "a", "category": ["食品", "茶"], "price": 9.5, "item_group_id": "g"},
        {"item_id": "b", "category": ["食品", None, "咖啡"], "available": False, "item_group_id": "g"},
        {"item_id": "c", "category": ["食品"]},
        {"item_id": "d", "category": []},
        {"item_id": "e", "category": [None]},
        {"item_id": "f", "item_group_id": "alone"},
    ]
    catalog = read_catalog(table(items, ITEMS))
    assert catalog.type_names == ("食品", "食品 > 咖啡", "食品 > 茶")
    assert catalog.item_type.tolist() == [2, 1, 0, UNKNOWN, UNKNOWN, UNKNOWN]
    assert catalog.type_category.tolist() == [UNKNOWN, 0, 0]
    assert catalog.item_category.tolist() == [0, 0, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN]
    assert catalog.group.tolist() == [1, 1, UNKNOWN, UNKNOWN, UNKNOWN, 0]
    assert catalog.available.tolist() == [True, False, True, True, True, True]
    assert catalog.price[0] == np.float32(9.5)
    assert np.isnan(catalog.price[1:]).all()


@given(st.lists(levels, max_size=12))
def test_equal_paths_are_equal_types(paths: list[list[str | None]]) -> None:
    """The reference compares the paths themselves, pair by pair."""
    items = [{"item_id": str(n), "category": path} for n, path in enumerate(paths)]
    catalog = read_catalog(table(items, ITEMS))
    known = [tuple(level for level in path if level is not None) for path in paths]
    for i, path in enumerate(known):
        assert (catalog.item_type[i] >= 0) == bool(path)
        if path:
            assert catalog.type_names[catalog.item_type[i]] == " > ".join(path)
        for j, other in enumerate(known):
            if path and other:
                assert (catalog.item_type[i] == catalog.item_type[j]) == (path == other)
            if len(path) > 1 and len(other) > 1:
                assert (catalog.item_category[i] == catalog.item_category[j]) == (path[:-1] == other[:-1])
    assert set(catalog.item_type.tolist()) - {UNKNOWN} == set(range(len(catalog.type_names)))


def test_an_empty_catalog_is_valid() -> None:
    catalog = read_catalog(pl.DataFrame(schema=ITEMS))
    assert catalog.type_names == ()
    assert [len(column) for column in (catalog.item_type, catalog.item_category, catalog.group)] == [0, 0, 0]
