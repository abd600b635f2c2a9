"""Feeds of Google Merchant Center: a row per product or variant, in TSV, CSV or XML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Final

from training.exports.items import ExportedItems, ExportRow, Item, category_and_tags, first_filled, is_in_force, path_of

PASSED: Final = (
    "color",
    "size",
    "gender",
    "age_group",
    "material",
    "pattern",
    "condition",
    "gtin",
    "mpn",
    *(f"custom_label_{number}" for number in range(5)),
)
"""Fields that become attributes under their own names."""

SOLD: Final = ("in_stock", "preorder", "backorder")
_CURRENCY: Final = re.compile(r"\b([A-Z]{3})\b")


def merchant_items(rows: Sequence[tuple[int, ExportRow]], today: date) -> ExportedItems:
    """Return one item per row.

    The category is the shop's own `product_type`, else Google's category. The sale price is the price while
    `sale_price_effective_date` says so.

    Args:
        rows: number and fields of each product, without the prefix `g:`.
        today: decides which sale prices are in force.
    """
    return ExportedItems([(number, _item(row, today)) for number, row in rows])


def _item(row: ExportRow, today: date) -> Item:
    own = [path for line in row.get("product_type", "").splitlines() if (path := path_of(line))]
    category, tags = category_and_tags(own or [path_of(_named(row.get("google_product_category")))])
    price, list_price = _prices(row, today)
    currency = _CURRENCY.search(row.get("price", ""))
    availability = row.get("availability", "in_stock").lower().replace(" ", "_")
    return {
        "item_id": row.get("id"),
        "item_group_id": row.get("item_group_id"),
        "title": first_filled(row, "title", "structured_title"),
        "category": category or None,
        "tags": tags,
        "brand": row.get("brand"),
        "price": price,
        "list_price": list_price,
        "currency": None if currency is None else currency[1],
        "available": "true" if availability in SOLD else "false",
        "url": row.get("link"),
        "image": row.get("image_link"),
        **{name: row[name] for name in PASSED if row.get(name)},
    }


def _named(category: str | None) -> str | None:
    """Return Google's category if it is written out; a number says nothing without Google's list."""
    return None if category is None or category.isdigit() else category


def _prices(row: ExportRow, today: date) -> tuple[str | None, str | None]:
    price, sale = row.get("price"), row.get("sale_price")
    starts, _, ends = row.get("sale_price_effective_date", "").partition("/")
    if sale and is_in_force(starts, ends, today):
        return sale, price
    return price, None
