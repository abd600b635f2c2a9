"""The call that takes payloads of GA4, Segment, RudderStack and Shopify's web pixels as their trackers send them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from starlette.exceptions import HTTPException

from recsys.core.errors import DataError
from recsys.core.schema import EVENT_NAMES, MESSAGE_EVENTS
from recsys.data.collected import hits_of, payloads_of
from recsys.data.payloads import Shape, event_name, parse_payload, shape_of
from serving.api.collect_models import (
    HIT_BODY,
    SHAPES,
    TRACKER_BODY,
    CollectCall,
    CollectResult,
    CollectResults,
)
from serving.api.event_models import MAX_EVENTS
from serving.api.event_validation import event_id_of
from serving.api.events import store_events
from serving.api.identity import merge_ids
from serving.http.caller import Caller
from serving.http.fields import MAX_EXACT_INTEGER, OpenQuery, is_id
from serving.http.operation import Operation
from serving.problems import FieldError, InvalidRequestError, shown
from serving.responses import encode
from serving.runtime.app_context import AppContext
from serving.runtime.auth import ADMIN

NAMES: Final = frozenset({*EVENT_NAMES, *MESSAGE_EVENTS})

IDENTITY_CALLS: Final[Mapping[str, tuple[str, ...]]] = {"identify": ("anonymousId",), "alias": ("previousId",)}
"""Calls of Segment and RudderStack that state two ids of one person: the field of the id beside `userId`."""

NO_MERGE: Final = "the key lacks the scope 'catalog', which merges need: the ids stay apart"


async def collect(app_context: AppContext, call: CollectCall, body: Any, caller: Caller) -> bytes:
    """Store events of a tracker of GA4, Segment, RudderStack or Shopify's web pixels, as it sends them.

    The body is one payload, a batch or a list. Events of e-commerce are validated and stored as by `POST /v1/events`,
    each by itself; all others are `ignored`. An `identify` or `alias` with two ids merges them, as
    `POST /v1/users/{user_id}/merge` does, if the key has the scope `catalog`; else it is ignored.
    """
    if not isinstance(body, dict | list):
        message = f"the body is {shown(str(body))!r}: expected an object or a list"
        raise InvalidRequestError([FieldError("", message, shown(str(body)))])
    return await _collect(app_context, call, _payloads(payloads_of, body), caller)


async def collect_hits(app_context: AppContext, call: OpenQuery, body: str, caller: Caller) -> bytes:
    """Store events that gtag sends to GA4, one by one or in batches.

    `gtag("config", ID, {server_container_url: "https://…/v1/collect"})` sends them here. The query has what the events
    share, and each line of the body is one event. The results are those of `POST /v1/collect`.
    """
    return await _collect(app_context, CollectCall("ga4"), _payloads(hits_of, call.query, body), caller)


async def _collect(app_context: AppContext, call: CollectCall, payloads: list[Any], caller: Caller) -> bytes:
    caller.charge(len(payloads) - 1)
    shapes = [_shape(payload, call) for payload in payloads]
    names = [_name(payload, shape) for payload, shape in zip(payloads, shapes, strict=True)]
    events = [index for index, name in enumerate(names) if name is None or name in NAMES]
    results = [
        CollectResult("ignored", name, event_id_of(payload)) for name, payload in zip(names, payloads, strict=True)
    ]
    parse = partial(parse_payload, shape=SHAPES[call.source] if call.source else None, item_key=call.item_id)
    stored = await store_events(app_context, [payloads[index] for index in events], parse)
    for index, result in zip(events, stored, strict=True):
        results[index] = CollectResult(result.status, names[index], result.event_id, result.errors, result.emptied)
    for index, name in enumerate(names):
        if name in IDENTITY_CALLS and shapes[index] == "segment":
            results[index] = await _merged(app_context, caller, payloads[index], results[index])
    return encode(_counted(results))


def _payloads(read: Callable[..., list[Any]], *content: Any) -> list[Any]:
    try:
        payloads = read(*content)
    except DataError as error:
        field, _, message = str(error).partition(": ")
        raise InvalidRequestError([FieldError(field, f"{field}: {message}")]) from None
    if not 1 <= len(payloads) <= MAX_EVENTS:
        message = f"the body has {len(payloads)} events: expected 1 to {MAX_EVENTS}"
        raise InvalidRequestError([FieldError("", message, str(len(payloads)))])
    return payloads


def _shape(payload: Any, call: CollectCall) -> Shape | None:
    if not isinstance(payload, Mapping):
        return None
    return shape_of(payload) if call.source is None else SHAPES[call.source]


def _name(payload: Any, shape: Shape | None) -> str | None:
    name = None if shape is None else event_name(payload, shape)
    return None if name is None else shown(name)


async def _merged(app_context: AppContext, caller: Caller, payload: Any, ignored: CollectResult) -> CollectResult:
    """Carry out the merge of a call of `identify` or `alias`, if it has two ids and the key allows it."""
    (other_field,) = IDENTITY_CALLS[str(ignored.event)]
    other, user_id = payload.get(other_field), payload.get("userId")
    if other in (None, "") or user_id in (None, "") or other == user_id:
        return ignored
    if not {"catalog", ADMIN} & set(caller.scopes):
        return CollectResult("ignored", ignored.event, ignored.event_id, reason=NO_MERGE)
    wrong = [_fault(name, payload[name]) for name in (other_field, "userId") if not _is_id(payload[name])]
    if wrong:
        return CollectResult("rejected", ignored.event, ignored.event_id, tuple(wrong))
    try:
        await merge_ids(app_context, str(other), str(user_id))
    except InvalidRequestError as error:
        return CollectResult("rejected", ignored.event, ignored.event_id, tuple(error.errors))
    except HTTPException as error:
        fault = FieldError(other_field, str(error.detail), shown(str(other)))
        return CollectResult("conflict", ignored.event, ignored.event_id, (fault,))
    return CollectResult("merged", ignored.event, ignored.event_id)


def _is_id(value: Any) -> bool:
    if isinstance(value, str):
        return is_id(value) and value.encode(errors="replace").decode() == value  # no half of a surrogate pair
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_EXACT_INTEGER


def _fault(name: str, value: Any) -> FieldError:
    found = shown(_text(value))
    return FieldError(name, f"{name} is {found!r}: expected an id of 1 to 256 bytes without control characters", found)


def _text(value: Any) -> str:
    """Return a value as text, also an integer of more digits than Python writes."""
    try:
        return str(value)
    except ValueError:
        return "a number of very many digits"


def _counted(results: list[CollectResult]) -> CollectResults:
    counts = Counter(result.status for result in results)
    refused = sum(bool(result.errors) for result in results)
    return CollectResults(len(results) - refused - counts["ignored"], refused, counts["ignored"], results)


OPERATIONS: Final = (
    Operation(
        "POST",
        "/v1/collect",
        CollectCall,
        collect,
        "events",
        (CollectResults,),
        failures=(503,),
        scope="events",
        body=TRACKER_BODY,
        takes_caller=True,
    ),
    Operation(
        "POST",
        "/v1/collect/g/collect",
        OpenQuery,
        collect_hits,
        "events",
        (CollectResults,),
        failures=(503,),
        scope="events",
        body=HIT_BODY,
        takes_caller=True,
    ),
)
