from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.errors import DataError
from recsys.data.payload_fields import (
    ItemlessRow,
    UnreadNumber,
    array_at,
    event_at,
    number_at,
    object_at,
    position_at,
    text_at,
    without_item,
)

JSON_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.lists(st.integers()),
    st.dictionaries(st.text(), st.text()),
)


@pytest.mark.parametrize(("value", "text"), [("a", "a"), (7, "7"), (7.0, "7"), (None, None), ("", None), ("茶", "茶")])
def test_a_text_is_a_text_or_a_whole_number(value: Any, text: str | None) -> None:
    assert text_at({"x": value}, "x", "") == text


@given(JSON_VALUES)
def test_any_value_is_read_or_refused_with_its_path(value: Any) -> None:
    for read in (text_at, object_at, array_at, number_at, position_at):
        found: Any = None
        with suppress(DataError):
            found = read({"x": value}, "x", "a.")
        if isinstance(found, UnreadNumber):
            assert found.path == "a.x"
            assert found.expected.startswith("expected a")


@pytest.mark.parametrize("read", [text_at, object_at, array_at])
def test_a_wrong_type_is_refused_with_its_path(read: Callable[[dict[str, Any], str, str], Any]) -> None:
    with pytest.raises(DataError, match=r"^a\.x: expected"):
        read({"x": True}, "x", "a.")


def test_names_of_events_are_replaced_by_ours() -> None:
    assert event_at({"e": "Seen"}, "e", "", {"Seen": "view_item"}) == "view_item"
    assert event_at({"e": "other"}, "e", "", {}) == "other"
    assert event_at({}, "e", "", {}) is None


def test_a_row_without_an_item_is_about_none_if_its_event_is_unknown() -> None:
    assert isinstance(without_item({"event": "page_view"}), ItemlessRow)
    assert not isinstance(without_item({"event": "purchase"}), ItemlessRow)
