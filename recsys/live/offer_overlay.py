"""Current offers: those of the bundle, except for items whose offers the live log has changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from recsys.core.schema import OFFERS
from recsys.data.offers import Offers, tabulate
from recsys.data.row_changes import RowDict, to_frame


class _OfferState(NamedTuple):
    """The changed offers as rows, the items whose offers they replace, and all offers."""

    rows: pl.DataFrame
    replaced: frozenset[int]
    offers: Offers


class OfferOverlay:
    """Offers of one engine, replaced per item.

    Args:
        base: the bundle's; never changed.
    """

    def __init__(self, base: Offers) -> None:
        self._base = base
        self._kept = self._built = _OfferState(
            pl.DataFrame(schema={"item_idx": pl.Int32(), **OFFERS}), frozenset(), base
        )
        self._pending: dict[int, list[RowDict]] = {}

    def replace(self, item_idx: int, offers: Sequence[RowDict]) -> None:
        """Set all offers of an item, in ascending precedence among equals; an empty list removes them."""
        if offers or len(self._base) or item_idx in self._kept.replaced or item_idx in self._pending:
            self._pending[item_idx] = list(offers)
            self._built = self._kept

    @property
    def offers(self) -> Offers:
        """All current offers."""
        if self._pending and self._built is self._kept:
            self._built = self._with_pending()
        return self._built.offers

    def keep(self) -> None:
        """Make the changes so far part of what `undo` returns to."""
        if self._pending:
            _ = self.offers
            self._kept, self._pending = self._built, {}

    def undo(self) -> None:
        """Undo the changes since the last `keep`."""
        self._built, self._pending = self._kept, {}

    def _with_pending(self) -> _OfferState:
        kept = self._kept.rows.filter(~pl.col("item_idx").is_in(list(self._pending)))
        new = to_frame([row for rows in self._pending.values() for row in rows], OFFERS).select(*OFFERS)
        item_idx = [row for row, rows in self._pending.items() for _ in rows]
        rows = pl.concat([kept, new.insert_column(0, pl.Series("item_idx", item_idx, pl.Int32()))])
        replaced = self._kept.replaced | self._pending.keys()
        offers = Offers(self._base.known, tabulate(rows), np.fromiter(sorted(replaced), np.int32))
        return _OfferState(rows, replaced, offers)
