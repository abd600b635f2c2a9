"""Formats of product exports: how each is recognized, and read as a table of items."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

import polars as pl

from recsys.core.errors import DataError
from recsys.core.schema import ITEMS
from training.exports.items import ExportedItems, ExportRow
from training.exports.magento import magento_items
from training.exports.merchant_feed import merchant_items
from training.exports.shopify import shopify_items
from training.exports.woocommerce import woocommerce_items
from training.ingest.raw_table import RawTable

ItemsFormat = Literal["auto", "plain", "shopify", "woocommerce", "magento", "merchant"]
ItemsOf = Callable[[Sequence[tuple[int, ExportRow]], date], ExportedItems]

LISTS: Final = ("category", "tags")
PREFIX: Final = "g:"


@dataclass(frozen=True)
class ExportFormat:
    """A format.

    Attributes:
        system: whose export it is, for people.
        columns: those that it always has, in lower case; of a tuple one.
        items_of: returns the items of its rows.
    """

    system: str
    columns: tuple[str | tuple[str, ...], ...]
    items_of: ItemsOf

    def missing(self, names: frozenset[str]) -> list[str]:
        """Return the columns that a table lacks."""
        options = ((column,) if isinstance(column, str) else column for column in self.columns)
        return [" or ".join(each) for each in options if not names.intersection(each)]


FORMATS: Final[Mapping[str, ExportFormat]] = {
    "shopify": ExportFormat(
        "Shopify",
        (
            ("handle", "url handle"),
            "title",
            ("variant price", "price"),
            ("option1 name", "option1 value", "variant sku"),
        ),
        shopify_items,
    ),
    "woocommerce": ExportFormat("WooCommerce", ("type", "sku", "name", "regular price"), woocommerce_items),
    "magento": ExportFormat("Magento", ("sku", "product_type", "name", "attribute_set_code"), magento_items),
    "merchant": ExportFormat(
        "Google Merchant Center", ("id", "title", "link", "price", "availability"), merchant_items
    ),
}


def format_of(columns: Sequence[str]) -> str:
    """Return the format that columns are of, `plain` for none; a table with an `item_id` is no export.

    >>> format_of(["id", "title", "link", "price", "availability"]), format_of(["item_id", "title"])
    ('merchant', 'plain')
    """
    names = _names(columns)
    if "item_id" in names:
        return "plain"
    return next((name for name, each in FORMATS.items() if not each.missing(names)), "plain")


def as_items(raw: RawTable, items_format: ItemsFormat, today: date) -> tuple[RawTable, tuple[str, ...]]:
    """Return a product export under the columns of the items table, and what is to be said about it.

    Args:
        raw: rows as the shop wrote them.
        items_format: `auto` recognizes the format by the columns; `plain` is the items table itself.
        today: decides which sale prices are in force.

    Raises:
        DataError: the table lacks columns of the format.
    """
    chosen = format_of(raw.frame.columns) if items_format == "auto" else items_format
    if chosen == "plain" or raw.frame.width == 0:
        return raw, ()
    known = FORMATS[chosen]
    missing = known.missing(_names(raw.frame.columns))
    if missing:
        raise DataError(
            f"{raw.origins[0].name} is not a product export of {known.system}: it lacks {', '.join(missing)}"
            f" (columns found: {', '.join(raw.frame.columns)}); choose another --items-format, or export in English"
        )
    rows = zip(raw.rows.to_list(), _rows(raw.frame), strict=True)
    exported = known.items_of(list(rows), today)
    numbers = pl.Series([number for number, _ in exported.items], dtype=pl.UInt32)
    table = RawTable(_frame([item for _, item in exported.items]), numbers, raw.broken, raw.origins, has_types=False)
    how = "recognized by its columns" if items_format == "auto" else "as the option says"
    return table, (f"read as a product export of {known.system}, {how}", *exported.notes)


def _names(columns: Sequence[str]) -> frozenset[str]:
    return frozenset(map(_name, columns))


def _name(column: str) -> str:
    return column.strip().lower().removeprefix(PREFIX)


def _rows(frame: pl.DataFrame) -> Iterator[ExportRow]:
    """Yield the filled cells of each row."""
    names = [_name(name) for name in frame.columns]
    for row in zip(*map(_texts, frame.get_columns()), strict=True):
        yield {name: text for name, text in zip(names, row, strict=True) if text}


def _texts(column: pl.Series) -> list[str | None]:
    """Return cells as texts without blanks around them; lists and objects, which exports of JSON have, as Python's."""
    if column.dtype.is_nested():
        return [None if value is None else str(value) for value in column.to_list()]
    return column.cast(pl.String).str.strip_chars().to_list()


def _frame(items: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return items as columns, without those that no item fills."""
    names = dict.fromkeys(name for item in items for name, value in item.items() if value is not None)
    names |= {"item_id": None}
    types = {name: pl.List(pl.String()) if name in LISTS else pl.String() for name in names}
    ordered = dict.fromkeys([*(name for name in ITEMS if name in types), *types])
    return pl.DataFrame({name: pl.Series([item.get(name) for item in items], dtype=types[name]) for name in ordered})
