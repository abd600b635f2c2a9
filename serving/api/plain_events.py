"""Events of our own shape without anything unusual: validated in one step, with the result of the general way.

Most events of most shops are of this kind. All others, the invalid ones among them, take the general way
(`serving.api.event_validation`), which finds out what is wrong; a test compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from recsys.core.schema import EVENT_NAMES, MAX_AMOUNT, MAX_ID_BYTES, WHO
from recsys.core.timestamps import utc_text
from recsys.eventlog.store import LogEntry
from serving.api.event_validation import TimestampBounds

SEPARATOR: Final = "|"

Text = Annotated[str, Meta(min_length=1, max_length=MAX_ID_BYTES)]
Amount = Annotated[float, Meta(ge=0, le=MAX_AMOUNT)]


class PlainEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False, kw_only=True):
    """Columns of an event, each with the range in which the general way leaves it as it is."""

    item_id: Text
    event: Literal[EVENT_NAMES]  # type: ignore[valid-type]
    timestamp: Text | None = None
    user_id: Text | None = None
    visitor_id: Text | None = None
    session_id: Text | None = None
    basket_id: Text | None = None
    event_id: Text | None = None
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


def plain_entry(payload: Any, bounds: TimestampBounds, words: frozenset[str]) -> LogEntry | None:
    """Return the entry of a plain event; None for any other event.

    Args:
        payload: decoded JSON of any shape.
        bounds: the time of the call.
        words: spellings of the words that stand for an empty field.
    """
    try:
        body: dict[str, Any] = msgspec.to_builtins(msgspec.convert(payload, PlainEvent))
    except (ValueError, OverflowError, RecursionError):
        return None
    if not _are_plain([value for value in body.values() if type(value) is str], words) or body.keys().isdisjoint(WHO):
        return None
    key, time = body.pop("event_id", None), body.pop("timestamp", None)
    if key is not None and "#" in key:  # of several items: `<id>#1`, `#2`, …
        return None
    if time is None:
        return LogEntry("event", key, float(bounds.now), bounds.received_at, body)
    moment = _moment(time)
    if moment is None or not bounds.earliest <= (at := moment.timestamp()) <= bounds.latest:
        return None
    body["timestamp"] = utc_text(moment)
    return LogEntry("event", key, at, bounds.received_at, body)


def _are_plain(texts: list[str], words: frozenset[str]) -> bool:
    """Return whether texts have only printable ASCII, no blanks at their ends, and none is a word for nothing."""
    together = SEPARATOR.join(("", *texts, ""))
    if not (together.isascii() and together.isprintable() and words.isdisjoint(texts)):
        return False
    return " " not in together or not (f"{SEPARATOR} " in together or f" {SEPARATOR}" in together)


def _moment(text: str) -> datetime | None:
    """Return an ISO 8601 time with an offset, in UTC; None for any other text."""
    try:
        moment = datetime.fromisoformat(text)
        return None if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
