from __future__ import annotations

import math
from typing import Any

import polars as pl
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recsys.core.errors import FilterError
from recsys.core.schema import TIMESTAMP
from recsys.filters import compile_filter
from tests.recsys.filters.reference import BOUND, CONDITIONS, ROWS, Drawn, Row

SCHEMA = {
    "price": pl.Float64(),
    "stock": pl.Int8(),
    "等级": pl.UInt8(),
    "brand": pl.String(),
    "title": pl.String(),
    "tags": pl.List(pl.String()),
    "category": pl.List(pl.String()),
    "available": pl.Boolean(),
    "created_at": TIMESTAMP,
}


def as_read(row: Row) -> Row:
    """A row as filters see it: no number that is none, and every number a float."""
    numbers = {
        key: None if math.isnan(value) else float(value)
        for key, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return row | numbers


@settings(max_examples=400)
@given(CONDITIONS, st.lists(ROWS, max_size=4), BOUND)
def test_every_row_equals_brute_force(drawn: Drawn, rows: list[Row], bound: dict[str, Any]) -> None:
    items = pl.DataFrame(rows, schema=SCHEMA)
    user = {"n": bound["user.n"], "tags": bound["user.tags"]}
    try:
        compiled = compile_filter(drawn.text, items.schema)
    except FilterError as error:
        assume("split the filter" not in str(error) and "at most" not in str(error))
        raise
    mask = compiled.mask(items, user, {"region": bound["context.region"]})
    assert mask.tolist() == [drawn.of(as_read(row | bound)) is True for row in rows]
    assert mask.dtype == bool
