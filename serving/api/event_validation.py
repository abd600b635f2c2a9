"""Validation of one event of any shape: the result is entries of the live log, or errors.

The rules are those of the offline tables (`training.ingest.checks`), so that an event accepted here is never rejected
there; a test compares the two. Here texts that are not ids have the size limit of an id as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import polars as pl

from recsys.core.errors import DataError
from recsys.core.schema import EVENT_NAMES, EVENTS, MAX_AMOUNT, MAX_ID_BYTES, MESSAGE_EVENTS, MESSAGES, WHO
from recsys.core.timestamps import EARLIEST_EVENT, MICROSECONDS, from_micros, parse_micros, to_seconds, utc_text
from recsys.data.null_words import IS_WORD, is_null_word
from recsys.data.orders import negative_as_refund
from recsys.data.payload_fields import ItemlessRow, RawEvent, UnreadNumber
from recsys.data.payloads import parse_payload
from recsys.eventlog.store import LogEntry
from serving.http.fields import has_control_characters
from serving.http.validation import MAX_FAULTS
from serving.problems import FieldError, InvalidRequestError, shown
from serving.runtime.settings import variable_of

MAX_EVENT_ITEMS: Final = 200
"""Items of one event; GA4 has the same limit."""

REAL_WORDS: Final = variable_of("real_words")

WORD_COLUMNS: Final = frozenset(name for name, dtype in EVENTS.items() if dtype == pl.String()) - {"event"}
"""Columns in which a word may stand for nothing."""

ENTRY_COLUMNS: Final = frozenset({"event_id", "timestamp", "received_at"})
"""Columns that are fields of the entry itself; a `timestamp` that the shop gives is in its body as well."""

WHOLE_REFUND: Final = ": a live refund names what it takes back, send one refund per item of the order"

Check = Callable[[Any], str | None]
Parse = Callable[[Any], list[RawEvent]]

ID_FIELDS: Final = ("event_id", "messageId", "eventId", "id")


@dataclass(frozen=True)
class TimestampBounds:
    """The time of a call, and the times that its events may have.

    Attributes:
        now: time of the call by the server's clock, seconds since 1970.
        latest: the latest time that an event may have, seconds since 1970.
        earliest: the earliest one.
        received_at: time of the call by the machine's clock, seconds since 1970.
    """

    now: int
    latest: int
    received_at: float
    earliest: int = to_seconds(EARLIEST_EVENT)


def entries_of(
    payload: Any,
    bounds: TimestampBounds,
    words: frozenset[str] = frozenset(),
    emptied: dict[str, FieldError] | None = None,
    parse: Parse = parse_payload,
) -> list[LogEntry]:
    """Return the entries of one event, one per item.

    Args:
        payload: decoded JSON of any shape.
        bounds: the time of the call.
        words: spellings of the words that stand for an empty field.
        emptied: gets the fields that such a word was removed from.
        parse: returns the rows of a payload.

    Raises:
        InvalidRequestError: names each field that is wrong; then nothing of the event may be stored.
    """
    try:
        rows = parse(payload)
    except DataError as error:
        field, _, message = str(error).partition(": ")
        raise InvalidRequestError([FieldError(shown(field), f"{shown(field)}: {message}")]) from None
    except RecursionError:
        raise InvalidRequestError([FieldError("", "the event is nested too deeply")]) from None
    if not rows:
        raise InvalidRequestError([FieldError("events", "events is empty: expected at least one event")])
    if len(rows) > MAX_EVENT_ITEMS:
        raise InvalidRequestError(
            [FieldError("items", f"{len(rows)} items: expected at most {MAX_EVENT_ITEMS} per event")]
        )
    faults: list[FieldError] = []
    for row in rows:
        _empty_words(row, words, faults, {} if emptied is None else emptied)
    entries = [_entry(row if isinstance(row, ItemlessRow) else negative_as_refund(row), bounds, faults) for row in rows]
    if faults:
        raise InvalidRequestError(list(dict.fromkeys(faults))[:MAX_FAULTS])
    return _with_parts(entries)


def event_id_of(payload: Any) -> str | None:
    """Return the shop's id of an event, None if it has none that can be returned."""
    if not isinstance(payload, dict):
        return None
    for name in ID_FIELDS:
        found = payload.get(name)
        if isinstance(found, str | int) and not isinstance(found, bool) and found != "":
            return _text(found)[:MAX_ID_BYTES].encode(errors="replace").decode()
    return None


