"""Rows that another program may have written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.eventlog.sqlite_rows import view_entries
from recsys.eventlog.sqlite_schema import stored_entry
from recsys.eventlog.store import HistoryColumns, StoredEntry, for_view

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
BODIES = st.dictionaries(st.sampled_from(HistoryColumns.__struct_fields__) | st.text(max_size=3), JSON_VALUES)


@given(
    body=BODIES.map(json.dumps) | JSON_VALUES.map(json.dumps) | st.text(max_size=20),
    at=st.floats() | st.text(max_size=3) | st.integers(-(2**40), 2**40),
    is_received=st.booleans(),
)
def test_a_view_reads_the_rows_as_everybody_does(body: str, at: Any, is_received: bool) -> None:
    """`is_received`: whether the moment of reception is of the right form, as the statement checks it."""
    received_at: Any = 1.0 if is_received else "then"
    read = view_entries([(7, "e", at, body, None if is_received else "event", received_at)])
    assert read == [for_view(stored_entry((7, "event", "e", at, received_at, body)))]


@pytest.mark.parametrize("body", ["", "[]", "{", '{"item_id": }', "null", "7"])
def test_a_body_that_is_no_object_is_unreadable(body: str) -> None:
    [read] = view_entries([(7, "e", 1.0, body, None, 1.0)])
    assert isinstance(read, StoredEntry)
    assert read.entry.entry_type == "unreadable"
    assert "event 'e'" in read.entry.body["reason"]
