"""Shopify's product CSV: a row per variant, and rows of further images, below the first row of a product."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final

from training.exports.items import (
    ExportedItems,
    ExportRow,
    Item,
    comma_list,
    first_filled,
    group_of_variants,
    option_name,
    path_of,
)

NO_OPTION: Final = "Default Title"
OPTIONS: Final = (1, 2, 3)
NamedRow = tuple[int, ExportRow]


def shopify_items(rows: Sequence[NamedRow], today: date) -> ExportedItems:
    """Return one item per variant.

    `item_id` is the SKU; without one it is the handle, and the variant's options where a product has several variants.
    A variant can be bought if its product is active and published, and it is in stock, not tracked, or sold anyway.

    Args:
        rows: number and cells of each row.
        today: not used: the export has no dates of prices.
    """
    items: list[tuple[int, Item]] = []
    n_images = 0
    for handle, product in _products(rows):
        variants = [row for row in product if _is_variant(row[1])]
        n_images += len(product) - len(variants)
        of_product = [(number, _item(product, row, handle, len(variants) > 1)) for number, row in variants]
        group_of_variants(of_product, handle)
        items += of_product
    notes = (f"rows of further images, which belong to the products above them: {n_images:,}",) if n_images else ()
    return ExportedItems(items, notes)


def _products(rows: Sequence[NamedRow]) -> Iterator[tuple[str, list[NamedRow]]]:
    """Yield the rows of each product: those of one handle, or of the handle above."""
    products: dict[str, list[NamedRow]] = {}
    handle = ""
    for number, row in rows:
        handle = first_filled(row, "handle", "url handle") or handle
        products.setdefault(handle, []).append((number, row))
    yield from products.items()


def _is_variant(row: ExportRow) -> bool:
    return first_filled(row, "variant sku", "sku", "variant price", "price", "option1 value", "title") is not None


def _item(product: Sequence[NamedRow], row: ExportRow, handle: str, is_one_of_many: bool) -> Item:
    first = product[0][1]
    options = _options(first, row)
    fallback = "/".join((handle, *options.values())) if is_one_of_many else handle
    return {
        "item_id": first_filled(row, "variant sku", "sku") or fallback or None,
        "title": first.get("title"),
        "category": path_of(first.get("product category")) or path_of(first.get("type")) or None,
        "tags": comma_list(first.get("tags")) or None,
        "brand": first.get("vendor"),
        "price": first_filled(row, "variant price", "price"),
        "list_price": first_filled(row, "variant compare at price", "compare-at price", "compare at price"),
        "available": "true" if _is_available(first, row) else "false",
        "handle": handle or None,
        "image": first_filled(row, "variant image", "variant image url")
        or first_filled(first, "image src", "product image url"),
        "product_type": first.get("type"),
        **options,
    }


def _options(first: ExportRow, row: ExportRow) -> Item:
    options: Item = {}
    for number in OPTIONS:
        name, value = first.get(f"option{number} name"), row.get(f"option{number} value")
        if name and value and value != NO_OPTION:
            options[option_name(name)] = value
    return options


def _is_available(first: ExportRow, row: ExportRow) -> bool:
    published = (first_filled(first, "published", "published on online store") or "true").lower() == "true"
    active = (first.get("status") or "active").lower() == "active"
    stock = first_filled(row, "variant inventory qty", "inventory quantity")
    tracked = first_filled(row, "variant inventory tracker", "inventory tracker") is not None and stock is not None
    policy = first_filled(row, "variant inventory policy", "continue selling when out of stock") or "deny"
    sold_anyway = policy.lower() in ("continue", "true")
    return published and active and (not tracked or sold_anyway or not _is_empty(stock))


def _is_empty(stock: str | None) -> bool:
    text = (stock or "").replace(",", "")
    return text.lstrip("-").replace(".", "", 1).isdigit() and float(text) <= 0
