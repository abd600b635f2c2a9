"""The groups of items whose exposure is counted: head and tail, new items, and the brands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from recsys.data.dataset import DAY_S
from recsys.evaluation.list_days import Group
from recsys.fitting.engine import Engine
from recsys.rules.new_items import NEW_DAYS

HEAD: Final[Group] = ("part", "head")
TAIL: Final[Group] = ("part", "tail")
NEW: Final[Group] = ("age", "new")
BRAND: Final = "brand"
MAX_BRANDS: Final = 100
"""Brands that are counted, those with the most buyers; bounds the memory of the counts."""


Brands = Sequence[str | None]


def counted_brands(engine: Engine) -> Brands:
    """Return the brand of each item of a bundle; None without one, and for brands beyond the first `MAX_BRANDS`."""
    brands = engine.items_table.select("brand", pl.Series("n", engine.popularity.n_buyers.astype(np.int64)))
    sizes = brands.drop_nulls("brand").filter(pl.col("brand") != "").group_by("brand").agg(pl.col("n").sum())
    kept = sizes.sort("n", "brand", descending=[True, False])["brand"][:MAX_BRANDS]
    return brands.select(pl.when(pl.col("brand").is_in(kept.implode())).then("brand")).to_series().to_list()


class ItemGroups:
    """The groups of the items of one catalog; called with an item's id and a moment, in seconds since 1970.

    An item is in the head or in the tail, is new up to `NEW_DAYS` after it was created, and may have a brand. An
    unknown item is in no group.

    Args:
        engine: the catalog, with all changes.
        brands: result of `counted_brands` for its bundle; items that are newer than it have none.
    """

    def __init__(self, engine: Engine, brands: Brands) -> None:
        self._items, self._listable = engine.items, engine.listable["all"]
        self._is_tail, self._created, self._brands = engine.is_tail, engine.created_at_s, brands
        self._n = min(engine.n_items, len(self._is_tail), len(self._created))

    def __call__(self, item_id: str, at: float) -> tuple[Group, ...]:
        """Return the groups of an item at a moment."""
        row = self._items.row(item_id)
        if not 0 <= row < self._n:
            return ()
        groups = [TAIL if self._is_tail[row] else HEAD]
        if self._created[row] and 0 <= at - self._created[row] <= NEW_DAYS * DAY_S:
            groups.append(NEW)
        if (brand := self._brand(row)) is not None:
            groups.append((BRAND, brand))
        return tuple(groups)

    def catalog(self, at: float) -> dict[Group, int]:
        """Return the number of items of each group that may be listed at a moment, and of all under `("", "")`."""
        rows = np.arange(self._n) if self._listable is None else np.flatnonzero(self._listable[: self._n])
        created, n_tail = self._created[rows], int(self._is_tail[rows].sum())
        age_s = at - created
        is_new = (created > 0) & (age_s >= 0) & (age_s <= NEW_DAYS * DAY_S)
        brands = Counter(brand for row in rows.tolist() if (brand := self._brand(row)) is not None)
        parts = {("", ""): len(rows), HEAD: len(rows) - n_tail, TAIL: n_tail, NEW: int(is_new.sum())}
        return parts | {(BRAND, brand): n for brand, n in brands.items()}

    def _brand(self, row: int) -> str | None:
        return self._brands[row] if row < len(self._brands) else None
