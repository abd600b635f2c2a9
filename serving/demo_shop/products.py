"""What the pages of the demo shop show of the catalog."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from zlib import crc32

import numpy as np
import polars as pl
from markupsafe import Markup

from recsys.core.ids import UNKNOWN
from recsys.pipeline.item_fields import item_fields
from recsys.pipeline.recommender import Recommender

N_DEPARTMENTS: Final = 10
SHOWN: Final = ("title", "brand", "category", "tags", "price", "list_price", "currency")

_PICTURE: Final = Markup(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200">'
    '<rect width="200" height="200" fill="hsl({hue} 45% 88%)"/>'
    '<circle cx="100" cy="100" r="62" fill="hsl({hue} 50% 72%)"/>'
    '<text x="100" y="106" font-family="system-ui, sans-serif" font-size="72" font-weight="600" text-anchor="middle"'
    ' dominant-baseline="middle" fill="hsl({hue} 60% 28%)">{letter}</text></svg>'
)


@dataclass(frozen=True)
class Product:
    """One item of the catalog.

    Attributes:
        item_id: the shop's own id.
        title: its title; its id if it has none.
        brand: None if it has none.
        category: from broad to narrow.
        tags: its labels.
        price, list_price: None if not known.
        currency: of the prices, ISO 4217; None if not known.
    """

    item_id: str
    title: str
    brand: str | None
    category: tuple[str, ...]
    tags: tuple[str, ...]
    price: float | None
    list_price: float | None
    currency: str | None


def find_products(recommender: Recommender, item_ids: Iterable[str]) -> list[Product]:
    """Return the items that the catalog has, in their order."""
    engine, wanted = recommender.current, tuple(item_ids)
    rows = engine.items.rows(wanted)
    known = [item_id for item_id, row in zip(wanted, rows.tolist(), strict=True) if row != UNKNOWN]
    columns = item_fields(engine.items_table, rows[rows != UNKNOWN].astype(np.int32), SHOWN)
    return [
        Product(
            item_id,
            fields["title"] or item_id,
            fields["brand"],
            tuple(fields["category"] or ()),
            tuple(fields["tags"] or ()),
            fields["price"],
            fields["list_price"],
            fields["currency"],
        )
        for item_id, fields in zip(known, columns, strict=True)
    ]


def departments(items_table: pl.DataFrame) -> tuple[str, ...]:
    """Return the largest categories of a catalog, of the broadest level."""
    broadest = items_table["category"].list.first().drop_nulls().alias("name")
    counts = broadest.filter(broadest != "").value_counts().sort("count", "name", descending=[True, False])
    return tuple(counts["name"].head(N_DEPARTMENTS))


def picture(product: Product) -> str:
    """Return an SVG picture of an item, as catalogs of events have none: the color of its category, and a letter."""
    hue = crc32("/".join(product.category[:2]).encode()) % 360
    letter = next(filter(str.isalnum, product.title), "·").upper()
    return _PICTURE.format(hue=hue, letter=letter)
