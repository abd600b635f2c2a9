"""Events of our own shape without anything unusual: validated many at once, with the result of the general way.

Most events of most shops are of this kind. All others, the invalid ones among them, take the general way
(`serving.api.event_validation`), which finds out what is wrong; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import astuple

from recsys.core.schema import EVENT_NAMES, MAX_AMOUNT, MAX_ID_BYTES
from recsys.core.timestamps import utc_text
from recsys.eventlog.log_rows import LogRow, event_row
from serving.api.event_models import MAX_EVENTS
from serving.api.event_validation import TimestampBounds

Text = Annotated[str, Meta(min_length=1, max_length=MAX_ID_BYTES)]
Amount = Annotated[float, Meta(ge=0, le=MAX_AMOUNT)]

N_AROUND_KEY: Final = len('{"event_id":"",')
N_AFTER_TIME: Final = len('"}')

_encode_lines: Final = msgspec.json.Encoder().encode_lines


class PlainEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False, kw_only=True):
    """Columns of an event, each with the range in which the general way leaves it as it is.

    The first and the last one are those that an entry does not have as they are sent.
    """

    event_id: Text | None = None
    item_id: Text
    event: Literal[EVENT_NAMES]  # type: ignore[valid-type]
    user_id: Text | None = None
    visitor_id: Text | None = None
    session_id: Text | None = None
    basket_id: Text | None = None
    quantity: Annotated[float, Meta(gt=0, le=MAX_AMOUNT)] | None = None
    price: Amount | None = None
    currency: Text | None = None
    value: Annotated[float, Meta(ge=-MAX_AMOUNT, le=MAX_AMOUNT)] | None = None
    channel: Text | None = None
    region: Text | None = None
    store: Text | None = None
    recommendation_id: Text | None = None
    placement: Text | None = None
    position: Annotated[int, Meta(ge=0, le=1 << 53)] | None = None
    propensity: Annotated[float, Meta(gt=0, le=1)] | None = None
    timestamp: Text | None = None


class PlainBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body all of whose events are of our own shape, with values of the right types and ranges."""

    events: Annotated[list[PlainEvent], Meta(min_length=1, max_length=MAX_EVENTS)]


def plain_rows(payloads: Sequence[Any], bounds: TimestampBounds, words: frozenset[str]) -> list[LogRow | None]:
    """Return the row of each plain event; None for any other event.

    Args:
        payloads: decoded JSON of any shape, or plain events.
        bounds: the time of the call.
        words: spellings of the words that stand for an empty field.
    """
    events = [each if type(each) is PlainEvent else _plain_event(each) for each in payloads]
    known = [event for event in events if event is not None]
    lines = _lines(known, words)
    if lines is not None:
        rows = _rows(known, lines, bounds)
        return [None if event is None else next(rows) for event in events]
    return [None] if len(events) == 1 else [plain_rows([event], bounds, words)[0] for event in events]


def _plain_event(payload: Any) -> PlainEvent | None:
    try:
        return msgspec.convert(payload, PlainEvent)
    except (ValueError, OverflowError, RecursionError):
        return None


def _lines(events: list[PlainEvent], words: frozenset[str]) -> list[str] | None:
    """Return events as JSON, if all texts are printable, without blanks at their ends, and no word for nothing.

    JSON escapes control characters, but for the last of ASCII, and has no blanks but those of texts. All other blanks
    than that of ASCII are not printable.
    """
    try:
        encoded = _encode_lines(events).decode()
    except UnicodeEncodeError:
        return None
    if "\\" in encoded or "\x7f" in encoded or (" " in encoded and ('" ' in encoded or ' "' in encoded)):
        return None
    lines = encoded.split("\n")[:-1]
    values = list(chain.from_iterable(map(astuple, events)))
    if not encoded.isascii() and not (all(map(str.isprintable, lines)) and _are_short(values)):
        return None
    return lines if words.isdisjoint(values) else None


def _are_short(values: list[Any]) -> bool:
    """Return whether all texts have at most `MAX_ID_BYTES` bytes; their characters have been counted."""
    return all(len(text.encode()) <= MAX_ID_BYTES for text in values if type(text) is str and not text.isascii())


def _rows(events: list[PlainEvent], lines: list[str], bounds: TimestampBounds) -> Iterator[LogRow | None]:
    """Yield the row of each event, whose body is its JSON without its id and with its time in UTC."""
    now, earliest, latest, received_at = float(bounds.now), bounds.earliest, bounds.latest, bounds.received_at
    for event, line in zip(events, lines, strict=True):
        key, time, user_id, visitor_id = event.event_id, event.timestamp, event.user_id, event.visitor_id
        at, session_id, body = now, event.session_id, line
        if user_id is None and visitor_id is None and session_id is None and event.basket_id is None:
            yield None
            continue
        if key is not None:
            if "#" in key:  # of several items: `<id>#1`, `#2`, …
                yield None
                continue
            body = f"{{{body[len(key) + N_AROUND_KEY :]}"
        if time is not None:
            moment = _moment(time)
            if moment is None or not earliest <= (at := moment.timestamp()) <= latest:
                yield None
                continue
            if (text := utc_text(moment)) != time:
                body = f'{body[: -len(time) - N_AFTER_TIME]}{text}"}}'
        yield event_row(key, at, received_at, user_id, visitor_id, session_id, body)


def _moment(text: str) -> datetime | None:
    """Return an ISO 8601 time with an offset, in UTC; None for any other text."""
    try:
        moment = datetime.fromisoformat(text) if text.isascii() else None
        if moment is None or moment.tzinfo is UTC:
            return moment
        return None if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
