"""Current offers: those of the bundle, except for items whose offers the live log has changed."""

from __future__ import annotations

from collections.abc import Sequence

from recsys.core.schema import OFFERS
from recsys.data.offers import OfferRow, Offers, offer_rows
from recsys.data.row_changes import RowDict, to_frame
from recsys.live.changed_offers import ChangedOffers


class OfferOverlay:
    """Offers of one engine, replaced per item and in place.

    Args:
        base: the bundle's; never changed.
    """

    def __init__(self, base: Offers) -> None:
        self._base = self._offers = base
        self._changed = ChangedOffers()
        self._pending: dict[int, list[RowDict]] = {}
        self._before: list[tuple[int, tuple[OfferRow, ...] | None]] = []

    def replace(self, item_idx: int, offers: Sequence[RowDict]) -> None:
        """Set all offers of an item, in ascending precedence among equals; an empty list removes them."""
        is_known = len(self._base) or self._changed.of(item_idx) is not None or item_idx in self._pending
        if offers or is_known:
            self._pending[item_idx] = list(offers)

    @property
    def offers(self) -> Offers:
        """All current offers; later changes alter them."""
        if self._pending:
            self._include(self._pending)
            self._pending = {}
            if self._offers is self._base:
                self._offers = Offers(self._base.known, self._changed)
        return self._offers

    def keep(self) -> None:
        """Make the changes so far part of what `undo` returns to."""
        _ = self.offers
        self._before = []

    def undo(self) -> None:
        """Undo the changes since the last `keep`."""
        for row, offers in reversed(self._before):
            self._changed.replace(row, offers)
        self._pending, self._before = {}, []

    def _include(self, pending: dict[int, list[RowDict]]) -> None:
        parsed = iter(offer_rows(to_frame([row for rows in pending.values() for row in rows], OFFERS)))
        for item_idx, rows in pending.items():
            self._before.append((item_idx, self._changed.of(item_idx)))
            self._changed.replace(item_idx, [next(parsed) for _ in rows])
