"""Event payloads of GA4, Segment and Google Retail, parsed into rows of `recsys.core.schema.EVENTS`.

The input is decoded JSON of any shape, from the ingest job or the event route.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Final

import polars as pl

from recsys.core.errors import DataError
from recsys.core.schema import EVENT_ALIASES, EVENT_NAMES, EVENTS, TIMESTAMP
from recsys.core.timestamps import from_micros

RawEvent = dict[str, Any]


class ItemlessRow(RawEvent):
    """Row of an event that is not about an item, such as GA4's `page_view` or a call of Segment's `identify`."""


class UnreadNumber(str):
    """The text of a value where a number is expected, with the path of its field and what was expected there."""

    path: str
    expected: str

    @classmethod
    def of(cls, value: Any, path: str, expected: str) -> UnreadNumber:
        """Keep the text of any JSON value."""
        unread = cls(value if isinstance(value, str) else _shown(value))
        unread.path, unread.expected = path, expected
        return unread


PASSED_COLUMNS: Final = ("session_id", "channel", "region", "store", "recommendation_id", "placement")
"""Columns of the events table that a shop may send as GA4 parameters or Segment properties."""

ORDERS: Final = ("purchase", "refund")

SEGMENT_CALLS: Final = frozenset({"identify", "page", "screen", "group", "alias"})
"""Types of Segment's calls that are not events; `track` is one."""

Aliases = Mapping[str, str]
"""The engine's name of an event by another name."""


def parse_payload(payload: Any, aliases: Aliases = EVENT_ALIASES) -> list[RawEvent]:
    """Parse one event payload into rows, one per item.

    An object with an `item_id` is a row of the events table already. Otherwise `eventType` identifies Google Retail;
    `type: track` or `properties` Segment; and `event_name`, `events` or a `name` with `params` GA4 (the BigQuery export
    and the Measurement Protocol). GA4's `value` and Segment's `total` are sums of money over the whole order and are
    left out, as the column `value` is a rating.

    Args:
        payload: decoded JSON.
        aliases: other names of events, of the shop too.

    Returns:
        Rows whose columns are text, float, int or None; `timestamp` and `received_at` are unchanged or RFC 3339 text.
        A value of a number's column that is no number is an `UnreadNumber`.
        Aliases of event names are replaced by GA4's names. An event without items gives one row without an `item_id`,
        an `ItemlessRow` if its name is unknown. Unknown columns are kept in rows of the events table only.

    Raises:
        DataError: a field has the wrong type; the message begins with the field's path and a colon.

    Example:
        >>> parse_payload({"event": "Product Viewed", "userId": "u", "properties": {"product_id": "i"}})[0]["event"]
        'view_item'
    """
    if not isinstance(payload, Mapping):
        raise DataError(f"event: expected an object, got {_type_name(payload)}")
    if "item_id" in payload:
        return [_flat(payload, aliases)]
    if "eventType" in payload:
        return _numbered(_retail(payload, aliases))
    if _is_segment_call(payload):
        return [_segment_call(payload)]
    if payload.get("type") == "track" or "properties" in payload:
        return _numbered(_segment(payload, aliases))
    if isinstance(payload.get("events"), list | tuple):
        return _measurement(payload, aliases)
    if "event_name" in payload or ("name" in payload and ("params" in payload or "items" in payload)):
        return _numbered(_ga4(payload, "", aliases))
    return [_flat(payload, aliases)]


def _flat(payload: Mapping[str, Any], aliases: Aliases) -> RawEvent:
    row: RawEvent = {}
    for name, value in payload.items():
        read = READERS.get(name)
        row[name] = value if read is None else read(payload, name, "")
    if isinstance(row.get("event"), str):
        row["event"] = aliases.get(row["event"], row["event"])
    return row


def _ga4(payload: Mapping[str, Any], path: str, aliases: Aliases) -> list[RawEvent]:
    """Parse one GA4 event of gtag, the Measurement Protocol or the BigQuery export."""
    params = _params(payload, path)
    name_field = "event_name" if "event_name" in payload else "name"
    event = _event(payload, name_field, path, aliases)
    commerce = _object(payload, "ecommerce", path)
    transaction = _first_text(
        (commerce, "transaction_id", f"{path}ecommerce."), (params, "transaction_id", f"{path}params.")
    )
    shared: RawEvent = {name: _text(params, name, f"{path}params.") for name in PASSED_COLUMNS}
    shared |= {
        "event": event,
        "timestamp": _ga4_time(payload, path),
        "event_id": _text(payload, "event_id", path),
        "user_id": _text(payload, "user_id", path),
        "visitor_id": _first_text((payload, "user_pseudo_id", path), (payload, "client_id", path)),
        "session_id": shared["session_id"] or _text(params, "ga_session_id", f"{path}params."),
        "basket_id": transaction if event in ORDERS else None,
        "currency": _first_text((params, "currency", f"{path}params."), (payload, "currency", path)),
    }
    holder, inside = (payload, path) if "items" in payload else (params, f"{path}params.")
    rows = []
    for position, item in enumerate(_array(holder, "items", inside)):
        at = f"{inside}items[{position}]"
        fields = _as_object(item, at)
        rows.append(
            shared
            | {
                "item_id": _text(fields, "item_id", f"{at}."),
                "price": _number(fields, "price", f"{at}."),
                "quantity": _number(fields, "quantity", f"{at}."),
                "position": _position(fields, "index", f"{at}."),
            }
        )
    return rows or [_without_item(shared)]


