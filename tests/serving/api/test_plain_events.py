from __future__ import annotations

import asyncio
import json
import math
from datetime import UTC, datetime
from typing import Any
from unittest.mock import Mock, patch

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from recsys.core.ids import SESSION
from recsys.core.schema import EVENT_NAMES, EVENTS, WHO
from recsys.data.null_words import spellings
from recsys.eventlog.log_rows import LogRow, row_of
from recsys.eventlog.store import LogEntry
from serving.api.event_models import MAX_EVENTS, EventBatch
from serving.api.event_validation import TimestampBounds, entries_of
from serving.api.events import OPERATIONS, store_events
from serving.api.plain_events import PlainBatch, PlainEvent, plain_rows
from serving.problems import FieldError, InvalidRequestError

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
    st.sampled_from(
        ["e#1", "null#2", "\ud800", "x" * 256, "茶" * 85, "茶" * 86, "北京", "—", "\xa0", "a\u3000", "\xad"]
    ),
    st.sampled_from(["e\u0301", "\xad", "ﬁ", "\u200bx", "İ", "ß", "\x85", "👩\u200d👧", "\ufeffa", "\ue000"]),
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


def plain_row(payload: Any) -> LogRow | None:
    """The row of one event, which is the same if the event is decoded from JSON at once."""
    [row] = plain_rows([payload], BOUNDS, WORDS)
    try:
        event = msgspec.json.decode(json.dumps(payload), type=PlainEvent)
    except ValueError:
        return row
    assert plain_rows([event], BOUNDS, WORDS) == [row]
    assert row is not None or _outcome(payload) == _outcome(msgspec.to_builtins(event))
    return row


def _outcome(payload: Any) -> Any:
    try:
        return entries_of(payload, BOUNDS, WORDS)
    except InvalidRequestError as error:
        return set(error.errors)  # in the order of the columns


def same(row: LogRow, entry: LogEntry) -> bool:
    """Whether a row is that of an entry, whose columns may be in another order."""
    other = row_of(entry, 0)
    content = json.loads(row.body)
    is_same = content == json.loads(other.body) and {n: type(v) for n, v in content.items()} == {
        n: type(v) for n, v in json.loads(other.body).items()
    }
    return is_same and structs.replace(row, body="") == structs.replace(other, body="")


@given(st.one_of(PAYLOADS, PAYLOADS.map(lambda payload: PLAIN | payload)))
def test_a_plain_event_has_the_row_of_the_general_way(payload: dict[str, Any]) -> None:
    row = plain_row(payload)
    if row is not None:
        (general,) = entries_of(payload, BOUNDS, WORDS)
        assert same(row, general)


@given(st.lists(st.one_of(PAYLOADS.map(lambda payload: PLAIN | payload), st.just(FULL), OTHERS), max_size=6))
def test_the_rows_of_events_do_not_depend_on_the_others(payloads: list[Any]) -> None:
    assert plain_rows(payloads, BOUNDS, WORDS) == [plain_rows([each], BOUNDS, WORDS)[0] for each in payloads]


def test_all_columns_but_that_of_the_receipt_are_plain() -> None:
    assert set(PlainEvent.__struct_fields__) == set(EVENTS) - {"received_at"}
    assert (PlainEvent.__struct_fields__[0], PlainEvent.__struct_fields__[-1]) == ("event_id", "timestamp")


@pytest.mark.parametrize("payload", [PLAIN, FULL, *({**PLAIN, "user_id": None, who: "u"} for who in WHO)])
def test_usual_events_are_plain(payload: dict[str, Any]) -> None:
    row = plain_row(payload)
    assert row is not None
    (general,) = entries_of(payload, BOUNDS, WORDS)
    assert same(row, general)


def test_a_body_has_the_time_in_utc_and_no_id() -> None:
    row = plain_row(
        PLAIN | {"event_id": "e", "timestamp": "2024-05-01T08:00:00.5+08:00", "user_id": None, "session_id": "s"}
    )
    assert row is not None
    body = '{"item_id":"tea","event":"purchase","session_id":"s","timestamp":"2024-05-01T00:00:00.500000+00:00"}'
    assert (row.key, row.body, row.session, row.at) == ("e", body, SESSION + "s", 1714521600.5)


@pytest.mark.parametrize("text", ["北京", "Zürich", "a 茶", "茶" * 85, "🍵"])
def test_texts_in_any_script_are_plain(text: str) -> None:
    row = plain_row(PLAIN | {"item_id": text, "user_id": text, "region": text, "event_id": text})
    assert row is not None
    assert json.loads(row.body)["region"] == text


@pytest.mark.parametrize("text", ["茶" * 86, "a\u3000", "\xa0a", "\xad", "—", "\u200b", "2024-05-01茶08:00:00Z"])
def test_texts_that_are_not_printable_or_too_long_are_not_plain(text: str) -> None:
    assert plain_row(PLAIN | {"region": text}) is None or "08:00" in text
    assert plain_row(PLAIN | {"timestamp": text}) is None


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
    assert plain_row(PLAIN | change) is None


@pytest.mark.parametrize("payload", [None, [], "x", 3, {}, {"events": [PLAIN]}, json.loads("1e999")])
def test_values_that_are_no_flat_events_take_the_general_way(payload: Any) -> None:
    assert plain_rows([payload], BOUNDS, WORDS) == [None]


@pytest.mark.parametrize("is_decoded", [False, True])
def test_a_call_stores_plain_events_without_the_general_way(is_decoded: bool) -> None:
    events = [FULL | {"event_id": f"e{n}"} for n in range(3)]
    payloads = OPERATIONS[0].body.decode(json.dumps({"events": events}).encode()).events if is_decoded else events
    stored: list[LogRow] = []

    async def store(rows: list[LogRow]) -> list[str]:
        stored.extend(rows)
        return ["stored", "duplicate", "conflict"]

    context = Mock(stored=store, null_words=WORDS, clock=Mock(received_at=lambda: NOW + 0.5), now=lambda: NOW)
    context.settings = Mock(future_tolerance_seconds=300, earliest_second=0)
    with patch("serving.api.events.entries_of", side_effect=InvalidRequestError([FieldError("", "full")])) as general:
        results = asyncio.run(store_events(context, payloads))
        general.assert_not_called()
        assert [(each.event_id, each.status) for each in results] == [
            ("e0", "accepted"),
            ("e1", "duplicate"),
            ("e2", "conflict"),
        ]
        assert [row.key for row in stored] == ["e0", "e1", "e2"]
        with patch("serving.api.events.MAX_CALL_ENTRIES", 0):
            asyncio.run(store_events(context, payloads))
        assert [call.args[0] for call in general.call_args_list] == [
            msgspec.to_builtins(each) if is_decoded else each for each in payloads
        ]


def test_a_body_with_another_event_is_decoded_in_the_general_form() -> None:
    decode = OPERATIONS[0].body.decode
    assert isinstance(decode(json.dumps({"events": [PLAIN, FULL]}).encode()), PlainBatch)
    assert isinstance(decode(json.dumps({"events": [PLAIN, {"name": "view_item"}]}).encode()), EventBatch)
    for body in ({"events": []}, {"events": [PLAIN], "x": 1}, {"events": [PLAIN] * (MAX_EVENTS + 1)}):
        with pytest.raises(InvalidRequestError):
            decode(json.dumps(body).encode())
