"""The earlier prices and availability of items, as the changes of the live log replace them."""

from __future__ import annotations

import math
from typing import Any, Final

import polars as pl

from recsys.data.past_terms import PastTerms
from recsys.fitting.engine import Engine
from recsys.live.catalog_changes import ItemChange

TERMS: Final = frozenset({"price", "available"})

MAX_CHANGES: Final = 50
"""Changes of one item that are remembered; the oldest are forgotten first."""


class ItemTimeline:
    """Notes what each change of a price or an availability replaces.

    Args:
        base: the bundle's engine; never changed.

    Attributes:
        past: by row, in the order of the log; changed in place.
    """

    def __init__(self, base: Engine) -> None:
        self._base = base
        self.past: dict[int, list[PastTerms]] = {}

    def note(self, change: ItemChange) -> None:
        """Add the terms before a change that was applied; one that keeps price and availability is ignored."""
        if not change.is_new and not change.columns & TERMS:
            return
        known = self.past.setdefault(change.row, [])
        since = known[-1].until if known else self._base.known_from(change.row)
        price, available = math.nan, None
        if not change.is_new:
            before = self._before(change, "price")
            price, available = math.nan if before is None else float(before), self._before(change, "available")
            available = available is not False
        known.append(PastTerms(since, change.at, price, available))
        del known[:-MAX_CHANGES]

    def _before(self, change: ItemChange, name: str) -> Any:
        before, column = change.before or {}, self._column(name)
        if name in before:
            return before[name]
        return column[change.row] if change.row < len(column) else None

    def _column(self, name: str) -> pl.Series:
        return self._base.items_table[name]
