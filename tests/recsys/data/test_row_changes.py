from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.schema import ITEMS
from recsys.data.row_changes import apply_patch, fitted, to_frame

VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.lists(st.text(max_size=3), max_size=2)
)


def test_a_put_replaces_a_patch_adds_and_a_delete_removes() -> None:
    row = {"title": "tea", "price": 3.0, "color": "red"}
    body = {"price": 2.5, "attributes": {"color": None, "size": "L"}}
    assert apply_patch(row, "item_put", body) == {"price": 2.5, "color": None, "size": "L"}
    assert apply_patch(row, "item_patch", body) == {"title": "tea", "price": 2.5, "color": None, "size": "L"}
    assert apply_patch(None, "item_patch", body) == {"price": 2.5, "color": None, "size": "L"}
    assert apply_patch(row, "item_delete", {}) is None
    assert row == {"title": "tea", "price": 3.0, "color": "red"}


@pytest.mark.parametrize("value", ["2024-01-01T08:00:00+08:00", "2024-01-01T00:00:00Z", 1704067200, "2024-01-01"])
def test_times_have_several_forms(value: Any) -> None:
    assert to_frame([{"created_at": value}], ITEMS)["created_at"].to_list() == [datetime(2024, 1, 1, tzinfo=UTC)]


def test_a_path_may_be_one_text() -> None:
    table = to_frame([{"category": "a > b"}, {"category": ["c"]}, {"category": None}], ITEMS)
    assert table["category"].to_list() == [["a", "b"], ["c"], None]


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        ("5", pl.Float64(), 5.0),
        (" -5.5 ", pl.Float64(), -5.5),
        (5, pl.Int64(), 5),
        ("5", pl.Int64(), 5),
        (5.0, pl.Int64(), 5),
        (300, pl.UInt8(), ValueError),
        (5.5, pl.Int64(), ValueError),
        (1e300, pl.Int64(), ValueError),
        (float("nan"), pl.Float64(), ValueError),
        (True, pl.Float64(), ValueError),
        ("many", pl.Float64(), ValueError),
        (5, pl.String(), "5"),
        (5.0, pl.String(), "5"),
        (5.5, pl.String(), "5.5"),
        (False, pl.String(), "false"),
        ({}, pl.String(), ValueError),
        ("TRUE", pl.Boolean(), True),
        (0, pl.Boolean(), ValueError),
        ("a", pl.List(pl.String()), ["a"]),
        (["a", 5], pl.List(pl.String()), ["a", "5"]),
        (["a"], pl.String(), ValueError),
        ("2024-05-01", pl.Date(), date(2024, 5, 1)),
        ("2024-05-01", pl.Datetime("us", "UTC"), datetime(2024, 5, 1, tzinfo=UTC)),
        ("soon", pl.Date(), ValueError),
        (20240501, pl.Date(), ValueError),
        ("x", pl.Duration(), ValueError),
        (None, pl.Float64(), None),
        ({"any": 1}, pl.Null(), {"any": 1}),
    ],
)
def test_a_value_is_converted_to_its_column_where_nothing_is_lost(
    value: Any, dtype: pl.DataType, expected: Any
) -> None:
    if expected is ValueError:
        with pytest.raises(ValueError, match=r"^expected "):
            fitted(value, dtype)
        assert to_frame([{"own": value}], {"own": dtype})["own"].to_list() == [None]
        return
    assert fitted(value, dtype) == expected
    assert dtype == pl.Null() or to_frame([{"own": value}], {"own": dtype})["own"].to_list() == [expected]


@given(rows=st.lists(st.dictionaries(st.sampled_from([*ITEMS, "color", "size"]), VALUES), max_size=4))
def test_any_rows_of_a_log_become_a_table(rows: list[dict[str, Any]]) -> None:
    table = to_frame(rows, ITEMS)
    assert len(table) == len(rows)
    assert {name: table.schema[name] for name in ITEMS} == ITEMS
    assert not any(dtype == pl.Object for dtype in table.dtypes)