def word_fault(name: str, word: str) -> FieldError:
    """Return the error of an id that is a word for nothing."""
    message = f"{name} is {shown(word)!r}, which {IS_WORD}: expected an id; if the word is one, add it to {REAL_WORDS}"
    return FieldError(name, message, shown(word))


def _empty_words(
    row: dict[str, Any], words: frozenset[str], faults: list[FieldError], emptied: dict[str, FieldError]
) -> None:
    """Remove the words for nothing of a row; one in place of the item is an error."""
    for name, value in row.items():
        if not isinstance(value, str) or name not in WORD_COLUMNS:
            continue
        text = value if name != "event_id" else value.partition("#")[0] or value  # of several items: `<id>#1`, `#2`, …
        if not is_null_word(text, words):
            continue
        if name == "item_id":
            faults.append(word_fault(name, value))
        else:
            row[name] = None
            emptied[name] = FieldError(name, f"{name} is {shown(value)!r}, which {IS_WORD}: it is empty", shown(value))


def _entry(row: dict[str, Any], bounds: TimestampBounds, faults: list[FieldError]) -> LogEntry:
    """Return the entry of one row; add its errors to `faults`."""
    if isinstance(row, ItemlessRow):
        message = f"event is {shown(str(row['event']))!r}, which is not about an item: it is not stored"
        faults.append(FieldError("event", message, shown(str(row["event"]))))
    else:
        faults += _faults(row)
    micros = _micros(row.get("timestamp"), bounds, faults)
    body = {name: value for name, value in row.items() if value is not None and name not in ENTRY_COLUMNS}
    if micros is None:
        return LogEntry("event", row.get("event_id"), float(bounds.now), bounds.received_at, body)
    body["timestamp"] = utc_text(from_micros(micros))
    return LogEntry("event", row.get("event_id"), micros / MICROSECONDS, bounds.received_at, body)


def _with_parts(entries: list[LogEntry]) -> list[LogEntry]:
    """Add the number of items to the entries of one event, which `parse_payload` has numbered from `<event_id>#1`."""
    events: list[list[LogEntry]] = []
    for entry in entries:
        first = events[-1][0].key if events else None
        if first and first.endswith("#1") and entry.key == f"{first[:-1]}{len(events[-1]) + 1}":
            events[-1].append(entry)
        else:
            events.append([entry])
    parts: list[LogEntry] = []
    for event in events:
        if len(event) == 1:
            parts += event
            continue
        event_id = str(event[0].key).removesuffix("#1")
        for number, entry in enumerate(event, 1):
            body = entry.body | {"n_items": len(event)}
            parts.append(msgspec.structs.replace(entry, body=body, part=(event_id, number)))
    return parts


def _micros(value: Any, bounds: TimestampBounds, faults: list[FieldError]) -> int | None:
    """Return the time of a row, None if it has none or an invalid one."""
    if value is None:
        return None
    try:
        micros = parse_micros(value)
        if not bounds.earliest * MICROSECONDS <= micros <= bounds.latest * MICROSECONDS:
            first, last = (datetime.fromtimestamp(end, UTC).isoformat() for end in (bounds.earliest, bounds.latest))
            raise ValueError(f"expected a time from {first} to the server's clock, at the latest {last}")
    except (ValueError, OverflowError) as error:
        found = shown(_text(value))
        faults.append(FieldError("timestamp", f"timestamp is {found!r}: {error}", found))
        return None
    return micros


