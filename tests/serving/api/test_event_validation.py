from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.schema import EVENTS, MESSAGE_EVENTS
from recsys.data.null_words import NULL_WORDS, spelled, spellings
from recsys.eventlog.store import LogEntry
from serving.api.event_validation import TimestampBounds, entries_of, event_id_of
from serving.problems import FieldError, InvalidRequestError
from training.ingest.casts import CastOptions
from training.ingest.readers import read_table
from training.ingest.repeated_rows import DUPLICATE
from training.ingest.validation import ValidationRules, validate_table

NOW = int(datetime(2024, 7, 1, tzinfo=UTC).timestamp())
BOUNDS = TimestampBounds(NOW, NOW + 300, NOW + 0.5)
FLAT = {"item_id": "tea", "event": "purchase", "user_id": "u", "event_id": "e"}


def body(payload: Any) -> dict[str, Any]:
    (entry,) = entries_of(payload, BOUNDS)
    return entry.body


def faults(payload: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        entries_of(payload, BOUNDS)
    return {error.field: error.message for error in caught.value.errors}


def test_a_flat_event_is_one_entry() -> None:
    (entry,) = entries_of(FLAT | {"quantity": 2, "price": "3.5", "region": None, "received_at": "2020-01-01"}, BOUNDS)
    content = {"item_id": "tea", "event": "purchase", "user_id": "u", "quantity": 2.0, "price": 3.5}
    assert entry == LogEntry("event", "e", float(NOW), NOW + 0.5, content)


def test_a_given_time_is_part_of_the_content() -> None:
    (entry,) = entries_of(FLAT | {"timestamp": "2024-06-30T23:59:59.25+08:00"}, BOUNDS)
    assert entry.at == NOW - 8 * 3600 - 0.75
    assert entry.body["timestamp"] == "2024-06-30T15:59:59.250000+00:00"


@pytest.mark.parametrize(
    "value",
    ["2024-05-01T08:00:00+08:00", "2024-05-01t00:00:00z", 1714521600, 1714521600.0, 1714521600000, 1714521600000000,
     1714521600000000000, "1714521600", "1714521600000000"],
)  # fmt: skip
def test_formats_of_times(value: Any) -> None:
    assert body(FLAT | {"timestamp": value})["timestamp"] == "2024-05-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("payload", "has_advice"),
    [
        ({"event": "refund", "basket_id": "o1", "user_id": "u"}, True),
        ({"event_name": "refund", "user_id": "u", "params": {"transaction_id": "o1"}}, True),
        ({"event_name": "refund", "user_id": "u", "params": {"transaction_id": "o1", "items": []}}, True),
        ({"event": "refund", "user_id": "u"}, False),
        ({"event": "purchase", "basket_id": "o1", "user_id": "u"}, False),
    ],
)
def test_a_refund_of_a_whole_order_is_told_what_to_send_instead(payload: dict[str, Any], has_advice: bool) -> None:
    advice = ": a live refund names what it takes back, send one refund per item of the order"
    assert faults(payload) == {"item_id": f"item_id is missing{advice if has_advice else ''}"}


GA4 = {
    "event_name": "purchase",
    "event_timestamp": (NOW - 60) * 1_000_000,
    "user_pseudo_id": "v",
    "event_id": "g",
    "event_params": [{"key": "transaction_id", "value": {"string_value": "T1"}}],
    "items": [{"item_id": "tea", "price": 3, "quantity": 1}, {"item_id": "cup"}],
}
SEGMENT = {
    "type": "track",
    "event": "Product Added",
    "messageId": "s",
    "anonymousId": "v",
    "timestamp": "2024-06-30T00:00:00Z",
    "context": {"ip": "127.0.0.1"},
    "properties": {"product_id": "tea", "quantity": 2},
}
RETAIL = {
    "eventType": "purchase-complete",
    "visitorId": "v",
    "userInfo": {"userId": "u"},
    "eventId": "r",
    "productDetails": [{"product": {"id": "tea"}, "quantity": 1}, {"product": {"id": "cup"}, "quantity": 2}],
    "purchaseTransaction": {"id": "T2", "currencyCode": "CNY"},
}


