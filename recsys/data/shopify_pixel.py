"""Events of Shopify's web pixels, parsed into rows of `recsys.core.schema.EVENTS`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from recsys.data.payload_fields import (
    Aliases,
    ItemKey,
    RawEvent,
    UnreadNumber,
    array_at,
    as_object,
    event_at,
    first_text,
    moment_at,
    number_at,
    object_at,
    text_at,
    without_item,
)

Fields = Mapping[str, Any]

KEYS: Final[dict[ItemKey, tuple[str, ...]]] = {
    "product": ("product",),
    "variant": ("variant",),
    "sku": ("sku", "variant"),
}
"""Ids of a variant, the first that is filled is the item's."""


def parse(payload: Fields, aliases: Aliases, item_key: ItemKey) -> list[RawEvent]:
    """Parse one event as a pixel gets it from `analytics.subscribe`.

    The visitor is the `clientId`; the user is the customer of a checkout's order, or a `customer` that the pixel adds.
    A price is what one unit costs: of a checkout's line, `finalLinePrice` shared by its units, where it is given.
    """
    data = object_at(payload, "data", "")
    checkout = object_at(data, "checkout", "data.")
    order = object_at(checkout, "order", "data.checkout.")
    customer = object_at(order, "customer", "data.checkout.order.")
    event = event_at(payload, "name", "", aliases)
    basket = first_text((order, "id", "data.checkout.order."), (checkout, "token", "data.checkout."))
    shared: RawEvent = {
        "event": event,
        "timestamp": moment_at(payload, "timestamp", ""),
        "event_id": text_at(payload, "id", ""),
        "user_id": plain_id(
            first_text(
                (customer, "id", "data.checkout.order.customer."),
                (object_at(payload, "customer", ""), "id", "customer."),
            )
        ),
        "visitor_id": text_at(payload, "clientId", ""),
        "basket_id": plain_id(basket) if event in ("purchase", "begin_checkout") else None,
        "currency": text_at(checkout, "currencyCode", "data.checkout."),
    }
    rows = [_row(shared, *line, item_key) for line in _lines(data)]
    return rows or [without_item(shared)]


def _lines(data: Fields) -> Iterator[tuple[Fields, Fields, str]]:
    """Return each line of an event, its variant, and the variant's path; a line without a variant is empty."""
    if data.get("productVariant") is not None:
        yield {}, object_at(data, "productVariant", "data."), "data.productVariant"
    if data.get("cartLine") is not None:
        line = object_at(data, "cartLine", "data.")
        yield line, object_at(line, "merchandise", "data.cartLine."), "data.cartLine.merchandise"
    checkout = object_at(data, "checkout", "data.")
    for number, item in enumerate(array_at(checkout, "lineItems", "data.checkout.")):
        path = f"data.checkout.lineItems[{number}]"
        line = as_object(item, path)
        yield line, object_at(line, "variant", f"{path}."), f"{path}.variant"
    collection = object_at(data, "collection", "data.")
    for number, item in enumerate(array_at(collection, "productVariants", "data.collection.")):
        path = f"data.collection.productVariants[{number}]"
        yield {}, as_object(item, path), path


def _row(shared: RawEvent, line: Fields, variant: Fields, path: str, item_key: ItemKey) -> RawEvent:
    around = path.rpartition(".")[0]
    price = object_at(variant, "price", f"{path}.")
    quantity = number_at(line, "quantity", f"{around}.")
    paid = number_at(object_at(line, "finalLinePrice", f"{around}."), "amount", f"{around}.finalLinePrice.")
    return shared | {
        "item_id": _item_id(variant, path, item_key),
        "quantity": quantity,
        "price": _unit_price(paid, quantity) or number_at(price, "amount", f"{path}.price."),
        "currency": shared["currency"] or text_at(price, "currencyCode", f"{path}.price."),
    }


def _unit_price(paid: float | UnreadNumber | None, quantity: float | UnreadNumber | None) -> float | None:
    if isinstance(paid, float) and isinstance(quantity, float) and quantity > 0:
        return paid / quantity
    return None


def _item_id(variant: Fields, path: str, item_key: ItemKey) -> str | None:
    product = object_at(variant, "product", f"{path}.")
    ids = {
        "product": (product, "id", f"{path}.product."),
        "variant": (variant, "id", f"{path}."),
        "sku": (variant, "sku", f"{path}."),
    }
    return plain_id(first_text(*(ids[key] for key in KEYS[item_key])))


def plain_id(text: str | None) -> str | None:
    """Return the number of one of Shopify's global ids, any other text as it is.

    >>> plain_id("gid://shopify/ProductVariant/43218082857195"), plain_id("mug-1")
    ('43218082857195', 'mug-1')
    """
    return text.rpartition("/")[2] if text is not None and text.startswith("gid://shopify/") else text
