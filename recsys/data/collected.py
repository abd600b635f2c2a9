"""Bodies that trackers send, as single payloads: batches, commands of gtag, and hits of GA4's `/g/collect`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from recsys.core.errors import DataError
from recsys.data.payload_fields import array_at

Payload = dict[str, Any]

COMMANDS: Final = ("event", "config", "set", "js", "consent", "get")
"""First words of gtag's commands; only `event` is an event."""

OUTER_FIELDS: Final = ("client_id", "user_id", "timestamp_micros")
"""Fields of a payload of GA4's Measurement Protocol that each of its events has."""

HIT_FIELDS: Final = {"en": "name", "cid": "client_id", "uid": "user_id"}
HIT_PARAMETERS: Final = {"cu": "currency", "sid": "ga_session_id"}
HIT_ITEM: Final = {"id": "item_id", "pr": "price", "qt": "quantity", "lp": "index"}
"""Fields of an item by the two characters that each part of it begins with in a hit."""

_HIT_ITEM: Final = re.compile(r"pr\d{1,3}")
_PARTS: Final = re.compile(r"(?<!~)~(?!~)")


def payloads_of(body: Any) -> list[Any]:
    """Return the payloads of one body, each of one event.

    A list has one payload after the other; `batch` is a batch of Segment or RudderStack; `events` those of GA4's
    Measurement Protocol, or of the engine's own batch; `["event", name, parameters]` is a command of gtag; an object
    with `event` and `ecommerce` is an entry of its data layer. A purchase of GA4 without an `event_id` gets one from
    its `transaction_id`, as GA4 counts a transaction once.

    Args:
        body: decoded JSON.

    Raises:
        DataError: a batch has the wrong type; the message begins with the field's path and a colon.

    Example:
        >>> payloads_of({"client_id": "c", "events": [{"name": "view_item"}]})
        [{'client_id': 'c', 'name': 'view_item', 'params': {}}]
    """
    is_list = isinstance(body, list) and not _is_command(body)
    return [_identified(payload) for each in (body if is_list else [body]) for payload in _payloads(each)]


def hits_of(query: str, body: str) -> list[Payload]:
    """Return the events of one request of gtag to GA4's `/g/collect`, as payloads of GA4.

    The query has what the events share; each line of the body is one event, and without lines the query is one. An
    event's id is that of the visitor, of the page's load and of the request, and its line.

    Example:
        >>> (hit,) = hits_of("v=2&cid=c&en=view_item&pr1=idtea~pr3.5~qt2", "")
        >>> hit["params"]["items"]
        [{'item_id': 'tea', 'price': '3.5', 'quantity': '2'}]
    """
    lines = [line for line in body.splitlines() if line.strip()] or [""]
    return [_identified(_hit({**_pairs(query), **_pairs(line)}, number)) for number, line in enumerate(lines, start=1)]


def _payloads(element: Any) -> Iterator[Any]:
    if _is_command(element):
        yield _command(element)
    elif not isinstance(element, Mapping):
        yield element
    elif "batch" in element:
        yield from array_at(element, "batch", "")
    elif "events" in element and "event_name" not in element:
        outer = {name: element[name] for name in OUTER_FIELDS if name in element}
        for event in array_at(element, "events", ""):
            yield _ga4(outer, event) if isinstance(event, Mapping) and "name" in event else event
    elif isinstance(element.get("ecommerce"), Mapping) and isinstance(element.get("event"), str):
        rest = {name: value for name, value in element.items() if name not in ("event", "ecommerce")}
        yield {**rest, "name": element["event"], "params": element["ecommerce"]}
    else:
        yield element


def _ga4(outer: Payload, event: Mapping[str, Any]) -> Payload:
    own = dict(event)
    own.setdefault("params", {})
    return outer | own


def _is_command(element: Any) -> bool:
    return isinstance(element, list) and bool(element) and isinstance(element[0], str) and element[0] in COMMANDS


def _command(command: list[Any]) -> Payload:
    """Return the payload of a command; one that is not an event has its own word as its name."""
    if command[0] != "event":
        return {"name": command[0], "params": {}}
    params = command[2] if len(command) > 2 and isinstance(command[2], Mapping) else {}
    ids = {name: params[name] for name in ("user_id", "client_id", "event_id") if name in params}
    return {"name": command[1] if len(command) > 1 else None, "params": params, **ids}


def _identified(payload: Any) -> Any:
    if not isinstance(payload, Mapping) or "event_id" in payload or payload.get("name") != "purchase":
        return payload
    params = payload.get("params")
    transaction = params.get("transaction_id") if isinstance(params, Mapping) else None
    if not isinstance(transaction, str | int) or transaction == "":
        return payload
    return {**payload, "event_id": f"purchase-{transaction}"}


def _pairs(query: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(query, keep_blank_values=True, errors="strict"))
    except ValueError as error:
        raise DataError(f"hit: not percent-encoded UTF-8 ({error})") from None


def _hit(values: Mapping[str, str], number: int) -> Payload:
    params: Payload = {ours: values[theirs] for theirs, ours in HIT_PARAMETERS.items() if theirs in values}
    for name, value in values.items():
        prefix, dot, rest = name.partition(".")
        if dot and prefix in ("ep", "epn"):
            params[rest] = value
    items = sorted((name for name in values if _HIT_ITEM.fullmatch(name)), key=lambda name: int(name[2:]))
    params["items"] = [_hit_item(values[name]) for name in items]
    payload: Payload = {ours: values[theirs] for theirs, ours in HIT_FIELDS.items() if theirs in values}
    if values.keys() >= {"cid", "_p", "_s"}:
        payload["event_id"] = "-".join((values["cid"], values["_p"], values["_s"], str(number)))
    return {"name": None, **payload, "params": params}


def _hit_item(text: str) -> Payload:
    parts = [part.replace("~~", "~") for part in _PARTS.split(text)]
    return {HIT_ITEM[part[:2]]: part[2:] for part in parts if part[:2] in HIT_ITEM}
