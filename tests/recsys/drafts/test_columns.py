"""The columns of a catalog and their frequent values."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from recsys.drafts.columns import MAX_VALUE_CHARS, catalog_columns
from recsys.fitting.engine import Engine

ITEMS = pl.DataFrame(
    {
        "brand": ["b", "a", "a", None],
        "tags": [["x", "y"], ["x"], [], None],
        "price": [3.0, 1.0, None, 2.0],
        "n": [3, 1, None, 2],
        "new": [True, False, False, None],
        "created_at": [datetime(2024, 1, 2, tzinfo=UTC), None, None, datetime(2024, 1, 1, tzinfo=UTC)],
        "blob": [b"x", b"y", None, None],
    }
)


def test_columns_by_type() -> None:
    found = {column.name: column for column in catalog_columns(ITEMS)}
    assert {name: column.type for name, column in found.items()} == {
        "brand": "text",
        "tags": "texts",
        "price": "number",
        "n": "number",
        "new": "boolean",
        "created_at": "time",
        "blob": "other",
    }
    assert [(value.value, value.n_items) for value in found["brand"].values] == [("a", 2), ("b", 1)]
    assert [(value.value, value.n_items) for value in found["tags"].values] == [("x", 2), ("y", 1)]
    assert [(value.value, value.n_items) for value in found["new"].values] == [(False, 2), (True, 1)]
    assert (found["price"].low, found["price"].high, found["price"].n_known, found["price"].values) == (1, 3, 3, ())
    assert (found["created_at"].low, found["n"].high) == ("2024-01-01T00:00:00+00:00", 3)
    assert (found["brand"].n_distinct, found["blob"].n_distinct, found["tags"].n_known) == (2, 0, 3)


def test_values_are_bounded_and_empty_columns_have_none() -> None:
    many = pl.DataFrame(
        {"t": [f"{n:03d}" for n in range(200)] + ["x" * 999], "e": pl.Series([None] * 201, dtype=pl.String)}
    )
    text, empty = catalog_columns(many, 500)
    assert max(len(value.value) for value in text.values if isinstance(value.value, str)) == MAX_VALUE_CHARS
    assert len(catalog_columns(many, 7)[0].values) == 7
    assert (empty.n_known, empty.values) == (0, ())


def test_every_column_of_a_shop_is_described(shop_engine: Engine) -> None:
    found = catalog_columns(shop_engine.items_table)
    assert [column.name for column in found] == list(shop_engine.items_table.schema)
