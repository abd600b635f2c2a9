"""Magento's product CSV: a row per product, and per store view with another text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

from training.exports.items import (
    ExportedItems,
    ExportRow,
    Item,
    category_and_tags,
    first_filled,
    is_in_force,
    option_name,
    paths_of,
)

BRANDS: Final = ("brand", "manufacturer")
HIDDEN: Final = "Not Visible Individually"
NumberedRow = tuple[int, ExportRow]


def magento_items(rows: Sequence[NumberedRow], today: date) -> ExportedItems:
    """Return one item per product; a configurable product and its variations have one group.

    `item_id` is the SKU. Rows of a store view repeat a product in another language and are left out. A variation that
    is not visible by itself can be bought if its product can. The first level of a category is the root of the shop's
    catalog and is left out.

    Args:
        rows: number and cells of each row.
        today: decides which special prices are in force.
    """
    own = [(number, row) for number, row in rows if not row.get("store_view_code")]
    parents = _parents(own)
    items = [(number, _item(row, parents.get(row.get("sku", "")), today)) for number, row in own]
    n_views = len(rows) - len(own)
    notes = (f"rows that repeat products for a store view, left out: {n_views:,}",) if n_views else ()
    return ExportedItems(items, notes)


def _parents(rows: Sequence[NumberedRow]) -> dict[str, tuple[ExportRow, Item]]:
    """Return the configurable product of each variation, and the variation's options."""
    parents: dict[str, tuple[ExportRow, Item]] = {}
    for _, row in rows:
        for variation in filter(None, row.get("configurable_variations", "").split("|")):
            values = _pairs(variation)
            parents[values.pop("sku", "")] = row, values
    return parents


def _item(row: ExportRow, found: tuple[ExportRow, Item] | None, today: date) -> Item:
    parent, options = found or ({}, {})
    more = _pairs(row.get("additional_attributes", "")) | options
    category, tags = category_and_tags(
        [path[1:] or path for path in paths_of(row.get("categories") or parent.get("categories"), "/")]
    )
    price, list_price = _prices(row, today)
    is_parent = bool(row.get("configurable_variations"))
    brand = first_filled(more, *BRANDS) or first_filled(row, *BRANDS)
    return {
        "item_id": row.get("sku"),
        "item_group_id": parent.get("sku") or (row.get("sku") if is_parent else None),
        "title": parent.get("name") or row.get("name"),
        "category": category,
        "tags": tags,
        "brand": brand,
        "price": price,
        "list_price": list_price,
        "available": "true" if _is_available(row, parent) else "false",
        "handle": parent.get("url_key") or row.get("url_key"),
        "image": row.get("base_image") or parent.get("base_image"),
        **{option_name(name): value for name, value in more.items() if name not in BRANDS},
    }


def _pairs(text: str) -> Item:
    """Return the values of `name=value,name=value`; a part without a name continues the value before it."""
    pairs: Item = {}
    name = ""
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if equals:
            name = key.strip()
            pairs[name] = value.strip()
        elif name:
            pairs[name] += f",{part}"
    return {name: value for name, value in pairs.items() if name and value}


def _prices(row: ExportRow, today: date) -> tuple[str | None, str | None]:
    price, special = row.get("price"), row.get("special_price")
    if special and is_in_force(row.get("special_price_from_date"), row.get("special_price_to_date"), today):
        return special, price
    return price, None


def _is_available(row: ExportRow, parent: ExportRow) -> bool:
    enabled = all(each.get("product_online", "1") == "1" for each in (row, parent))
    visible = row.get("visibility", "") != HIDDEN or bool(parent)
    stocked = row.get("is_in_stock", "1") not in ("0", "0.0000") or row.get("allow_backorders", "0") not in ("0", "")
    return enabled and visible and stocked