def _measurement(payload: Mapping[str, Any], aliases: Aliases) -> list[RawEvent]:
    """Parse a payload of GA4's Measurement Protocol: one user and time, then a list of events."""
    rows: list[RawEvent] = []
    outer = {name: payload[name] for name in ("client_id", "user_id", "timestamp_micros") if name in payload}
    for position, event in enumerate(_array(payload, "events", "")):
        path = f"events[{position}]"
        rows += _numbered(_ga4(outer | dict(_as_object(event, path)), f"{path}.", aliases))
    return rows


def _params(payload: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Read GA4's parameters from an object or from the export's list of keys and typed values."""
    exported = payload.get("event_params")
    if not isinstance(exported, list | tuple):
        return _object(payload, "params", path)
    params: RawEvent = {}
    for position, pair in enumerate(exported):
        at = f"{path}event_params[{position}]"
        fields = _as_object(pair, at)
        key = _text(fields, "key", f"{at}.")
        values = _object(fields, "value", f"{at}.")
        if key is not None:
            params[key] = next((value for value in values.values() if value is not None), None)
    return params


def _ga4_time(payload: Mapping[str, Any], path: str) -> Any:
    """Read GA4's microseconds as RFC 3339 text; a plain `timestamp` unchanged."""
    for name in ("event_timestamp", "timestamp_micros"):
        micros = _number(payload, name, path)
        if isinstance(micros, UnreadNumber):
            raise DataError(f"{micros.path}: {micros.expected}")
        if micros is not None:
            try:
                return from_micros(micros).isoformat()
            except OverflowError:
                raise DataError(
                    f"{path}{name}: {micros:g} microseconds are not a date between the years 1 and 9999"
                ) from None
    return _moment(payload, "timestamp", path)


def _is_segment_call(payload: Mapping[str, Any]) -> bool:
    called = payload.get("type")
    return isinstance(called, str) and called in SEGMENT_CALLS and payload.get("event") is None


def _segment_call(payload: Mapping[str, Any]) -> RawEvent:
    return ItemlessRow(
        event=payload["type"],
        item_id=None,
        timestamp=_moment(payload, "timestamp" if "timestamp" in payload else "originalTimestamp", ""),
        event_id=_text(payload, "messageId", ""),
        user_id=_text(payload, "userId", ""),
        visitor_id=_text(payload, "anonymousId", ""),
    )


def _segment(payload: Mapping[str, Any], aliases: Aliases) -> list[RawEvent]:
    properties = _object(payload, "properties", "")
    event = _event(payload, "event", "", aliases)
    cart = [(properties, name, "properties.") for name in ("order_id", "cart_id", "checkout_id")]
    shared: RawEvent = {name: _text(properties, name, "properties.") for name in PASSED_COLUMNS}
    shared |= {
        "event": event,
        "timestamp": _moment(payload, "timestamp" if "timestamp" in payload else "originalTimestamp", ""),
        "received_at": _moment(payload, "receivedAt", ""),
        "event_id": _text(payload, "messageId", ""),
        "user_id": _text(payload, "userId", ""),
        "visitor_id": _text(payload, "anonymousId", ""),
        "basket_id": _first_text(*cart) if event in (*ORDERS, "begin_checkout") else None,
        "currency": _text(properties, "currency", "properties."),
    }
    if properties.get("products") is None:
        row = shared | _segment_product(properties, "properties.")
        return [row if row["item_id"] is not None else _without_item(row)]
    rows = []
    for position, product in enumerate(_array(properties, "products", "properties.")):
        at = f"properties.products[{position}]"
        rows.append(shared | _segment_product(_as_object(product, at), f"{at}."))
    return rows or [_without_item(shared)]


def _segment_product(product: Mapping[str, Any], path: str) -> RawEvent:
    return {
        "item_id": _first_text((product, "product_id", path), (product, "sku", path)),
        "price": _number(product, "price", path),
        "quantity": _number(product, "quantity", path),
        "position": _position(product, "position", path),
    }


def _retail(payload: Mapping[str, Any], aliases: Aliases) -> list[RawEvent]:
    order = _object(payload, "purchaseTransaction", "")
    user = _object(payload, "userInfo", "")
    shared: RawEvent = {
        "event": _event(payload, "eventType", "", aliases),
        "timestamp": _moment(payload, "eventTime", ""),
        "event_id": _text(payload, "eventId", ""),
        "user_id": _text(user, "userId", "userInfo."),
        "visitor_id": _text(payload, "visitorId", ""),
        "session_id": _text(payload, "sessionId", ""),
        "basket_id": _first_text((order, "id", "purchaseTransaction."), (payload, "cartId", "")),
        "currency": _text(order, "currencyCode", "purchaseTransaction."),
    }
    rows = []
    for position, detail in enumerate(_array(payload, "productDetails", "")):
        at = f"productDetails[{position}]"
        fields = _as_object(detail, at)
        product = _object(fields, "product", f"{at}.")
        price = _object(product, "priceInfo", f"{at}.product.")
        rows.append(
            shared
            | {
                "item_id": _text(product, "id", f"{at}.product."),
                "quantity": _number(fields, "quantity", f"{at}."),
                "price": _number(price, "price", f"{at}.product.priceInfo."),
                "currency": shared["currency"] or _text(price, "currencyCode", f"{at}.product.priceInfo."),
            }
        )
    return rows or [_without_item(shared)]


def _without_item(row: RawEvent) -> RawEvent:
    is_known = row["event"] is None or row["event"] in EVENT_NAMES
    return row | {"item_id": None} if is_known else ItemlessRow(row, item_id=None)


def _numbered(rows: list[RawEvent]) -> list[RawEvent]:
    """Give the rows of one payload different ids, `<id>#1`, `<id>#2`, …, if there are several."""
    if len(rows) < 2 or rows[0].get("event_id") is None:
        return rows
    return [row | {"event_id": f"{row['event_id']}#{number}"} for number, row in enumerate(rows, 1)]


def _event(holder: Mapping[str, Any], name: str, path: str, aliases: Aliases) -> str | None:
    event = _text(holder, name, path)
    return None if event is None else aliases.get(event, event)


def _text(holder: Mapping[str, Any], name: str, path: str) -> str | None:
    """Read a text, or an integer as text; None if absent or empty."""
    value = holder.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isascii():
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise DataError(f"{path}{name}: expected a text, got {_type_name(value)}")
    try:
        text = str(value)
        text.encode("utf-8")
    except ValueError:
        raise DataError(f"{path}{name}: not valid Unicode, or a number with too many digits") from None
    return text


def _first_text(*fields: tuple[Mapping[str, Any], str, str]) -> str | None:
    return next((text for field in fields if (text := _text(*field)) is not None), None)


def _number(holder: Mapping[str, Any], name: str, path: str) -> float | UnreadNumber | None:
    """Read a finite number, or one as text; None if absent or empty."""
    value = holder.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return UnreadNumber.of(value, f"{path}{name}", f"expected a number, got {_type_name(value)}")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        return UnreadNumber.of(value, f"{path}{name}", f"expected a finite number, got {_shown(value)[:40]!r}")
    return number


def _position(holder: Mapping[str, Any], name: str, path: str) -> int | UnreadNumber | None:
    number = _number(holder, name, path)
    if number is None or isinstance(number, UnreadNumber):
        return number
    if not number.is_integer():
        return UnreadNumber.of(number, f"{path}{name}", f"expected a whole number, got {number:g}")
    return int(number)


def _shown(value: Any) -> str:
    """Return a value as text, also an integer of more digits than Python writes."""
    try:
        return str(value)
    except ValueError:
        return "a number of very many digits"


def _moment(holder: Mapping[str, Any], name: str, path: str) -> Any:
    """Read a time as text or number; it is parsed later."""
    value = holder.get(name)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = _number(holder, name, path)
        if isinstance(number, UnreadNumber):
            raise DataError(f"{number.path}: {number.expected}")
        return value
    return _text(holder, name, path)


def _object(holder: Mapping[str, Any], name: str, path: str) -> Mapping[str, Any]:
    value = holder.get(name)
    return {} if value is None else _as_object(value, f"{path}{name}")


def _as_object(value: Any, field: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise DataError(f"{field}: expected an object, got {_type_name(value)}")
    return value


def _array(holder: Mapping[str, Any], name: str, path: str) -> list[Any] | tuple[Any, ...]:
    value = holder.get(name)
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise DataError(f"{path}{name}: expected a list, got {_type_name(value)}")
    return value


def _type_name(value: Any) -> str:
    """Return the type of a JSON value for error messages."""
    names = {
        bool: "true or false",
        str: "a text",
        int: "a number",
        float: "a number",
        list: "a list",
        tuple: "a list",
    }
    if value is None:
        return "null"
    return "an object" if isinstance(value, Mapping) else names.get(type(value), type(value).__name__)


Read = Callable[[Mapping[str, Any], str, str], Any]


def _reader(dtype: pl.DataType) -> Read:
    if dtype == TIMESTAMP:
        return _moment
    if dtype == pl.String():
        return _text
    return _position if dtype.is_integer() else _number


READERS: Final[dict[str, Read]] = {name: _reader(dtype) for name, dtype in EVENTS.items()}
"""Reader of each column of the events table."""
