"""Event payloads of GA4, Segment, Google Retail and Shopify, parsed into rows of `recsys.core.schema.EVENTS`.

The input is decoded JSON of any shape, from the ingest job or the event route.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, get_args

import polars as pl

from recsys.core.errors import DataError
from recsys.core.schema import EVENT_ALIASES, EVENTS, TIMESTAMP
from recsys.core.timestamps import from_micros
from recsys.data import shopify_pixel
from recsys.data.payload_fields import (
    Aliases,
    ItemKey,
    ItemlessRow,
    RawEvent,
    UnreadNumber,
    array_at,
    as_object,
    event_at,
    first_text,
    moment_at,
    number_at,
    object_at,
    position_at,
    text_at,
    type_name,
    without_item,
)

Shape = Literal["flat", "ga4", "segment", "retail", "shopify"]
SHAPES: Final[tuple[Shape, ...]] = get_args(Shape)

PASSED_COLUMNS: Final = ("session_id", "channel", "region", "store", "recommendation_id", "placement")
"""Columns of the events table that a shop may send as GA4 parameters or Segment properties."""

ORDERS: Final = ("purchase", "refund")

SEGMENT_CALLS: Final = frozenset({"identify", "page", "screen", "group", "alias", "merge"})
"""Types of Segment's and RudderStack's calls that are not events; `track` is one."""

SEGMENT_ITEMS: Final[dict[ItemKey, tuple[str, ...]]] = {
    "product": ("product_id", "sku"),
    "variant": ("variant_id", "sku", "product_id"),
    "sku": ("sku", "product_id"),
}
"""Fields of a product in Segment's payloads, the first that is filled is the item's id."""


def parse_payload(
    payload: Any, aliases: Aliases = EVENT_ALIASES, shape: Shape | None = None, item_key: ItemKey = "product"
) -> list[RawEvent]:
    """Parse one event payload into rows, one per item.

    GA4's `value` and Segment's `total` are sums of money over the whole order and are left out, as the column `value`
    is a rating.

    Args:
        payload: decoded JSON.
        aliases: other names of events, of the shop too.
        shape: who has made the payload; `shape_of` finds out if it is not given.
        item_key: which of a product's ids in payloads of Segment and Shopify is the shop's `item_id`.

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
        raise DataError(f"event: expected an object, got {type_name(payload)}")
    match shape_of(payload) if shape is None else shape:
        case "retail":
            return _numbered(_retail(payload, aliases))
        case "segment" if _is_segment_call(payload):
            return [_segment_call(payload)]
        case "segment":
            return _numbered(_segment(payload, aliases, item_key))
        case "shopify":
            return _numbered(shopify_pixel.parse(payload, aliases, item_key))
        case "ga4" if isinstance(payload.get("events"), list | tuple):
            return _measurement(payload, aliases)
        case "ga4":
            return _numbered(_ga4(payload, "", aliases))
        case _:
            return [_flat(payload, aliases)]


def shape_of(payload: Mapping[str, Any]) -> Shape:
    """Return who has made a payload.

    An object with an `item_id` is a row of the events table already. Otherwise `eventType` identifies Google Retail;
    `type: track` or `properties` Segment and RudderStack; a `name` with `data` Shopify's web pixels; and `event_name`,
    `events` or a `name` with `params` GA4 (the BigQuery export and the Measurement Protocol).

    >>> shape_of({"name": "product_viewed", "clientId": "c", "data": {"productVariant": {"id": "7"}}})
    'shopify'
    """
    if "item_id" in payload:
        return "flat"
    if "eventType" in payload:
        return "retail"
    if _is_segment_call(payload) or payload.get("type") == "track" or "properties" in payload:
        return "segment"
    if isinstance(payload.get("events"), list | tuple) or "event_name" in payload:
        return "ga4"
    if "name" in payload and ("params" in payload or "items" in payload):
        return "ga4"
    return "shopify" if "name" in payload and "data" in payload else "flat"


