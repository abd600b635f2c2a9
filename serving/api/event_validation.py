"""One event as a shop sends it, of whatever shape, turned into entries of the live log, or into what is wrong with it.

The rules are those of the offline tables (`training.ingest.checks`), so that what is taken here is never rejected
there; a test holds the two together. Here texts that are no ids are held to the size of an id as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import polars as pl

from recsys.core.errors import DataError
from recsys.core.schema import EVENT_NAMES, EVENTS, MAX_ID_BYTES, WHO
from recsys.core.timestamps import MICROSECONDS
from recsys.data.payloads import ItemlessRow, parse_payload
from recsys.eventlog.store import LogEntry
from serving.http.body import CONTROL
from serving.http.parameters import MAX_FAULTS
from serving.problems import FieldError, InvalidRequestError, shown

MAX_ITEMS: Final = 200
"""Items of one event; GA4's own bound."""

NOT_KEPT: Final = frozenset({"event_id", "timestamp", "received_at"})
"""Columns that the entry itself has; `timestamp` goes into its body as well where the shop states it."""

ID_FIELDS: Final = ("event_id", "messageId", "eventId")
EPOCH_UNITS: Final = ((1e11, 1_000_000), (1e14, 1_000), (1e17, 1))
"""First magnitude too large for seconds, milliseconds and microseconds since 1970, and their microseconds."""
EARLIEST_COUNT: Final = 100_000_000
"""Counts below this are of before March 1973, and look like the digits of a date such as 20240501."""

_DIGITS: Final = re.compile(r"\d{9,19}(\.\d+)?\Z")


@dataclass(frozen=True)
class TimestampBounds:
    """When a call came.

    Attributes:
        now: by the server's clock, seconds since 1970.
        latest: the latest time that an event may bear, seconds since 1970.
        received_at: by the machine's clock, seconds since 1970.
    """

    now: int
    latest: int
    received_at: float


def entries_of(payload: Any, moments: TimestampBounds) -> list[LogEntry]:
    """The entries of one event, one an item.

    Args:
        payload: decoded JSON of any shape.
        moments: when it came.

    Raises:
        InvalidRequestError: naming each field that is wrong; then nothing of the event is to be kept.
    """
    try:
        rows = parse_payload(payload)
    except DataError as error:
        field, _, message = str(error).partition(": ")
        raise InvalidRequestError([FieldError(shown(field), f"{shown(field)}: {message}")]) from None
    except RecursionError:
        raise InvalidRequestError([FieldError("", "the event is nested too deeply")]) from None
    if not rows:
        raise InvalidRequestError([FieldError("events", "events is empty: expected an event in it")])
    if len(rows) > MAX_ITEMS:
        raise InvalidRequestError([FieldError("items", f"{len(rows)} items: expected at most {MAX_ITEMS} an event")])
    faults: list[FieldError] = []
    entries = [_entry(row, moments, faults) for row in rows]
    if faults:
        raise InvalidRequestError(list(dict.fromkeys(faults))[:MAX_FAULTS])
    return _in_parts(entries)


def event_id_of(payload: Any) -> str | None:
    """The id under which a shop knows an event, None where it gives none that can be sent back."""
    if not isinstance(payload, dict):
        return None
    for name in ID_FIELDS:
        found = payload.get(name)
        if isinstance(found, str | int) and not isinstance(found, bool) and found != "":
            return _plain(found)[:MAX_ID_BYTES].encode(errors="replace").decode()
    return None


def read_micros(value: Any) -> int:
    """Microseconds since 1970 that a time says: RFC 3339 with its offset, or a count whose size tells its unit.

    >>> read_micros("2024-05-01T08:00:00+08:00") == read_micros(1714521600) == read_micros("1714521600000")
    True

    Raises:
        ValueError: saying what was expected.
    """
    if isinstance(value, str) and _DIGITS.match(value):
        value = float(value)
    if isinstance(value, int | float):
        if 0 <= value < EARLIEST_COUNT:
            raise ValueError("expected an RFC 3339 time, or a count since 1970; this may be the digits of a date")
        factor = next((micros for end, micros in EPOCH_UNITS if abs(value) < end), 1e-3)
        return round(value * factor)
    try:
        moment = datetime.fromisoformat(value.upper())
    except ValueError:
        raise ValueError("expected an RFC 3339 time such as 2024-05-01T08:00:00+08:00") from None
    if moment.tzinfo is None:
        raise ValueError("expected an offset at its end, such as +08:00 or Z")
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * MICROSECONDS + since.microseconds


