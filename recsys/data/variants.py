"""Products whose variants are items: ids of products in events and requests, resolved to a variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.ids import UNKNOWN

PURCHASE_WEIGHT: Final = 1e9
"""Weight of a purchase over other events, so that one outweighs them all."""


@dataclass(frozen=True)
class ProductVariants:
    """The variants of each product, by its id (`item_group_id`).

    Attributes:
        rows: int32 (n,), the variants, product by product and those of the largest weight first.
        spans: start and end of each product in `rows`.
    """

    rows: npt.NDArray[np.int32]
    spans: Mapping[str, tuple[int, int]]

    def row(self, product_id: str, available: npt.NDArray[np.bool_]) -> int:
        """Return the first variant of a product that can be bought, else the first one; `UNKNOWN` for no product.

        Args:
            product_id: the product.
            available: bool (n_items,).
        """
        start, stop = self.spans.get(product_id, (0, 0))
        if start == stop:
            return UNKNOWN
        variants = self.rows[start:stop]
        return int(variants[available[variants].argmax()])


def list_variants(items: pl.DataFrame, weight: npt.NDArray[np.floating]) -> ProductVariants:
    """List the variants of products; an id that an item has is that item's, and no product's.

    Args:
        items: the columns `item_id` and `item_group_id`, one row per item.
        weight: float (n_items,), sales of each item; equal ones are in the order of the rows.
    """
    row = pl.int_range(pl.len(), dtype=pl.Int32).alias("row")
    ranked = items.select("item_group_id", row, weight=pl.Series(weight, dtype=pl.Float64))
    ranked = ranked.filter(pl.col("item_group_id").is_not_null())
    ranked = ranked.join(items.select(item_group_id="item_id"), on="item_group_id", how="anti")
    ranked = ranked.sort("item_group_id", "weight", "row", descending=[False, True, False])
    sizes = ranked.group_by("item_group_id", maintain_order=True).len()
    ends = np.cumsum(sizes["len"].to_numpy())
    starts = ends - sizes["len"].to_numpy()
    spans = zip(starts.tolist(), ends.tolist(), strict=True)
    return ProductVariants(ranked["row"].to_numpy(), dict(zip(sizes["item_group_id"], spans, strict=True)))


def find_variants(events: pl.DataFrame, items: pl.DataFrame) -> dict[str, str]:
    """Return the item that each product id of the events stands for; empty where no event has one.

    The variant is the one with the most purchases, then the most other events, of those that can be bought.

    Args:
        events: the columns `item_id` and `event`.
        items: the columns of `schema.ITEMS`, one row per item.
    """
    products = items.select(item_id="item_group_id").drop_nulls().unique().join(items, on="item_id", how="anti")
    if not len(products) or not events.select(pl.col("item_id").is_in(products["item_id"].implode()).any()).item():
        return {}
    sales = pl.when(pl.col("event") == "purchase").then(PURCHASE_WEIGHT).otherwise(1.0).sum().alias("weight")
    return choose_variants(events.group_by("item_id").agg(sales), items)


def choose_variants(sales: pl.DataFrame, items: pl.DataFrame) -> dict[str, str]:
    """Return the variant of each product whose id is no item's.

    Args:
        sales: `item_id` and `weight` of the items of the events.
        items: the columns of `schema.ITEMS`, one row per item.
    """
    products = items.select(item_id="item_group_id").drop_nulls().unique().join(items, on="item_id", how="anti")
    sold = items.select("item_id").join(sales, on="item_id", how="left", maintain_order="left")
    variants = list_variants(items, sold["weight"].fill_null(0).to_numpy())
    available = items["available"].fill_null(True).to_numpy()
    return {product: items["item_id"][variants.row(product, available)] for product in products["item_id"]}


def resolve_products(events: pl.DataFrame, variant_of: Mapping[str, str]) -> tuple[pl.DataFrame, int]:
    """Return the events with the id of a variant where they have that of a product, and how many those are.

    Args:
        events: the column `item_id`.
        variant_of: as `find_variants` returns it.
    """
    if not variant_of:
        return events, 0
    n_resolved = int(events.select(pl.col("item_id").is_in(list(variant_of)).sum()).item() or 0)
    return events.with_columns(pl.col("item_id").replace(dict(variant_of))), n_resolved