def event_name(payload: Mapping[str, Any], shape: Shape, aliases: Aliases = EVENT_ALIASES) -> str | None:
    """Return the engine's name of a payload's event, or the payload's own where the engine has none.

    Returns:
        None where the payload has no name that is a text.
    """
    if shape == "segment" and _is_segment_call(payload):
        return str(payload["type"])
    fields = {"retail": ("eventType",), "ga4": ("event_name", "name"), "shopify": ("name",)}.get(shape, ("event",))
    named = next((payload[field] for field in fields if isinstance(payload.get(field), str)), None)
    return None if named is None else aliases.get(named, named)


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
    event = event_at(payload, name_field, path, aliases)
    commerce = object_at(payload, "ecommerce", path)
    transaction = first_text(
        (commerce, "transaction_id", f"{path}ecommerce."), (params, "transaction_id", f"{path}params.")
    )
    shared: RawEvent = {name: text_at(params, name, f"{path}params.") for name in PASSED_COLUMNS}
    shared |= {
        "event": event,
        "timestamp": _ga4_time(payload, path),
        "event_id": text_at(payload, "event_id", path),
        "user_id": text_at(payload, "user_id", path),
        "visitor_id": first_text((payload, "user_pseudo_id", path), (payload, "client_id", path)),
        "session_id": shared["session_id"] or text_at(params, "ga_session_id", f"{path}params."),
        "basket_id": transaction if event in ORDERS else None,
        "currency": first_text((params, "currency", f"{path}params."), (payload, "currency", path)),
    }
    holder, inside = (payload, path) if "items" in payload else (params, f"{path}params.")
    rows = []
    for position, item in enumerate(array_at(holder, "items", inside)):
        at = f"{inside}items[{position}]"
        fields = as_object(item, at)
        rows.append(
            shared
            | {
                "item_id": text_at(fields, "item_id", f"{at}."),
                "price": number_at(fields, "price", f"{at}."),
                "quantity": number_at(fields, "quantity", f"{at}."),
                "position": position_at(fields, "index", f"{at}."),
            }
        )
    return rows or [without_item(shared)]


def _measurement(payload: Mapping[str, Any], aliases: Aliases) -> list[RawEvent]:
    """Parse a payload of GA4's Measurement Protocol: one user and time, then a list of events."""
    rows: list[RawEvent] = []
    outer = {name: payload[name] for name in ("client_id", "user_id", "timestamp_micros") if name in payload}
    for position, event in enumerate(array_at(payload, "events", "")):
        path = f"events[{position}]"
        rows += _numbered(_ga4(outer | dict(as_object(event, path)), f"{path}.", aliases))
    return rows


