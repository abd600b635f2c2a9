"""The catalog as arrays: product types, product groups and prices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.ids import UNKNOWN

PATH_SEPARATOR = " > "


@dataclass(frozen=True)
class Catalog:
    """The arrays of the catalog that models use, one entry per item unless stated otherwise.

    The last level of an item's category path is its product *type*: items of one type can replace each other. The
    level above it is its *category*.

    Attributes:
        item_type: int32 (n_items,), -1 for unknown.
        type_category: int32 (n_types,), category of each type, -1 for a path of one level.
        type_names: whole path of each type, levels joined by " > ".
        group: int32 (n_items,), product that variants share, -1 for an item without variants.
        price: float32 (n_items,), NaN for unknown.
        available: bool (n_items,).
    """

    item_type: npt.NDArray[np.int32]
    type_category: npt.NDArray[np.int32]
    type_names: tuple[str, ...]
    group: npt.NDArray[np.int32]
    price: npt.NDArray[np.float32]
    available: npt.NDArray[np.bool_]

    @cached_property
    def has_groups(self) -> bool:
        """Whether any items are variants of one product."""
        return bool((self.group >= 0).any())

    @property
    def item_category(self) -> npt.NDArray[np.int32]:
        """Category of each item, int32 (n_items,), -1 for unknown."""
        if not len(self.type_category):
            return np.full(len(self.item_type), UNKNOWN, np.int32)
        return np.where(self.item_type >= 0, self.type_category[self.item_type], UNKNOWN)


def read_catalog(items: pl.DataFrame) -> Catalog:
    """Number types, categories and groups of a table with the columns of `schema.ITEMS`.

    Args:
        items: one row per item, in the order of the items' rows; nulls for unknown values.
    """
    levels = pl.col("category").list.drop_nulls()
    depth = levels.list.len()
    paths = items.select(
        pl.when(depth > 0).then(levels.list.join(PATH_SEPARATOR)).alias("type"),
        pl.when(depth > 1).then(levels.list.head(depth - 1).list.join(PATH_SEPARATOR)).alias("category"),
        "item_group_id",
    )
    numbered = paths.with_columns(_numbered("type"), _numbered("category"), _numbered("item_group_id"))
    types = (
        paths.select(pl.col("type").alias("name"))
        .with_columns(code=numbered["type"], category=numbered["category"])
        .filter(pl.col("code") >= 0)
        .unique("code")
        .sort("code")
    )
    return Catalog(
        item_type=numbered["type"].to_numpy(),
        type_category=types["category"].to_numpy().astype(np.int32),
        type_names=tuple(types["name"]),
        group=numbered["item_group_id"].to_numpy(),
        price=items["price"].cast(pl.Float32).fill_null(float("nan")).to_numpy(),
        available=items["available"].fill_null(True).to_numpy(),
    )


def comparable_prices(events: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Return events without the prices that are in another currency than that of their item.

    Args:
        events: with `item_id`, `price` and `currency`.
        items: with `item_id` and `currency`.
    """
    priced = items.select("item_id", pl.col("currency").alias("own_currency")).drop_nulls()
    if not len(priced) or events["currency"].null_count() == len(events):
        return events
    joined = events.join(priced, on="item_id", how="left", maintain_order="left")
    is_other = (pl.col("currency") != pl.col("own_currency")).fill_null(value=False)
    return joined.with_columns(pl.when(~is_other).then("price").alias("price")).drop("own_currency")


def _numbered(column: str) -> pl.Expr:
    code = pl.col(column).rank("dense").cast(pl.Int32)
    return (code.fill_null(0) - 1).cast(pl.Int32).alias(column)