def test_payloads_of_other_vendors_are_parsed() -> None:
    bought = entries_of(GA4, BOUNDS)
    assert [(each.key, each.body["item_id"], each.at) for each in bought] == [
        ("g#1", "tea", NOW - 60.0),
        ("g#2", "cup", NOW - 60.0),
    ]
    assert bought[0].body["basket_id"] == "T1"
    (added,) = entries_of(SEGMENT, BOUNDS)
    assert (added.key, added.body["event"], added.body["visitor_id"]) == ("s", "add_to_cart", "v")
    assert [(each.key, each.body["quantity"], each.at) for each in entries_of(RETAIL, BOUNDS)] == [
        ("r#1", 1.0, float(NOW)),
        ("r#2", 2.0, float(NOW)),
    ]
    assert [event_id_of(each) for each in (FLAT, GA4, SEGMENT, RETAIL)] == ["e", "g", "s", "r"]


@pytest.mark.parametrize(
    ("change", "field", "reply"),
    [
        ({"item_id": None}, "item_id", "missing"),
        ({"item_id": " "}, "item_id", "blanks"),
        ({"item_id": "茶" * 86}, "item_id", "256 bytes"),
        ({"user_id": "a\nb"}, "user_id", "control"),
        ({"user_id": "\ud800"}, "user_id", "Unicode"),
        ({"user_id": None}, "user_id", "at least one of user_id, visitor_id, session_id, basket_id"),
        ({"event": "buy"}, "event", "expected one of view_item_list"),
        ({"event": None}, "event", "missing"),
        ({"quantity": 0}, "quantity", "more than 0 for a purchase"),
        ({"event": "view_item", "quantity": -1}, "quantity", "0 or more"),
        ({"price": float("inf")}, "price", "finite"),
        ({"price": 1e300}, "price", "expected at most 1e+12"),
        ({"quantity": 1e300}, "quantity", "expected at most 1e+12"),
        ({"value": -1e300}, "value", "expected at most 1e+12"),
        ({"price": "NaN"}, "price", "finite"),
        ({"price": True}, "price", "number"),
        ({"propensity": 0}, "propensity", "above 0"),
        ({"position": 1.5}, "position", "whole"),
        ({"position": 1e300}, "position", "a position in a list"),
        ({"timestamp": "2024-07-01T00:05:01Z"}, "timestamp", "the server's clock"),
        ({"timestamp": "2024-06-01T00:00:00"}, "timestamp", "offset"),
        ({"timestamp": "2024-06-01"}, "timestamp", "offset"),
        ({"timestamp": "yesterday"}, "timestamp", "RFC 3339"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "timestamp", "expected a time"),
        ({"timestamp": -1}, "timestamp", "from 1990"),
        ({"timestamp": 1e300}, "timestamp", "from 1990"),
        ({"timestamp": 1}, "timestamp", "digits of a date"),
        ({"timestamp": 200_000_000}, "timestamp", "from 1990"),
        ({"timestamp": "1989-12-31T23:59:59Z"}, "timestamp", "from 1990"),
        ({"timestamp": 20240501}, "timestamp", "digits of a date"),
        ({"timestamp": []}, "timestamp", "a text"),
        ({"colour": "red"}, "colour", "unknown field"),
        ({"event_id": "x" * 257}, "event_id", "256"),
    ],
)
def test_the_wrong_field_is_named(change: dict[str, Any], field: str, reply: str) -> None:
    found = faults(FLAT | change)
    assert reply in found[field]
    json.dumps(found).encode()


