from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.ids import IdMap
from recsys.core.schema import ITEMS
from recsys.data.offers import OfferedColumns
from recsys.data.row_changes import to_frame
from recsys.filters.cache import FilterCache
from recsys.filters.filter import compile_filter
from recsys.live.catalog_changes import CatalogChanges
from recsys.live.live_table import LiveTable, live_table

BASE = to_frame(
    [{"item_id": f"i{n}", "price": float(n), "tags": ["x", str(n % 2)], "available": n != 2} for n in range(5)], ITEMS
)
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["i0", "i3", "n0", "n1"]),
        st.fixed_dictionaries(
            {}, optional={"price": st.sampled_from([1.5, 9.0, None]), "tags": st.sampled_from([["0"], [], None])}
        ),
    ),
    max_size=8,
)


def made(base: pl.DataFrame = BASE) -> CatalogChanges:
    return CatalogChanges(base, IdMap(tuple(base["item_id"])))


def whole(base: pl.DataFrame, changes: CatalogChanges) -> pl.DataFrame:
    """The brute-force reference: all rows, one by one."""
    return to_frame([changes.values(row) for row in range(changes.n_items)], dict(base.schema))


@pytest.mark.parametrize("base", [BASE, BASE.clear()])
@given(steps=CHANGES, order=st.permutations(range(5)))
def test_rows_and_columns_are_those_of_the_whole_table(base: pl.DataFrame, steps: list[Any], order: list[int]) -> None:
    changes = made(base)
    for seq, (item_id, body) in enumerate(steps):
        changes.apply(seq, item_id, "item_put", body)
    table, expected = live_table(LiveTable.frame(base, changes)), whole(base, changes)
    assert table is not None
    assert table.shape == expected.shape
    assert table[:].equals(expected)
    rows = np.array([row for row in order if row < len(expected)], np.int64)
    assert table[rows].equals(expected[rows])
    assert table.take(rows, ["tags", "price"]).equals(expected[rows].select("tags", "price"))
    for name in ("price", "tags"):
        assert table[name].equals(expected[name])
    for row in range(len(expected)):
        assert table.row(row, named=True) == expected.row(row, named=True)


@given(steps=CHANGES, cuts=st.sets(st.integers(0, 8)))
def test_kept_masks_follow_the_changes(steps: list[Any], cuts: set[int]) -> None:
    changes, cache, text = made(), FilterCache(), "price < 3 OR has(tags, '0')"
    for seq, (item_id, body) in enumerate(steps):
        changes.apply(seq, item_id, "item_put", body)
        if seq in cuts:
            mask = cache.mask(text, LiveTable.frame(BASE, changes), "state")
            expected = compile_filter(text, BASE.schema).mask(whole(BASE, changes))
            np.testing.assert_array_equal(mask, expected)
    assert cache.mask(text, LiveTable.frame(BASE, changes), "state").sum() == (
        compile_filter(text, BASE.schema).mask(whole(BASE, changes)).sum()
    )


def test_columns_may_have_the_names_of_patterns() -> None:
    odd = ("*", "^.*$", "row", "mask")
    base = BASE.with_columns(pl.lit(1.5).alias(name) for name in odd)
    changes = made(base)
    changes.apply(1, "i1", "item_patch", {"attributes": dict.fromkeys(odd, 3.0)})
    table = LiveTable.frame(base, changes)
    assert table[:].equals(whole(base, changes))
    for name in odd:
        mask = FilterCache().mask(f'"{name}" > 2', table, "state")
        assert np.flatnonzero(mask).tolist() == [1]


def test_offers_replace_prices_and_availability() -> None:
    changes = made()
    price = np.array([np.nan, 10.0, 20.0, 30.0, 40.0])
    stated = np.array([False, True, True, False, False])
    found = live_table(LiveTable.frame(BASE, changes))
    assert found is not None
    table = found.with_offers(OfferedColumns(price, np.array([True, False, True, True, True]), stated))
    assert table["price"].to_list() == [None, 10.0, 20.0, 30.0, 40.0]
    assert table[:]["available"].to_list() == [True, False, True, True, True]


def test_rows_that_changed_since_a_position() -> None:
    changes = made()
    for seq, item_id in enumerate(["i3", "n0", "i3", "i1"]):
        changes.apply(seq, item_id, "item_patch", {"price": float(seq)})
    table = live_table(LiveTable.frame(BASE, changes))
    assert table is not None
    assert table.changed_since(-1).tolist() == [1, 3, 5]
    assert table.changed_since(2).tolist() == [1, 3]
    assert table.changed_since(table.position).tolist() == []
    assert live_table(BASE) is None
