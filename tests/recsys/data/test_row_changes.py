from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.schema import ITEMS
from recsys.data.row_changes import apply_patch, to_frame

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


@given(rows=st.lists(st.dictionaries(st.sampled_from([*ITEMS, "color", "size"]), VALUES), max_size=4))
def test_any_rows_of_a_log_become_a_table(rows: list[dict[str, Any]]) -> None:
    table = to_frame(rows, ITEMS)
    assert len(table) == len(rows)
    assert {name: table.schema[name] for name in ITEMS} == ITEMS
    assert not any(dtype == pl.Object for dtype in table.dtypes)