def test_all_wrong_fields_are_named() -> None:
    assert set(faults({"item_id": "", "event": "buy", "price": -1})) == {"item_id", "event", "price", "user_id"}
    assert faults(GA4 | {"items": [{"item_id": "tea", "price": "dear"}]}) == {
        "items[0].price": "items[0].price: expected a finite number, got 'dear'"
    }


@pytest.mark.parametrize("payload", [None, 1, "x", [], {}, {"items": []}, {"name": "page_view", "params": {}}])
def test_events_without_an_item(payload: Any) -> None:
    assert faults(payload)


def test_the_number_of_errors_is_limited() -> None:
    assert len(faults(FLAT | {f"x{n}": n for n in range(5_000)})) == 20


def test_an_event_with_too_many_items_is_refused() -> None:
    assert "201 items" in faults(GA4 | {"items": [{"item_id": "tea"}] * 201})["items"]
    assert len(entries_of(GA4 | {"items": [{"item_id": "tea"}] * 200}, BOUNDS)) == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(
    [*EVENTS, "events", "items", "params", "properties", "products", "eventType", "productDetails", "event_params"]
)


@given(st.dictionaries(NAMES, JSON | st.just("purchase"), max_size=8))
def test_any_json_is_accepted_or_refused_with_a_reason(payload: dict[str, Any]) -> None:
    event_id_of(payload)
    try:
        entries = entries_of(payload, BOUNDS)
    except InvalidRequestError as error:
        assert error.errors  # noqa: PT017
        json.dumps([[each.field, each.message, each.value] for each in error.errors], ensure_ascii=False).encode()
    else:
        assert entries
        json.dumps([each.body for each in entries], ensure_ascii=False, allow_nan=False).encode()


def test_a_purchase_of_a_negative_quantity_is_a_refund() -> None:
    (entry,) = entries_of(FLAT | {"quantity": -2}, BOUNDS)
    assert (entry.body["event"], entry.body["quantity"]) == ("refund", 2.0)


IDS = [None, "", " ", "a", "茶" * 85, "茶" * 86, "a\x00", "a\x85", " padded "]
MUTATIONS: dict[str, list[Any]] = {
    **{name: IDS for name in EVENTS if name.endswith("_id")},
    "event": [None, "", "purchase", "view_item", "Order Completed", "page_view", "buy"],
    "quantity": [None, 0, 0.5, -0.5, "2", "x", "NaN", "inf", 1e12, 1e300, -1e300],
    "price": [None, 0, 0.5, -0.5, "2", "x", "NaN", "inf", 1e12, 1e300, -1e300],
    "value": [None, -3, 0, "x"],
    "position": [None, 0, 3, -1, 1.5],
    "propensity": [None, 0, 0.5, 1, 1.1, -1],
    "timestamp": ["2024-05-01T08:00:00+08:00", NOW, NOW * 1000, "2024-07-01T00:05:01Z", "2024-06-01T00:00:00", "x"],
}  # fmt: skip


def test_the_rules_equal_those_of_the_tables(tmp_path: Path) -> None:
    """Both accept or refuse each value of each column; of tables, a bad value of an optional column costs its cell."""
    base = {"item_id": "tea", "event": "purchase", "user_id": "u", "timestamp": "2024-06-01T00:00:00Z"}
    texts = ("recommendation_id",)
    changes = [{name: value} for name, values in MUTATIONS.items() if name not in texts for value in values]
    changes += [{"event": event, "quantity": n} for event in ("view_item", "purchase", "refund") for n in (0, -2)]
    rows = [
        {"event_id": f"e{place}", "session_id": f"s{place}", **base, **change} for place, change in enumerate(changes)
    ]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, rows)))
    rules = ValidationRules(datetime.fromtimestamp(BOUNDS.latest, UTC), CastOptions(null_words=spelled(())))
    sifted = validate_table(read_table(tmp_path / "events.jsonl", "events"), "events", rules)
    is_faulty = ~sifted.rejects["reason"].str.starts_with(DUPLICATE)
    rejected = {*sifted.rejects.filter(is_faulty)["row"], *sifted.emptied["row"]}
    offline = {json.dumps(change): place not in rejected for place, change in enumerate(changes, 1)}
    live = {json.dumps(change): _is_taken(row) for change, row in zip(changes, rows, strict=True)}
    assert {key for key in live if live[key] != offline[key]} == set()