def _faults(row: dict[str, Any]) -> list[FieldError]:
    """Return the errors of the columns of a row, except its time."""
    if row.get("event") in MESSAGE_EVENTS:
        faults = _column_faults(row, MESSAGE_CHECKS)
        return faults if row.get("user_id") is not None else [*faults, FieldError("user_id", "user_id is missing")]
    faults = _column_faults(row, CHECKS)
    if row.get("item_id") is None:
        is_whole_refund = row.get("event") == "refund" and row.get("basket_id") is not None
        faults.append(FieldError("item_id", f"item_id is missing{WHOLE_REFUND if is_whole_refund else ''}"))
    if row.get("event") is None:
        faults.append(FieldError("event", "event is missing"))
    if row.get("quantity") == 0 and row.get("event") == "purchase":
        faults.append(_fault("quantity", 0, "expected more than 0 for a purchase"))
    if all(row.get(name) is None for name in WHO):
        faults.append(FieldError("user_id", f"there is no user: give at least one of {', '.join(WHO)}"))
    return faults


def _column_faults(row: dict[str, Any], checks: Mapping[str, Check]) -> list[FieldError]:
    """Return the errors of single columns of a row."""
    faults: list[FieldError] = []
    for name, value in row.items():
        check = checks.get(name)
        if len(faults) >= MAX_FAULTS:
            break
        if check is None:
            faults.append(_unknown(name, checks))
        elif isinstance(value, UnreadNumber):
            faults.append(FieldError(shown(value.path), f"{shown(value.path)}: {value.expected}"))
        elif value is not None and (wrong := check(value)):
            faults.append(_fault(name, value, wrong))
    return faults


def _wrong_message_text(value: object) -> str | None:
    return _wrong_text(value) if isinstance(value, str) else "expected a text"


def _wrong_items(value: object) -> str | None:
    if not isinstance(value, list) or len(value) > MAX_EVENT_ITEMS:
        return f"expected a list of at most {MAX_EVENT_ITEMS} ids"
    return next((wrong for each in value if (wrong := _wrong_message_text(each))), None)


def _wrong_text(text: str) -> str | None:
    if not text.strip():
        return "expected more than blanks"
    if len(text) > MAX_ID_BYTES or (not text.isascii() and len(text.encode()) > MAX_ID_BYTES):
        return f"expected at most {MAX_ID_BYTES} bytes of UTF-8"
    return "expected no control characters" if has_control_characters(text) else None


def _wrong_event(event: str) -> str | None:
    known = ", ".join((*EVENT_NAMES, *MESSAGE_EVENTS))
    return None if event in EVENT_NAMES else f"expected one of {known}, or an alias of one"


def _wrong_amount(number: float) -> str | None:
    return "expected 0 or more" if number < 0 else _wrong_size(number)


def _wrong_size(number: float) -> str | None:
    return f"expected at most {MAX_AMOUNT:.0e}" if abs(number) > MAX_AMOUNT else None


def _wrong_position(position: int) -> str | None:
    return None if 0 <= position < 1 << 63 else "expected a position in a list, 0 or more"


def _wrong_propensity(probability: float) -> str | None:
    return None if 0 < probability <= 1 else "expected above 0 and at most 1"


def _valid(value: object) -> None:
    """Accept a value: `parse_payload` has checked it, or it is checked elsewhere."""


CHECKS: Final[dict[str, Check]] = {
    **{name: _wrong_text if dtype == pl.String() else _valid for name, dtype in EVENTS.items()},
    "event": _wrong_event,
    "quantity": _wrong_amount,
    "price": _wrong_amount,
    "value": _wrong_size,
    "position": _wrong_position,
    "propensity": _wrong_propensity,
}
"""By column, a function that returns what was expected of a wrong value, None for a valid one."""

MESSAGE_CHECKS: Final[dict[str, Check]] = {
    **{name: _wrong_message_text if dtype == pl.String() else _valid for name, dtype in MESSAGES.items()},
    "item_ids": _wrong_items,
    "propensity": _wrong_propensity,
    "experiment": _wrong_message_text,
    "variant": _wrong_message_text,
}
"""The same for the events of messages."""


def _unknown(name: str, known: Iterable[str]) -> FieldError:
    return FieldError(shown(name), f"unknown field {shown(name)!r}: an event has {', '.join(known)}")


def _fault(name: str, value: object, expected: str) -> FieldError:
    found = shown(_text(value))
    return FieldError(name, f"{name} is {found!r}: {expected}", found)


def _text(value: object) -> str:
    """Return a value as text, also an integer of more digits than Python writes."""
    try:
        return str(value)
    except ValueError:
        return "a number of very many digits"