def _entry(row: dict[str, Any], moments: TimestampBounds, faults: list[FieldError]) -> LogEntry:
    """The entry of one row; what is wrong with it is added to `faults`."""
    if isinstance(row, ItemlessRow):
        message = f"event is {shown(str(row['event']))!r}, which is not about an item: it is not kept"
        faults.append(FieldError("event", message, shown(str(row["event"]))))
    else:
        faults += _faults(row)
    micros = _micros(row.get("timestamp"), moments, faults)
    body = {name: value for name, value in row.items() if value is not None and name not in NOT_KEPT}
    if micros is None:
        return LogEntry("event", row.get("event_id"), float(moments.now), moments.received_at, body)
    seconds, rest = divmod(micros, MICROSECONDS)
    body["timestamp"] = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest).isoformat()
    return LogEntry("event", row.get("event_id"), micros / MICROSECONDS, moments.received_at, body)


def _in_parts(entries: list[LogEntry]) -> list[LogEntry]:
    """Say of the items of one event, which `parse_payload` has numbered from `<event_id>#1`, how many there are."""
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
        for place, entry in enumerate(event, 1):
            body = entry.body | {"n_items": len(event)}
            parts.append(msgspec.structs.replace(entry, body=body, part=(event_id, place)))
    return parts


def _micros(value: Any, moments: TimestampBounds, faults: list[FieldError]) -> int | None:
    """The time that a row states, None where it states none or a wrong one."""
    if value is None:
        return None
    try:
        micros = read_micros(value)
        if not 0 <= micros <= moments.latest * MICROSECONDS:
            latest = datetime.fromtimestamp(moments.latest, UTC).isoformat()
            raise ValueError(f"expected a time from 1970 to the server's clock, at the latest {latest}")
    except (ValueError, OverflowError) as error:
        told = shown(_plain(value))
        faults.append(FieldError("timestamp", f"timestamp is {told!r}: {error}", told))
        return None
    return micros


def _faults(row: dict[str, Any]) -> list[FieldError]:
    """What is wrong with the columns of a row, its time apart."""
    faults: list[FieldError] = []
    for name, value in row.items():
        check = CHECKS.get(name)
        if len(faults) >= MAX_FAULTS:
            break
        if check is None:
            faults.append(_unknown(name))
        elif value is not None and (wrong := check(value)):
            faults.append(_fault(name, value, wrong))
    faults += [FieldError(name, f"{name} is missing") for name in ("item_id", "event") if row.get(name) is None]
    if row.get("quantity") == 0 and row.get("event") == "purchase":
        faults.append(_fault("quantity", 0, "a purchase is of more than nothing"))
    if all(row.get(name) is None for name in WHO):
        faults.append(FieldError("user_id", f"nobody is named: give at least one of {', '.join(WHO)}"))
    return faults


def _wrong_text(text: str) -> str | None:
    if not text.strip():
        return "expected more than blanks"
    if len(text) > MAX_ID_BYTES or (not text.isascii() and len(text.encode()) > MAX_ID_BYTES):
        return f"expected at most {MAX_ID_BYTES} bytes of UTF-8"
    return "expected no control characters" if CONTROL.search(text) else None


def _wrong_event(event: str) -> str | None:
    return None if event in EVENT_NAMES else f"expected one of {', '.join(EVENT_NAMES)}, or an alias of theirs"


def _wrong_amount(number: float) -> str | None:
    return "expected 0 or more" if number < 0 else None


def _wrong_position(place: int) -> str | None:
    return None if 0 <= place < 1 << 63 else "expected a place in a list, 0 or more"


def _wrong_propensity(chance: float) -> str | None:
    return None if 0 < chance <= 1 else "expected above 0 and at most 1"


def _anything(value: object) -> None:
    """What `parse_payload` has read is right as it is, or is looked at elsewhere."""


CHECKS: Final[dict[str, Callable[[Any], str | None]]] = {
    **{name: _wrong_text if dtype == pl.String() else _anything for name, dtype in EVENTS.items()},
    "event": _wrong_event,
    "quantity": _wrong_amount,
    "price": _wrong_amount,
    "position": _wrong_position,
    "propensity": _wrong_propensity,
}
"""What is wrong with a value of each column, None if nothing is."""


def _unknown(name: str) -> FieldError:
    return FieldError(shown(name), f"unknown field {shown(name)!r}: an event has {', '.join(EVENTS)}")


def _fault(name: str, value: object, expected: str) -> FieldError:
    told = shown(_plain(value))
    return FieldError(name, f"{name} is {told!r}: {expected}", told)


def _plain(value: object) -> str:
    """A value as text; whole numbers of more digits than Python writes are no exception here."""
    try:
        return str(value)
    except ValueError:
        return "a number of very many digits"