def _params(payload: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Read GA4's parameters from an object or from the export's list of keys and typed values."""
    exported = payload.get("event_params")
    if not isinstance(exported, list | tuple):
        return object_at(payload, "params", path)
    params: RawEvent = {}
    for position, pair in enumerate(exported):
        at = f"{path}event_params[{position}]"
        fields = as_object(pair, at)
        key = text_at(fields, "key", f"{at}.")
        values = object_at(fields, "value", f"{at}.")
        if key is not None:
            params[key] = next((value for value in values.values() if value is not None), None)
    return params


def _ga4_time(payload: Mapping[str, Any], path: str) -> Any:
    """Read GA4's microseconds as RFC 3339 text; a plain `timestamp` unchanged."""
    for name in ("event_timestamp", "timestamp_micros"):
        micros = number_at(payload, name, path)
        if isinstance(micros, UnreadNumber):
            raise DataError(f"{micros.path}: {micros.expected}")
        if micros is not None:
            try:
                return from_micros(micros).isoformat()
            except OverflowError:
                raise DataError(
                    f"{path}{name}: {micros:g} microseconds are not a date between the years 1 and 9999"
                ) from None
    return moment_at(payload, "timestamp", path)


def _is_segment_call(payload: Mapping[str, Any]) -> bool:
    called = payload.get("type")
    return isinstance(called, str) and called in SEGMENT_CALLS and payload.get("event") is None


def _segment_call(payload: Mapping[str, Any]) -> RawEvent:
    return ItemlessRow(
        event=payload["type"],
        item_id=None,
        timestamp=moment_at(payload, "timestamp" if "timestamp" in payload else "originalTimestamp", ""),
        event_id=text_at(payload, "messageId", ""),
        user_id=text_at(payload, "userId", ""),
        visitor_id=text_at(payload, "anonymousId", ""),
    )


def _segment(payload: Mapping[str, Any], aliases: Aliases, item_key: ItemKey) -> list[RawEvent]:
    properties = object_at(payload, "properties", "")
    event = event_at(payload, "event", "", aliases)
    cart = [(properties, name, "properties.") for name in ("order_id", "cart_id", "checkout_id")]
    shared: RawEvent = {name: text_at(properties, name, "properties.") for name in PASSED_COLUMNS}
    shared |= {
        "event": event,
        "timestamp": moment_at(payload, "timestamp" if "timestamp" in payload else "originalTimestamp", ""),
        "received_at": moment_at(payload, "receivedAt", ""),
        "event_id": text_at(payload, "messageId", ""),
        "user_id": text_at(payload, "userId", ""),
        "visitor_id": text_at(payload, "anonymousId", ""),
        "basket_id": first_text(*cart) if event in (*ORDERS, "begin_checkout") else None,
        "currency": text_at(properties, "currency", "properties."),
    }
    context = payload.get("context")
    if shared["session_id"] is None and isinstance(context, Mapping):  # RudderStack's sessions
        shared["session_id"] = text_at(context, "sessionId", "context.")
    if properties.get("products") is None:
        row = shared | _segment_product(properties, "properties.", item_key)
        return [row if row["item_id"] is not None else without_item(row)]
    rows = []
    for position, product in enumerate(array_at(properties, "products", "properties.")):
        at = f"properties.products[{position}]"
        rows.append(shared | _segment_product(as_object(product, at), f"{at}.", item_key))
    return rows or [without_item(shared)]


def _segment_product(product: Mapping[str, Any], path: str, item_key: ItemKey) -> RawEvent:
    return {
        "item_id": first_text(*((product, name, path) for name in SEGMENT_ITEMS[item_key])),
        "price": number_at(product, "price", path),
        "quantity": number_at(product, "quantity", path),
        "position": position_at(product, "position", path),
    }


def _retail(payload: Mapping[str, Any], aliases: Aliases) -> list[RawEvent]:
    order = object_at(payload, "purchaseTransaction", "")
    user = object_at(payload, "userInfo", "")
    shared: RawEvent = {
        "event": event_at(payload, "eventType", "", aliases),
        "timestamp": moment_at(payload, "eventTime", ""),
        "event_id": text_at(payload, "eventId", ""),
        "user_id": text_at(user, "userId", "userInfo."),
        "visitor_id": text_at(payload, "visitorId", ""),
        "session_id": text_at(payload, "sessionId", ""),
        "basket_id": first_text((order, "id", "purchaseTransaction."), (payload, "cartId", "")),
        "currency": text_at(order, "currencyCode", "purchaseTransaction."),
    }
    rows = []
    for position, detail in enumerate(array_at(payload, "productDetails", "")):
        at = f"productDetails[{position}]"
        fields = as_object(detail, at)
        product = object_at(fields, "product", f"{at}.")
        price = object_at(product, "priceInfo", f"{at}.product.")
        rows.append(
            shared
            | {
                "item_id": text_at(product, "id", f"{at}.product."),
                "quantity": number_at(fields, "quantity", f"{at}."),
                "price": number_at(price, "price", f"{at}.product.priceInfo."),
                "currency": shared["currency"] or text_at(price, "currencyCode", f"{at}.product.priceInfo."),
            }
        )
    return rows or [without_item(shared)]


def _numbered(rows: list[RawEvent]) -> list[RawEvent]:
    """Give the rows of one payload different ids, `<id>#1`, `<id>#2`, …, if there are several."""
    if len(rows) < 2 or rows[0].get("event_id") is None:
        return rows
    return [row | {"event_id": f"{row['event_id']}#{number}"} for number, row in enumerate(rows, 1)]


Read = Callable[[Mapping[str, Any], str, str], Any]


def _reader(dtype: pl.DataType) -> Read:
    if dtype == TIMESTAMP:
        return moment_at
    if dtype == pl.String():
        return text_at
    return position_at if dtype.is_integer() else number_at


READERS: Final[dict[str, Read]] = {name: _reader(dtype) for name, dtype in EVENTS.items()}
"""Reader of each column of the events table."""
