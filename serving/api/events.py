"""The call that stores events: each is validated by itself, and is on the disk once it is acknowledged."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import msgspec

from recsys.data.payloads import parse_payload
from recsys.eventlog.log_rows import LogRow
from recsys.eventlog.store import AppendOutcome, LogEntry
from serving.api.event_models import EVENT_SHAPES, EventBatch
from serving.api.event_validation import Parse, TimestampBounds, entries_of, event_id_of
from serving.api.plain_events import PlainBatch, PlainEvent, plain_rows
from serving.http.body import Body
from serving.http.fields import NoParameters
from serving.http.operation import Operation
from serving.problems import FieldError, InvalidRequestError
from serving.responses import encode
from serving.runtime.app_context import AppContext

MAX_CALL_ENTRIES: Final = 10_000
"""Items of all events of one call: more would delay the events of other calls."""

PLAIN_AT_ONCE: Final = 100
OTHERS_AT_ONCE: Final = 25
"""Events that are validated at once; other requests are handled in between, because a full call takes tens of ms."""

Status = Literal["accepted", "duplicate", "rejected", "conflict", "erased"]
STATUSES: Final[dict[AppendOutcome, Status]] = {
    "stored": "accepted",
    "duplicate": "duplicate",
    "conflict": "conflict",
    "erased": "erased",
}
REASONS: Final[dict[Status, FieldError]] = {
    "conflict": FieldError("event_id", "event_id is known with other content: the first one is kept"),
    "erased": FieldError("user_id", "the user was erased after this event: it is not stored"),
}


class EventResult(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The result of one event.

    Attributes:
        status: `accepted`: it is durable. `duplicate`: it was stored before. `rejected`: it is invalid. `conflict`: its
            id is known with other content. `erased`: it is older than the erasure of its user.
        event_id: as it was sent, null if it has none.
        errors: what is wrong with it, one entry per field; empty if it was accepted.
        emptied: fields that are stored as empty, because they have a word for nothing such as `undefined`.
    """

    status: Status
    event_id: str | None
    errors: tuple[FieldError, ...]
    emptied: tuple[FieldError, ...] = ()


class EventResults(msgspec.Struct, frozen=True):
    """The results of the events.

    Attributes:
        accepted: number of events that are durable, duplicates included.
        refused: number of events that are not stored.
        results: one per event, in the order of the call.
    """

    accepted: int
    refused: int
    results: list[EventResult]


class ParsedEvent(msgspec.Struct, frozen=True, gc=False):
    """An event after validation in the general way; one that is plain is a row already.

    Attributes:
        event_id: the shop's id of the event, None if it has none.
        entries: to be stored; empty if the event is invalid.
        errors: what is wrong.
        emptied: fields with a word for nothing.
    """

    event_id: str | None
    entries: list[LogEntry]
    errors: tuple[FieldError, ...] = ()
    emptied: tuple[FieldError, ...] = ()


async def take_events(app_context: AppContext, call: NoParameters, batch: EventBatch | PlainBatch) -> bytes:
    """Store events, each by itself.

    An event has our own flat shape or is a payload of GA4, Segment or Google Retail; an event with several items is
    stored as one per item, under `<event_id>#1`, `#2` and so on. A call with a readable body is a 200, and `results`
    has the result of each event: one bad event does not affect the others. An `accepted` event survives a crash. The
    same `event_id` with the same content can be sent again; without one, an event is new each time.
    """
    results = await store_events(app_context, batch.events)
    refused = sum(bool(result.errors) for result in results)
    return encode(EventResults(len(results) - refused, refused, results))


async def store_events(
    app_context: AppContext, payloads: Sequence[Any], parse: Parse = parse_payload
) -> list[EventResult]:
    """Validate and store events, each by itself, and return their results in the same order.

    Args:
        app_context: has the live log and the clock.
        payloads: decoded JSON of any shape, or plain events.
        parse: returns the rows of a payload.
    """
    now = app_context.now()
    settings = app_context.settings
    received_at = app_context.clock.received_at()
    bounds = TimestampBounds(now, now + settings.future_tolerance_seconds, received_at, settings.earliest_second)
    parsed: list[LogRow | ParsedEvent] = []
    n_left, n_others = MAX_CALL_ENTRIES, 0
    for start in range(0, len(payloads), PLAIN_AT_ONCE):
        if start:
            await asyncio.sleep(0)
        some = payloads[start : start + PLAIN_AT_ONCE]
        for payload, row in zip(some, plain_rows(some, bounds, app_context.null_words), strict=True):
            if row is not None and n_left:
                parsed.append(row)
                n_left -= 1
            else:
                n_others += 1
                if n_others % OTHERS_AT_ONCE == 0:
                    await asyncio.sleep(0)
                parsed.append(event := _parse(payload, bounds, n_left, app_context.null_words, parse))
                n_left -= len(event.entries)
    entries = [entry for each in parsed for entry in ((each,) if isinstance(each, LogRow) else each.entries)]
    outcomes = iter(await app_context.stored(entries) if entries else ())
    results = [_result(each, outcomes) for each in parsed]
    for status, count in Counter([result.status for result in results]).items():
        app_context.telemetry.received(status, count)
    return results


def _parse(payload: Any, bounds: TimestampBounds, n_left: int, words: frozenset[str], parse: Parse) -> ParsedEvent:
    if isinstance(payload, PlainEvent):
        payload = msgspec.to_builtins(payload)
    event_id = event_id_of(payload)
    emptied: dict[str, FieldError] = {}
    try:
        entries = entries_of(payload, bounds, words, emptied, parse)
    except InvalidRequestError as error:
        return ParsedEvent(event_id, [], (*error.errors, *emptied.values()))
    if len(entries) > n_left:
        message = f"the call has more than {MAX_CALL_ENTRIES} items: send this event in another call"
        return ParsedEvent(event_id, [], (FieldError("", message),))
    return ParsedEvent(event_id, entries, (), tuple(emptied.values()))


def _result(event: LogRow | ParsedEvent, outcomes: Iterator[AppendOutcome]) -> EventResult:
    """Combine the outcomes of an event's items: the worst counts, and `accepted` if any item is new."""
    if isinstance(event, LogRow):
        status = STATUSES[next(outcomes)]
        return EventResult(status, event.key, (REASONS[status],) if status in REASONS else ())
    if event.errors:
        return EventResult("rejected", event.event_id, event.errors)
    found = [next(outcomes) for _ in event.entries]
    worst: AppendOutcome = next(each for each in ("conflict", "erased", "stored", "duplicate") if each in found)
    status = STATUSES[worst]
    return EventResult(status, event.event_id, (REASONS[status],) if status in REASONS else (), event.emptied)


OPERATIONS: Final = (
    Operation(
        "POST",
        "/v1/events",
        NoParameters,
        take_events,
        "events",
        (EventResults,),
        failures=(503,),
        scope="events",
        body=Body(EventBatch, tolerant=True, parts=EVENT_SHAPES, usual=PlainBatch),
        cost=lambda batch: len(batch.events),
    ),
)
