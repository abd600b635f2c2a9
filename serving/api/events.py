"""The call that takes events: each is judged by itself, and what is acknowledged is on the disk."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from recsys.core.schema import EVENT_NAMES, EVENTS, MAX_ID_BYTES, WHO
from recsys.eventlog.store import AppendOutcome, LogEntry
from serving.api.event_validation import TimestampBounds, entries_of, event_id_of
from serving.http.body import Body
from serving.http.operation import Operation
from serving.http.parameters import Nothing
from serving.problems import FieldError, InvalidRequestError
from serving.responses import encode
from serving.runtime.app_context import AppContext

MAX_EVENTS: Final = 1_000
MAX_ENTRIES: Final = 10_000
"""Items of all events of one call: more would keep others' events waiting."""

YIELD_EVERY: Final = 25
"""Events that are judged in one go; other requests get their turn after each, for a full call takes tens of ms."""

Status = Literal["accepted", "duplicate", "rejected", "conflict", "erased"]
MEANS: Final[dict[AppendOutcome, Status]] = {
    "stored": "accepted",
    "duplicate": "duplicate",
    "conflict": "conflict",
    "erased": "erased",
}
REASONS: Final[dict[Status, FieldError]] = {
    "conflict": FieldError("event_id", "event_id is known with other content: what was first stored stands"),
    "erased": FieldError("user_id", "the shopper was erased after this event happened: it is not kept"),
}

_ID_SCHEMA: Final = {"type": "string", "minLength": 1, "maxLength": MAX_ID_BYTES}
_FLAT_SCHEMA: Final = {
    "type": "object",
    "description": "Our own shape: one thing that happened between somebody and an item.",
    "properties": {
        **{name: _ID_SCHEMA for name, dtype in EVENTS.items() if str(dtype) == "String"},
        "event": {"type": "string", "enum": list(EVENT_NAMES)},
        "timestamp": {"type": "string", "format": "date-time", "description": "The server's clock if not given."},
        "quantity": {"type": "number", "minimum": 0},
        "price": {"type": "number", "minimum": 0, "description": "Paid, a unit."},
        "value": {"type": "number", "description": "A rating."},
        "position": {"type": "integer", "minimum": 0},
        "propensity": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    },
    "required": ["item_id", "event"],
    "anyOf": [{"required": [name]} for name in WHO],
}
_EVENT_SCHEMA: Final = {
    "anyOf": [
        _FLAT_SCHEMA,
        {"description": "A payload of GA4, Segment or Google Retail; whatever is none is rejected."},
    ]
}


class EventBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Events to take.

    Attributes:
        events: one or many; each is judged by itself.
    """

    events: Annotated[
        list[Annotated[Any, Meta(extra_json_schema=_EVENT_SCHEMA)]], Meta(min_length=1, max_length=MAX_EVENTS)
    ]


class EventResult(msgspec.Struct, frozen=True):
    """What became of one event.

    Attributes:
        status: `accepted`: it is durable. `duplicate`: it was before. `rejected`: it is wrong. `conflict`: its id is
            known with other content. `erased`: it is of before the erasure of its shopper.
        event_id: as it was sent, null if it was not.
        errors: what is wrong with it, one entry a field; none if it was taken.
    """

    status: Status
    event_id: str | None
    errors: tuple[FieldError, ...]


class EventResults(msgspec.Struct, frozen=True):
    """What became of the events.

    Attributes:
        accepted: how many are durable, those that were before counted in.
        refused: how many are not kept.
        results: one an event, in the order of the call.
    """

    accepted: int
    refused: int
    results: list[EventResult]


@dataclass(frozen=True)
class ParsedEvent:
    """One event, looked at.

    Attributes:
        event_id: the shop's, None if it gave none.
        entries: what is to be stored, none where something is wrong.
        errors: what is wrong.
    """

    event_id: str | None
    entries: list[LogEntry]
    errors: tuple[FieldError, ...] = ()


async def take_events(service: AppContext, call: Nothing, batch: EventBatch) -> bytes:
    """Take events, each by itself.

    An event may have our own flat shape or be a payload of GA4, Segment or Google Retail; one of several items counts
    as one a item, under `<event_id>#1`, `#2` and so on. A call whose body can be read is 200 whatever its events are,
    and `results` says what became of each: one bad event never loses the rest. What is `accepted` survives a crash. The
    same `event_id` with the same content may be sent again; without one, an event is new each time.
    """
    now = service.now()
    moments = TimestampBounds(now, now + service.settings.future_tolerance_seconds, service.clock.received_at())
    judged: list[ParsedEvent] = []
    room = MAX_ENTRIES
    for place, payload in enumerate(batch.events):
        if place % YIELD_EVERY == YIELD_EVERY - 1:
            await asyncio.sleep(0)
        judged.append(_judge(payload, moments, room))
        room -= len(judged[-1].entries)
    entries = [entry for each in judged for entry in each.entries]
    outcomes = iter(await service.stored(entries) if entries else ())
    results = [_result(each, [next(outcomes) for _ in each.entries]) for each in judged]
    for status, count in Counter(result.status for result in results).items():
        service.telemetry.took(status, count)
    refused = sum(bool(result.errors) for result in results)
    return encode(EventResults(len(results) - refused, refused, results))


def _judge(payload: Any, moments: TimestampBounds, room: int) -> ParsedEvent:
    event_id = event_id_of(payload)
    try:
        entries = entries_of(payload, moments)
    except InvalidRequestError as error:
        return ParsedEvent(event_id, [], error.errors)
    if len(entries) > room:
        full = FieldError("", f"the call has more than {MAX_ENTRIES} items by now: send this event in another one")
        return ParsedEvent(event_id, [], (full,))
    return ParsedEvent(event_id, entries)


def _result(judged: ParsedEvent, outcomes: Sequence[AppendOutcome]) -> EventResult:
    """One result of what became of an event's items: the worst, and new where any is."""
    if judged.errors:
        return EventResult("rejected", judged.event_id, judged.errors)
    worst: AppendOutcome = next(each for each in ("conflict", "erased", "stored", "duplicate") if each in outcomes)
    status = MEANS[worst]
    return EventResult(status, judged.event_id, (REASONS[status],) if status in REASONS else ())


OPERATIONS: Final = (
    Operation(
        "POST",
        "/v1/events",
        Nothing,
        take_events,
        (EventResults,),
        failures=(414, 422, 503),
        scope="events",
        body=Body(EventBatch, tolerant=True),
    ),
)
