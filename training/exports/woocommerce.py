"""WooCommerce's product CSV: a row per product and per variation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from training.exports.items import (
    ExportedItems,
    ExportRow,
    Item,
    category_and_tags,
    comma_list,
    first_filled,
    is_in_force,
    option_name,
    paths_of,
)

ATTRIBUTES: Final = range(1, 21)
ID_PREFIX: Final = "id:"
IN_STOCK: Final = ("1", "yes", "instock", "backorder", "onbackorder")
NO_BACKORDERS: Final = ("", "0", "no")


def woocommerce_items(rows: Sequence[tuple[int, ExportRow]], today: date) -> ExportedItems:
    """Return one item per product and variation; a variable product is an item too, as its page is what people view.

    `item_id` is the ID, else the SKU. A product and its variations have one group. A variation has the name, the
    categories, the tags and the image of its product where its own are empty. The sale price is the price while the
    sale is on.

    Args:
        rows: number and cells of each row.
        today: decides which sales are on.
    """
    by_key: dict[str, ExportRow] = {}
    for _, row in rows:
        for key in (ID_PREFIX + row.get("id", ""), row.get("sku", "")):
            by_key.setdefault(key, row)
    return ExportedItems([(number, _item(row, _parent(row, by_key), today)) for number, row in rows])


def _parent(row: ExportRow, by_key: Mapping[str, ExportRow]) -> ExportRow | None:
    parent = row.get("parent")
    return by_key.get(parent) if parent and "variation" in row.get("type", "").lower() else None


def _item(row: ExportRow, parent: ExportRow | None, today: date) -> Item:
    above: ExportRow = parent or {}
    is_variable = "variable" in row.get("type", "").lower()
    category, tags = category_and_tags(
        paths_of(first_filled(row, "categories") or first_filled(above, "categories"), ">"),
        comma_list(first_filled(row, "tags") or first_filled(above, "tags")),
    )
    images = comma_list(first_filled(row, "images") or first_filled(above, "images"))
    price, list_price = _prices(row, today)
    return {
        "item_id": _id(row),
        "item_group_id": _id(above) if parent is not None else _id(row) if is_variable else None,
        "title": row.get("name") or above.get("name"),
        "category": category,
        "tags": tags,
        "brand": first_filled(row, "brands", "brand") or first_filled(above, "brands", "brand"),
        "price": price,
        "list_price": list_price,
        "available": "true" if _is_available(row) and (parent is None or _is_published(above)) else "false",
        "sku": row.get("sku"),
        "image": images[0] if images else None,
        **_attributes(row),
    }


def _id(row: ExportRow) -> str | None:
    return first_filled(row, "id", "sku")


def _prices(row: ExportRow, today: date) -> tuple[str | None, str | None]:
    regular, sale = row.get("regular price"), row.get("sale price")
    if sale and is_in_force(row.get("date sale price starts"), row.get("date sale price ends"), today):
        return sale, regular
    return regular, None


def _is_available(row: ExportRow) -> bool:
    takes_orders = row.get("backorders allowed?", "").lower() not in NO_BACKORDERS
    return _is_published(row) and (takes_orders or row.get("in stock?", "1").lower() in IN_STOCK)


def _is_published(row: ExportRow) -> bool:
    return row.get("published", "1") == "1" and row.get("visibility in catalog", "visible").lower() != "hidden"


def _attributes(row: ExportRow) -> Item:
    """Return the attributes that have one value; several are what a variable product can be ordered in."""
    attributes: Item = {}
    for number in ATTRIBUTES:
        name, values = row.get(f"attribute {number} name"), comma_list(row.get(f"attribute {number} value(s)"))
        if name and len(values) == 1:
            attributes[option_name(name)] = values[0]
    return attributes
