"""The shop's six tables: their columns, types and the names of events.

A folder of tables contains `dataset.json` (see `DatasetInfo`), `events.parquet` and, if the shop has them,
`items.parquet`, `users.parquet`, `offers.parquet`, `identities.parquet` and `messages.parquet`. Further columns of
items and users are attributes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

import polars as pl

DATASET_SCHEMA_VERSION: Final = 1
MAX_ID_BYTES: Final = 256
MAX_COLUMN_NAME_CHARS: Final = 256

MAX_AMOUNT: Final = 1e12
"""The largest price, quantity or value that is accepted, so that sums and products of them stay finite."""

_NO_COLUMN_NAME: Final = re.compile(r"\*|\^.*\$|.*[\x00-\x1f\x7f-\x9f].*", re.DOTALL)

TIMESTAMP: Final = pl.Datetime("us", "UTC")

EVENTS: Final[dict[str, pl.DataType]] = {
    "item_id": pl.String(),
    "event": pl.String(),
    "timestamp": TIMESTAMP,
    "user_id": pl.String(),
    "visitor_id": pl.String(),
    "session_id": pl.String(),
    "basket_id": pl.String(),
    "event_id": pl.String(),
    "quantity": pl.Float64(),
    "price": pl.Float64(),
    "currency": pl.String(),
    "value": pl.Float64(),
    "channel": pl.String(),
    "region": pl.String(),
    "store": pl.String(),
    "recommendation_id": pl.String(),
    "placement": pl.String(),
    "position": pl.Int64(),
    "propensity": pl.Float64(),
    "received_at": TIMESTAMP,
}

ITEMS: Final[dict[str, pl.DataType]] = {
    "item_id": pl.String(),
    "item_group_id": pl.String(),
    "title": pl.String(),
    "category": pl.List(pl.String()),
    "tags": pl.List(pl.String()),
    "brand": pl.String(),
    "price": pl.Float64(),
    "list_price": pl.Float64(),
    "currency": pl.String(),
    "available": pl.Boolean(),
    "created_at": TIMESTAMP,
    "updated_at": TIMESTAMP,
}

USERS: Final[dict[str, pl.DataType]] = {
    "user_id": pl.String(),
    "created_at": TIMESTAMP,
    "timezone": pl.String(),
    "region": pl.String(),
    "tags": pl.List(pl.String()),
    "personalization": pl.Boolean(),
}

OFFERS: Final[dict[str, pl.DataType]] = {
    "item_id": pl.String(),
    "region": pl.String(),
    "store": pl.String(),
    "channel": pl.String(),
    "price": pl.Float64(),
    "available": pl.Boolean(),
    "valid_from": TIMESTAMP,
    "valid_to": TIMESTAMP,
    "updated_at": TIMESTAMP,
}

IDENTITIES: Final[dict[str, pl.DataType]] = {
    "id": pl.String(),
    "user_id": pl.String(),
}

SEGMENTS: Final[dict[str, pl.DataType]] = {
    "life_cycle": pl.String(),
    "is_high_value": pl.Boolean(),
    "n_orders": pl.Int64(),
    "average_order": pl.Float64(),
    "rfm_recency": pl.Int64(),
    "rfm_frequency": pl.Int64(),
    "rfm_monetary": pl.Int64(),
    "discount_share": pl.Float64(),
    "interests": pl.List(pl.String()),
    "habitual_hour": pl.Int64(),
    "habitual_weekday": pl.Int64(),
    "habitual_channel": pl.String(),
    "repeat_probability": pl.Float64(),
    "churn_probability": pl.Float64(),
    "lifetime_value": pl.Float64(),
    "is_slowing": pl.Boolean(),
}
"""Segments of a user, computed from the user's events; filters read them as `user.segment.NAME`."""

MESSAGES: Final[dict[str, pl.DataType]] = {
    "user_id": pl.String(),
    "event": pl.String(),
    "timestamp": TIMESTAMP,
    "channel": pl.String(),
    "recommendation_id": pl.String(),
    "message_id": pl.String(),
    "placement": pl.String(),
    "item_ids": pl.List(pl.String()),
    "item_id": pl.String(),
    "propensity": pl.Float64(),
    "event_id": pl.String(),
    "received_at": TIMESTAMP,
}
"""What happened to the messages of a push plan; `item_ids` are those of the message, `item_id` is the one clicked."""

PERSONALIZATION: Final = "personalization"
"""Column of users; False for a user who opted out of lists that need a history."""

CONSENT: Final = "consent_"
"""Prefix of the users' columns with the consent to a channel of messages, such as `consent_push`: true or false."""

REQUIRED: Final[dict[str, tuple[str, ...]]] = {
    "events": ("item_id", "event", "timestamp"),
    "items": ("item_id",),
    "users": ("user_id",),
    "offers": ("item_id",),
    "identities": ("id", "user_id"),
    "messages": ("user_id", "event", "timestamp"),
}

TABLES: Final[dict[str, dict[str, pl.DataType]]] = {
    "events": EVENTS,
    "items": ITEMS,
    "users": USERS,
    "offers": OFFERS,
    "identities": IDENTITIES,
    "messages": MESSAGES,
}

WHO: Final = ("user_id", "visitor_id", "session_id", "basket_id")
"""Columns of an event of which at least one must be filled."""

EVENT_NAMES: Final = (
    "view_item_list",
    "view_item",
    "select_item",
    "add_to_wishlist",
    "add_to_cart",
    "remove_from_cart",
    "begin_checkout",
    "purchase",
    "refund",
)
"""GA4's names, the only ones inside the engine. The code of an event is its index in this tuple."""

