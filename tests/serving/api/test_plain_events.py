from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.schema import EVENT_NAMES, EVENTS, WHO
from recsys.data.null_words import spellings
from recsys.data.payloads import parse_payload
from serving.api.event_validation import TimestampBounds, entries_of
from serving.api.plain_events import PlainEvent, plain_entry

NOW = int(datetime(2024, 7, 1, tzinfo=UTC).timestamp())
BOUNDS = TimestampBounds(NOW, NOW + 300, NOW + 0.5)
WORDS = spellings()
PLAIN: dict[str, Any] = {"item_id": "tea", "event": "purchase", "user_id": "u"}
FULL = PLAIN | {
    **{"event_id": "e", "timestamp": "2024-06-30T23:59:59.25+08:00", "session_id": "s 1", "price": 3, "quantity": 2},
    **{"value": -1.5, "position": 4, "propensity": 0.5, "currency": "CNY", "store": "Main St", "channel": None},
}

TEXTS = st.one_of(
    st.sampled_from(["a", " a", "a ", "a b", "|", "a| b", "", " ", "null", "NULL", "-", "é", "a\n", "\x7f", "x" * 257]),
    st.sampled_from(["e#1", "null#2", "\ud800", "x" * 256]),
    st.text(max_size=6),
)
NUMBERS = st.one_of(
    st.floats(), st.integers(-3, 3), st.sampled_from([10**400, 2**53 + 1, "1", "x", True, -0.0, 1e-320])
)
TIMES = st.one_of(
    st.sampled_from(["2024-05-01T08:00:00+08:00", "2024-05-01t08:00:00z", "2024-05-01", "20240501T000000Z"]),
    st.sampled_from(["2024-05-01 08:00:00.123456789Z", "2024-W18-3T00:00Z", "0001-01-01T00:00:00+14:00", "1e9"]),
    st.sampled_from(["2025-01-01T00:00:00Z", "2024-05-01T08:00:00", "24:00", "1714521600", "9999-01-01T00Z"]),
    st.sampled_from([1714521600, 1714521600.5, 0, ""]),
    st.datetimes(timezones=st.timezones(), allow_imaginary=False).map(datetime.isoformat),
)
OTHERS = st.sampled_from([None, [], {}, False, 3, "x", 1.5])


def column(name: str) -> st.SearchStrategy[Any]:
    """Values of a column, right and wrong ones."""
    if name == "event":
        usual: st.SearchStrategy[Any] = st.sampled_from([*EVENT_NAMES, "Product Viewed", "buy"])
    elif name in ("timestamp", "received_at"):
        usual = TIMES
    else:
        usual = TEXTS if str(EVENTS[name]) == "String" else NUMBERS
    return st.one_of(usual, usual, usual, OTHERS)


PAYLOADS = st.fixed_dictionaries(
    {"item_id": column("item_id"), "event": column("event")},
    optional={name: column(name) for name in EVENTS if name not in ("item_id", "event")} | {"other": OTHERS},
)


@given(st.one_of(PAYLOADS, PAYLOADS.map(lambda payload: PLAIN | payload)))
def test_a_plain_event_has_the_entry_of_the_general_way(payload: dict[str, Any]) -> None:
    entry = plain_entry(payload, BOUNDS, WORDS)
    if entry is not None:
        (general,) = entries_of(payload, BOUNDS, WORDS)
        assert entry == general
        assert {name: type(value) for name, value in entry.body.items()} == {
            name: type(value) for name, value in general.body.items()
        }


def test_all_columns_but_that_of_the_receipt_are_plain() -> None:
    assert set(PlainEvent.__struct_fields__) == set(EVENTS) - {"received_at"}


@pytest.mark.parametrize("payload", [PLAIN, FULL, *({**PLAIN, "user_id": None, who: "u"} for who in WHO)])
def test_usual_events_are_plain(payload: dict[str, Any]) -> None:
    entry = plain_entry(payload, BOUNDS, WORDS)
    assert entry is not None
    assert [entry] == entries_of(payload, BOUNDS, WORDS)


@pytest.mark.parametrize(
    "change",
    [{"user_id": None}, {"item_id": ""}, {"item_id": "\ud800"},
     {"item_id": "null"}, {"item_id": " tea"}, {"item_id": "tea\n"}, {"store": "-"},
     {"event": "Product Viewed"}, {"event": "buy"}, {"quantity": 0}, {"quantity": -1}, {"price": -1}, {"price": "3"},
     {"price": math.inf}, {"value": 10**400}, {"position": 1.5}, {"position": 2**53 + 1}, {"propensity": 0},
     {"event_id": "e#1"}, {"event_id": 7}, {"timestamp": "2024-05-01"}, {"timestamp": 1714521600},
     {"timestamp": "2031-01-01T00:00:00Z"}, {"timestamp": "1980-01-01T00:00:00Z"}, {"received_at": None}, {"other": 1}],
)  # fmt: skip
def test_all_others_take_the_general_way(change: dict[str, Any]) -> None:
    assert plain_entry(PLAIN | change, BOUNDS, WORDS) is None


@pytest.mark.parametrize("payload", [None, [], "x", 3, {}, {"events": [PLAIN]}, json.loads("1e999")])
def test_values_that_are_no_flat_events_take_the_general_way(payload: Any) -> None:
    assert plain_entry(payload, BOUNDS, WORDS) is None


def test_a_call_stores_plain_events_without_the_general_way() -> None:
    with patch("serving.api.events.entries_of") as general:
        from serving.api.events import _parse

        parsed = _parse(FULL, BOUNDS, 1, WORDS, parse_payload)
        assert (parsed.event_id, len(parsed.entries)) == ("e", 1)
        general.assert_not_called()
        _parse(FULL, BOUNDS, 0, WORDS, parse_payload)
        general.assert_called_once()
