"""Offers of the items whose offers the live log has changed: a change takes the same time however many there are."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.data.offers import (
    ALWAYS,
    NO_CONTEXT_VALUE,
    NOT_STATED,
    LaterContextKey,
    OfferRow,
    OfferScope,
    OfferTerms,
)
from recsys.live.growing_array import GrowingArray

_NEVER: Final = OfferRow(OfferScope(), np.nan, NOT_STATED, int(ALWAYS.max), int(ALWAYS.min))


class ScopeOffers:
    """The offers of one scope, in places that are used again.

    Attributes:
        times: moments at which an offer of the scope begins or ends, ascending; those of former offers stay, so that
            what applied between two of them is never another set of offers.
    """

    def __init__(self) -> None:
        self.times: list[int] = []
        self._places: dict[int, list[int]] = {}
        self._free: list[int] = []
        self._n = 0
        none = np.empty(0, np.int64)
        self._item_idx = GrowingArray(none.astype(np.int32), 0)
        self._price = GrowingArray(none.astype(np.float64), np.nan)
        self._available = GrowingArray(none.astype(np.int8), NOT_STATED)
        self._start, self._end = GrowingArray(none, _NEVER.start), GrowingArray(none, _NEVER.end)

    def replace(self, row: int, offers: Sequence[OfferRow]) -> None:
        """Set all offers of an item, in ascending precedence among those that began at once."""
        for place in self._places.pop(row, ()):
            self._set(place, 0, _NEVER)
            self._free.append(place)
        if not offers:
            return
        n_new = max(len(offers) - len(self._free), 0)
        for array in (self._item_idx, self._price, self._available, self._start, self._end):
            array.grow(self._n + n_new)
        self._free += range(self._n, self._n + n_new)
        self._n += n_new
        self._places[row] = sorted(self._free.pop() for _ in offers)
        for place, offer in zip(self._places[row], offers, strict=True):
            self._set(place, row, offer)
            for moment in (offer.start, offer.end):
                known = bisect_left(self.times, moment)
                if ALWAYS.min < moment < ALWAYS.max and self.times[known : known + 1] != [moment]:
                    self.times.insert(known, moment)

    def _set(self, place: int, row: int, offer: OfferRow) -> None:
        self._item_idx[place], self._price[place], self._available[place] = row, offer.price, offer.available
        self._start[place], self._end[place] = offer.start, offer.end

    def terms(self, as_of: int, items: npt.NDArray[np.int64] | None) -> OfferTerms:
        """See `recsys.data.offers.OfferTable.terms`."""
        if items is None:
            at = np.arange(self._n)
        else:
            at = np.array([place for row in items.tolist() for place in self._places.get(row, ())], np.int64)
        start = self._start.values[at]
        at = at[(start <= as_of) & (as_of < self._end.values[at])]
        at = at[np.argsort(self._start.values[at], kind="stable")]
        return OfferTerms(
            self._item_idx.values[at],
            self._price.values[at],
            self._available.values[at],
            self._start.values[at],
            self._end.values[at],
        )


class ChangedOffers:
    """See `recsys.data.offers.LaterOffers`; its offers change in place."""

    def __init__(self) -> None:
        self._scopes: dict[OfferScope, ScopeOffers] = {}
        self._offers: dict[int, tuple[OfferRow, ...]] = {}
        self._is_replaced = GrowingArray(np.empty(0, np.bool_), False)
        self._n = 0
        self._names_regions = False

    def __len__(self) -> int:
        return self._n

    @property
    def names_regions(self) -> bool:
        """Whether any offer is, or was, for a region."""
        return self._names_regions

    def of(self, row: int) -> tuple[OfferRow, ...] | None:
        """Return the offers of an item, None if those of the bundle apply."""
        return self._offers.get(row)

    def replace(self, row: int, offers: Sequence[OfferRow] | None) -> None:
        """Set all offers of an item, in ascending precedence among equals; None for those of the bundle."""
        before, after = self._offers.pop(row, ()), tuple(offers or ())
        for scope in {offer.scope for offer in (*before, *after)}:
            of_scope = self._scopes.get(scope)
            if of_scope is None:
                of_scope = self._scopes[scope] = ScopeOffers()
            of_scope.replace(row, [offer for offer in after if offer.scope == scope])
            self._names_regions |= scope.region != NO_CONTEXT_VALUE
        if offers is not None:
            self._offers[row] = after
        self._n += len(after) - len(before)
        self._is_replaced.grow(row + 1)
        self._is_replaced[row] = offers is not None

    def context_key(self, where: OfferScope, as_of: int) -> LaterContextKey:
        """See `recsys.data.offers.LaterOffers`."""
        choices = ((NO_CONTEXT_VALUE,) if name == NO_CONTEXT_VALUE else (NO_CONTEXT_VALUE, name) for name in where)
        found = [scope for each in product(*choices) if (scope := OfferScope(*each)) in self._scopes]
        return tuple((scope, self._passed(scope, as_of)) for scope in sorted(found, key=_precedence))

    def _passed(self, scope: OfferScope, as_of: int) -> int:
        times = self._scopes[scope].times
        n_passed = bisect_right(times, as_of)
        return times[n_passed - 1] if n_passed else int(ALWAYS.min)

    def terms(self, scope: OfferScope, as_of: int, items: npt.NDArray[np.int64] | None = None) -> OfferTerms:
        """See `recsys.data.offers.OfferTable.terms`."""
        return self._scopes[scope].terms(as_of, items)

    def are_replaced(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """See `recsys.data.offers.LaterOffers`."""
        is_replaced = self._is_replaced.values
        found = np.zeros(len(rows), np.bool_)
        inside = rows < len(is_replaced)
        found[inside] = is_replaced[rows[inside]]
        return found


def _precedence(scope: OfferScope) -> tuple[int, bool, bool, bool]:
    """Return a key that is larger for a more specific scope; see `recsys.data.offers`."""
    names = scope.store != NO_CONTEXT_VALUE, scope.channel != NO_CONTEXT_VALUE, scope.region != NO_CONTEXT_VALUE
    return sum(names), *names