SENT: Final = "message_sent"
OPENED: Final = "message_opened"
CLICKED: Final = "message_clicked"
MESSAGE_EVENTS: Final = (SENT, OPENED, CLICKED)
"""Names of the events of messages. They are about a user, so no model of items learns from them, but see below."""

CLICK_EVENT: Final = "select_item"
"""A click in a message, with the `item_id` that was clicked, is also this event of the item."""

EVENT_ALIASES: Final[dict[str, str]] = {
    # Segment, specification of e-commerce events
    "Product List Viewed": "view_item_list",
    "Product Clicked": "select_item",
    "Product Viewed": "view_item",
    "Product Added": "add_to_cart",
    "Product Removed": "remove_from_cart",
    "Product Added to Wishlist": "add_to_wishlist",
    "Checkout Started": "begin_checkout",
    "Order Completed": "purchase",
    "Order Refunded": "refund",
    # Google Retail
    "detail-page-view": "view_item",
    "category-page-view": "view_item_list",
    "shopping-cart-page-view": "begin_checkout",
    "purchase-complete": "purchase",
    "add-to-cart": "add_to_cart",
    "remove-from-cart": "remove_from_cart",
    # Shopify, standard events of web pixels
    "collection_viewed": "view_item_list",
    "product_viewed": "view_item",
    "product_added_to_cart": "add_to_cart",
    "product_removed_from_cart": "remove_from_cart",
    "checkout_started": "begin_checkout",
    "checkout_completed": "purchase",
}

OTHER_EVENTS: Final = (
    # GA4
    "view_cart",
    "add_payment_info",
    "add_shipping_info",
    "view_promotion",
    "select_promotion",
    "view_search_results",
    "search",
    "select_content",
    "share",
    # Segment
    "Cart Viewed",
    "Cart Shared",
    "Checkout Step Viewed",
    "Checkout Step Completed",
    "Payment Info Entered",
    "Order Updated",
    "Order Cancelled",
    "Coupon Entered",
    "Coupon Applied",
    "Coupon Denied",
    "Coupon Removed",
    "Product List Filtered",
    "Product Removed from Wishlist",
    "Product Reviewed",
    "Product Shared",
    "Products Searched",
    "Promotion Clicked",
    "Promotion Viewed",
    "Wishlist Product Added to Cart",
    # Google Retail
    "home-page-view",
    "promotion-offered",
    # Shopify
    "cart_viewed",
    "checkout_address_info_submitted",
    "checkout_contact_info_submitted",
    "checkout_shipping_info_submitted",
    "page_viewed",
    "payment_info_submitted",
    "search_submitted",
    # Segment, calls that are not events
    "identify",
    "page",
    "screen",
    "group",
    "alias",
    "merge",
)
"""Names of the same specifications that the engine does not use, also where they carry items."""


COLUMN_NAMES: Final = (
    f"a name of 1 to {MAX_COLUMN_NAME_CHARS} characters without control characters, other than * and ^…$,"
    " which table libraries take as patterns"
)
"""The names that a shop's own column may have, in words."""


def is_column_name(name: str) -> bool:
    r"""Return whether a shop's own column of items or users can have a name.

    >>> [name for name in ("color", "颜色", "a*b", "*", "^x.*$", "a\nb", "") if is_column_name(name)]
    ['color', '颜色', 'a*b']
    """
    return 1 <= len(name) <= MAX_COLUMN_NAME_CHARS and _NO_COLUMN_NAME.fullmatch(name) is None


def typed_columns_of(table: str, names: Iterable[str]) -> dict[str, pl.DataType]:
    """Return the columns of a table whose type is fixed: those of `TABLES`, and the given ones that are a consent.

    >>> [name for name in typed_columns_of("users", ["consent_push", "color"]) if name not in USERS]
    ['consent_push']
    """
    consents = (name for name in names if table == "users" and name.startswith(CONSENT) and is_column_name(name))
    return TABLES[table] | dict.fromkeys(consents, pl.Boolean())


@dataclass(frozen=True)
class DatasetInfo:
    """Content of `dataset.json`, which describes a folder of tables.

    Attributes:
        schema_version: version of the layout of the tables.
        timezone: the shop's IANA zone, for local hours, days and weeks.
        fingerprint: SHA-256 over the digests of the tables; equal rows give equal fingerprints.
        rows: number of rows by table.
        store_seq: number of the live log up to which its entries are in the tables, 0 for tables of files alone.
        merges: the id that each merged id of the identities table and the live log points at, under which its events
            are in the tables.
        is_catalog_complete: whether an item of the events that the items table lacks is not listed.
        exported_at: moment that the rows of `items` and `offers` without `updated_at` are from, seconds since 1970.
    """

    schema_version: int
    timezone: str
    fingerprint: str
    rows: dict[str, int]
    store_seq: int = 0
    merges: dict[str, str] = field(default_factory=dict)
    is_catalog_complete: bool = False
    exported_at: dict[str, float] = field(default_factory=dict)


def names_instead(column: str) -> str:
    """Return what a name that no table has may mean, empty for a column of a table.

    >>> names_instead("item_id"), names_instead("item_idd")
    ('', 'did you mean item_id?')
    """
    known = list(dict.fromkeys(name for columns in TABLES.values() for name in columns))
    if column in known:
        return ""
    near = get_close_matches(column, known, 1)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
