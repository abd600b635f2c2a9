"""Current offers: those of the bundle, except for items whose offers the live log has changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from recsys.core.schema import OFFERS
from recsys.data.offers import Offers, tabulate
from recsys.data.row_changes import RowDict, to_frame


class OfferOverlay:
    """Offers of one engine, replaced per item.

    Args:
        base: the bundle's; never changed.
    """

    def __init__(self, base: Offers) -> None:
        self._base, self._offers = base, base
        self._pending: dict[int, list[RowDict]] = {}
        self._rows = pl.DataFrame(schema={"item_idx": pl.Int32(), **OFFERS})
        self._replaced: set[int] = set()

    def replace(self, item_idx: int, offers: Sequence[RowDict]) -> None:
        """Set all offers of an item, in ascending precedence among equals; an empty list removes them."""
        if offers or len(self._base) or item_idx in self._replaced:
            self._replaced.add(item_idx)
            self._pending[item_idx] = list(offers)

    @property
    def offers(self) -> Offers:
        """All current offers."""
        if self._pending:
            kept = self._rows.filter(~pl.col("item_idx").is_in(list(self._pending)))
            new = to_frame([row for rows in self._pending.values() for row in rows], OFFERS).select(*OFFERS)
            item_idx = [row for row, rows in self._pending.items() for _ in rows]
            own = new.insert_column(0, pl.Series("item_idx", item_idx, pl.Int32()))
            self._rows = pl.concat([kept, own])
            replaced = np.fromiter(sorted(self._replaced), np.int32)
            self._offers = Offers(self._base.known, tabulate(self._rows), replaced)
            self._pending = {}
        return self._offers
