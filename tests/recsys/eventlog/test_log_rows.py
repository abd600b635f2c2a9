"""Rows of entries, and rows that another program may have written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.errors import DataError
from recsys.eventlog.identities import SESSION
from recsys.eventlog.log_rows import digest_of, encoded_rows, event_row, row_of, stored_entry, view_entries
from recsys.eventlog.store import HistoryColumns, LogEntry, StoredEntry, for_view

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


def entry(
    entry_type: Any = "event", key: str | None = "e", part: tuple[str, int] | None = None, **body: Any
) -> LogEntry:
    return LogEntry(entry_type, key, 1.5, 2.5, body, part)


def test_an_event_row_has_its_ids_in_columns_and_its_body_as_json() -> None:
    row = row_of(entry(user_id="u", visitor_id="v", item_id="tea", received_at="left out"), 0)
    assert row.stored == (
        "event", "e", 1.5, 2.5, "u", "v", digest_of("event", "e"), '{"user_id":"u","visitor_id":"v","item_id":"tea"}',
    )  # fmt: skip
    assert (row.follows, row.session) == (False, None)


def test_an_anonymous_event_has_the_key_of_its_session() -> None:
    assert row_of(entry(session_id="s"), 0).session == f"{SESSION}s"
    assert row_of(entry(session_id="s", visitor_id="v"), 0).session is None
    assert row_of(entry("item_put", "tea", session_id="s"), 0).session is None


def test_a_user_change_belongs_to_its_user_and_an_item_change_to_nobody() -> None:
    assert row_of(entry("user_patch", "u"), 0).user_id == "u"
    assert row_of(entry("item_patch", "tea", user_id="u"), 0).user_id is None
    assert row_of(entry("user_patch", "u"), 0).digest is None


def test_the_first_part_of_an_event_has_the_digest_of_the_event() -> None:
    first, second = row_of(entry(key="e#1", part=("e", 1)), 0), row_of(entry(key="e#2", part=("e", 2)), 1)
    assert (first.digest, first.follows) == (digest_of("event", "e"), False)
    assert (second.digest, second.follows) == (digest_of("event", "e#2"), True)
    assert row_of(entry(key=None), 0).digest is None


@pytest.mark.parametrize("wrong", [{"x": object()}, {"x": "\ud800"}])
def test_a_body_that_is_not_json_is_named_by_its_position(wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="entry 3 cannot be encoded"):
        row_of(entry(**wrong), 3)


def test_a_time_must_be_finite() -> None:
    with pytest.raises(DataError, match="a time is not finite"):
        row_of(LogEntry("event", "e", float("nan"), 1.0, {}), 0)


@pytest.mark.parametrize("key", ["e", None])
@pytest.mark.parametrize("ids", [{"user_id": "u"}, {"visitor_id": "v", "session_id": "s"}, {"session_id": "s"}, {}])
def test_the_row_of_an_encoded_event_is_that_of_its_entry(key: str | None, ids: dict[str, str]) -> None:
    row = row_of(entry(key=key, item_id="tea", **ids), 0)
    who = (ids.get(name) for name in ("user_id", "visitor_id", "session_id"))
    assert event_row(key, row.at, row.received_at, *who, row.body) == row
    assert encoded_rows([row, entry(key=key, item_id="tea", **ids)]) == [row, row]
