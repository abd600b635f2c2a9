from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.schema import MAX_AMOUNT, TABLES
from training.ingest.cells import BAD_CELLS, DECISIVE, bad_cells, empty_bad_cells


def empty(name: str, dtype: pl.DataType, *values: Any) -> tuple[list[Any], list[Any]]:
    column, problems = empty_bad_cells(
        pl.Series(name, values, dtype=dtype), pl.repeat(None, len(values), dtype=pl.String, eager=True)
    )
    return column.to_list(), problems.to_list()


FLOATS = {
    (table, name) for table, columns in TABLES.items() for name, dtype in columns.items() if dtype == pl.Float64()
}


@pytest.mark.parametrize("column", sorted({name for _, name in FLOATS}))
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1e300, -1e300, 1.01e12])
def test_no_number_is_too_large_to_be_added_up(column: str, value: float) -> None:
    kept, problems = empty(column, pl.Float64(), value, 0.5)
    assert kept == [None, 0.5]
    assert problems[0]
    assert problems[1] is None


@pytest.mark.parametrize(
    ("name", "dtype", "value", "problem"),
    [
        ("price", pl.Float64(), -1.0, "is negative"),
        ("price", pl.Float64(), math.inf, "is infinite"),
        ("list_price", pl.Float64(), math.nan, "is not a number (NaN)"),
        ("value", pl.Float64(), math.inf, "is infinite"),
        ("position", pl.Int64(), -1, "is negative"),
        ("propensity", pl.Float64(), 0.0, "is not above zero"),
        ("propensity", pl.Float64(), 1.5, "is above one"),
        ("user_id", pl.String(), " ", "is blank"),
        ("basket_id", pl.String(), "x" * 257, "is longer than 256 bytes of UTF-8"),
        ("event_id", pl.String(), "a\x00b", "contains control characters"),
    ],
)
def test_a_cell_that_breaks_a_rule_is_emptied(name: str, dtype: pl.DataType, value: Any, problem: str) -> None:
    assert empty(name, dtype, value, None) == ([None, None], [problem, None])


@pytest.mark.parametrize(
    ("name", "dtype", "value"),
    [("value", pl.Float64(), -3.0), ("title", pl.String(), "a\tb"), ("price", pl.Float64(), 0.0)],
)
def test_other_cells_stay(name: str, dtype: pl.DataType, value: Any) -> None:
    assert empty(name, dtype, value) == ([value], [None])


def test_bad_cells_have_their_places() -> None:
    cells = bad_cells("price", pl.Series([None, "is negative"]))
    assert cells.schema == BAD_CELLS
    assert cells.rows() == [(1, "price", "is negative")]


def test_every_table_has_columns_that_decide() -> None:
    assert {table: columns <= set(TABLES[table]) for table, columns in DECISIVE.items()} == dict.fromkeys(TABLES, True)


@given(st.lists(st.floats() | st.none()))
def test_kept_amounts_are_valid(values: list[float | None]) -> None:
    kept, problems = empty("price", pl.Float64(), *values)
    for value, stays, problem in zip(values, kept, problems, strict=True):
        valid = value is not None and math.isfinite(value) and 0 <= value <= MAX_AMOUNT
        assert (stays == value) if valid else (stays is None)
        assert (problem is None) == (valid or value is None)