def _is_taken(row: dict[str, Any]) -> bool:
    try:
        return bool(entries_of(row, BOUNDS))
    except InvalidRequestError:
        return False


WORD_ROWS = [
    base | {name: word}
    for base in (FLAT, FLAT | {"visitor_id": "v"})
    for name in ("item_id", "user_id", "visitor_id", "session_id", "basket_id", "region", "event_id")
    for word in (*NULL_WORDS, "NaN", "NULL", " Undefined ", "Nancy", "0")
]


def test_words_for_nothing_are_read_as_in_tables(tmp_path: Path) -> None:
    """An item of such a word is refused; elsewhere the field is empty, and an event of nobody is refused."""
    rows = [row | {"timestamp": "2024-06-01T00:00:00Z"} for row in WORD_ROWS]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, rows)))
    rules = ValidationRules(
        datetime.fromtimestamp(BOUNDS.latest, UTC), CastOptions(null_words=spelled()), max_bad_cell_share=1.0
    )
    sifted = validate_table(read_table(tmp_path / "events.jsonl", "events"), "events", rules)
    is_faulty = ~sifted.rejects["reason"].str.starts_with(DUPLICATE)
    rejected = set(sifted.rejects.filter(is_faulty)["row"])
    for place, row in enumerate(rows, 1):
        emptied: dict[str, FieldError] = {}
        try:
            (entry,) = entries_of(row, BOUNDS, spellings(), emptied)
        except InvalidRequestError:
            assert place in rejected, row
            continue
        assert place not in rejected, row
        assert set(emptied) == {name for name in row if name not in ("event", "timestamp")} - {
            *entry.body,
            *(["event_id"] if entry.key else []),
        }


def test_the_error_of_a_word_names_the_setting_that_makes_it_real() -> None:
    with pytest.raises(InvalidRequestError, match=r"item_id is 'undefined'.*RECSYS_REAL_WORDS"):
        entries_of(FLAT | {"item_id": "undefined"}, BOUNDS, spellings())
    assert entries_of(FLAT | {"item_id": "undefined"}, BOUNDS, spellings(real=["Undefined"]))


def test_the_rows_of_an_event_whose_id_is_a_word_have_none() -> None:
    entries = entries_of(
        GA4 | {"event_id": "undefined", "items": [{"item_id": "a"}, {"item_id": "b"}]}, BOUNDS, spellings()
    )
    assert [each.key for each in entries] == [None, None]


MESSAGE = {"event": "message_sent", "user_id": "u", "message_id": "m", "channel": "push", "item_ids": ["a", "b"]}


@pytest.mark.parametrize("event", MESSAGE_EVENTS)
def test_events_of_messages_need_no_item(event: str) -> None:
    (entry,) = entries_of(MESSAGE | {"event": event, "event_id": "e"}, BOUNDS)
    assert entry == LogEntry("event", "e", float(NOW), NOW + 0.5, MESSAGE | {"event": event})


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"user_id": None}, "user_id"),
        ({"item_ids": "a"}, "item_ids"),
        ({"item_ids": ["a", 5]}, "item_ids"),
        ({"item_ids": ["a"] * 201}, "item_ids"),
        ({"message_id": 5}, "message_id"),
        ({"channel": " "}, "channel"),
        ({"propensity": 0}, "propensity"),
        ({"quantity": 1}, "quantity"),
    ],
)
def test_faults_of_messages(changed: dict[str, Any], field: str) -> None:
    assert list(faults(MESSAGE | changed)) == [field]
