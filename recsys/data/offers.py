"""Offers as arrays: prices and availability of items in a region, store or channel during a period.

An offer applies to a request if every key that it names equals the request's and `valid_from <= as_of < valid_to`. Of
the offers that apply to an item, the most specific one has precedence, for the price and the availability separately:
the one that names most keys; among equals the one that names the store, then the channel, then the region; then the one
that began last, then the last one of the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.ids import IdMap
from recsys.core.schema import OFFERS
from recsys.core.timestamps import MICROSECONDS

OFFER_KEYS: Final = ("region", "store", "channel")
"""Keys of offers and of a request's context."""

OFFERED_COLUMNS: Final = ("price", "available")
"""Columns of the items table that offers override."""

NO_CONTEXT_VALUE: Final = ""
"""Value of a key that an offer or a request does not name."""

NOT_STATED: Final = -1
"""Availability of an offer that does not state it."""

ALWAYS: Final = np.iinfo(np.int64)
"""Bounds of time, for offers without their own."""


class OfferScope(NamedTuple):
    """Region, store and channel of a request or an offer; "" for those that are not named."""

    region: str = NO_CONTEXT_VALUE
    store: str = NO_CONTEXT_VALUE
    channel: str = NO_CONTEXT_VALUE

    @classmethod
    def of(cls, context: Mapping[str, Any], region: Any = None) -> OfferScope:
        """Read the scope of a request's context: text, and integers as text.

        Args:
            context: values by name; other types count as not named.
            region: default for a context without a region.
        """
        named = [_name(context.get(key)) for key in OFFER_KEYS]
        return cls(named[0] or _name(region), *named[1:])


def _name(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else NO_CONTEXT_VALUE


OfferContextKey = tuple[tuple[int, int], ...]
"""Scopes of a request, the least specific first, each with the number of its times that have passed."""

LaterContextKey = tuple[tuple[OfferScope, int], ...]
"""The same for later offers, with the last time of each scope that has passed."""

OffersKey = tuple[OfferContextKey, LaterContextKey]
"""What decides which offers apply to a request."""


class OfferTerms(NamedTuple):
    """Terms of the offers of one scope, one entry per offer; for an item, the last entry that states a value applies.

    Attributes:
        item_idx: int32 (n,), rows of items.
        price: float64 (n,), NaN if not stated.
        available: int8 (n,), 1, 0, or -1 if not stated.
        start, end: int64 (n,), when it begins and ends, seconds since 1970; the bounds of `ALWAYS` if it does not.
    """

    item_idx: npt.NDArray[np.int32]
    price: npt.NDArray[np.float64]
    available: npt.NDArray[np.int8]
    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]

    def take(self, rows: npt.NDArray[np.bool_]) -> OfferTerms:
        """Return the chosen offers."""
        return OfferTerms(self.item_idx[rows], self.price[rows], self.available[rows], self.start[rows], self.end[rows])


@dataclass(frozen=True)
class OfferTable:
    """Offers grouped by scope (the keys that they name); scopes and their offers are in ascending precedence.

    Attributes:
        region: region of each scope, (n_scopes,); "" if not named.
        store: the same for stores.
        channel: the same for channels.
        ends: int64 (n_scopes,), end of each scope's offers.
        times: int64 (n_times,), moments at which an offer of a scope begins or ends, ascending within the scope.
        time_ends: int64 (n_scopes,), end of each scope's times.
        item_idx: int32 (n_offers,), rows of items.
        price: float64 (n_offers,), NaN if not stated.
        available: int8 (n_offers,), 1, 0, or -1 if not stated.
        start: int64 (n_offers,), first whole second since 1970 at which the offer applies.
        end: int64 (n_offers,), first whole second at which it no longer applies.
    """

    region: tuple[str, ...]
    store: tuple[str, ...]
    channel: tuple[str, ...]
    ends: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    time_ends: npt.NDArray[np.int64]
    item_idx: npt.NDArray[np.int32]
    price: npt.NDArray[np.float64]
    available: npt.NDArray[np.int8]
    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.item_idx)

    @cached_property
    def scopes(self) -> dict[OfferScope, int]:
        """Numbers of the scopes."""
        named = map(OfferScope, self.region, self.store, self.channel)
        return {where: scope for scope, where in enumerate(named)}

    @cached_property
    def names_regions(self) -> bool:
        """Whether any offer is for a region."""
        return any(self.region)

    def context_key(self, where: OfferScope, as_of: int) -> OfferContextKey:
        """Return the scopes of a request at a moment; requests with equal keys see the same offers."""
        known = self.scopes
        choices = ((NO_CONTEXT_VALUE,) if name == NO_CONTEXT_VALUE else (NO_CONTEXT_VALUE, name) for name in where)
        found = sorted(known[names] for each in product(*choices) if (names := OfferScope(*each)) in known)
        return tuple((scope, int(self._times(scope).searchsorted(as_of, side="right"))) for scope in found)

    def terms(self, scope: int, as_of: int, items: npt.NDArray[np.int64] | None = None) -> OfferTerms:
        """Return the terms of the offers of a scope that apply at a moment.

        Args:
            scope: number of the scope.
            as_of: seconds since 1970.
            items: int64, ascending, the only items whose offers are returned; None for all.
        """
        part = _part(self.ends, scope)
        at = np.arange(part.start, part.stop) if items is None else self._places(scope, items)
        at = at[(self.start[at] <= as_of) & (as_of < self.end[at])]
        return OfferTerms(self.item_idx[at], self.price[at], self.available[at], self.start[at], self.end[at])

    def _places(self, scope: int, items: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return where the offers of some items are in a scope, in their order."""
        start = _part(self.ends, scope).start
        order = self._by_item.get(scope)
        item_idx = self.item_idx[_part(self.ends, scope)]
        if order is None:
            order = self._by_item[scope] = np.argsort(item_idx, kind="stable")
        first, last = (np.searchsorted(item_idx, items, side, sorter=order) for side in ("left", "right"))
        found = [order[low:high] for low, high in zip(first.tolist(), last.tolist(), strict=True)]
        return start + np.sort(np.concatenate([np.empty(0, np.int64), *found]).astype(np.int64))

    @cached_property
    def _by_item(self) -> dict[int, npt.NDArray[np.int64]]:
        """Offers of each scope in the order of their items, where items were asked for."""
        return {}

    def _times(self, scope: int) -> npt.NDArray[np.int64]:
        return self.times[_part(self.time_ends, scope)]


def _part(ends: npt.NDArray[np.int64], number: int) -> slice:
    return slice(int(ends[number - 1]) if number else 0, int(ends[number]))


def tabulate(offers: pl.DataFrame) -> OfferTable:
    """Build the table of offers.

    Args:
        offers: `item_idx`, int32 rows of items, and the columns of `schema.OFFERS` without `item_id`; among rows of
            equal precedence the last one applies.
    """
    named = offers.with_columns(pl.col(*OFFER_KEYS).fill_null(NO_CONTEXT_VALUE))
    is_named = [pl.col(key) != NO_CONTEXT_VALUE for key in ("store", "channel", "region")]
    scopes = (
        named.select(*OFFER_KEYS)
        .unique()
        .sort(pl.sum_horizontal(is_named), *is_named, *OFFER_KEYS)
        .with_row_index("scope")
    )
    moments = named.with_columns(
        _whole_seconds("valid_from", ALWAYS.min).alias("start"), _whole_seconds("valid_to", ALWAYS.max).alias("end")
    )
    rows = moments.join(scopes, on=list(OFFER_KEYS), how="left", maintain_order="left")
    rows = rows.sort("scope", "start", maintain_order=True)
    times = pl.concat([rows.select("scope", time=end) for end in ("start", "end")]).unique().sort("scope", "time")
    times = times.filter(pl.col("time").is_between(ALWAYS.min, ALWAYS.max, closed="none"))
    each = np.arange(len(scopes))
    return OfferTable(
        region=tuple(scopes["region"]),
        store=tuple(scopes["store"]),
        channel=tuple(scopes["channel"]),
        ends=rows["scope"].to_numpy().searchsorted(each, side="right").astype(np.int64),
        times=times["time"].to_numpy(),
        time_ends=times["scope"].to_numpy().searchsorted(each, side="right").astype(np.int64),
        item_idx=rows["item_idx"].to_numpy(),
        price=rows["price"].cast(pl.Float64).fill_null(float("nan")).to_numpy(),
        available=rows["available"].cast(pl.Int8).fill_null(NOT_STATED).to_numpy(),
        start=rows["start"].to_numpy(),
        end=rows["end"].to_numpy(),
    )


def _whole_seconds(column: str, if_open: int) -> pl.Expr:
    """Return the first whole second at or after a moment, as requests have whole seconds."""
    micros = pl.col(column).dt.epoch("us")
    return (-(-micros // MICROSECONDS)).fill_null(if_open)


class OfferRow(NamedTuple):
    """One offer of an item.

    Attributes:
        scope: the keys that it names.
        price: NaN if not stated.
        available: 1, 0, or `NOT_STATED`.
        start: first whole second since 1970 at which it applies.
        end: first whole second at which it no longer applies.
    """

    scope: OfferScope
    price: float
    available: int
    start: int
    end: int


def offer_rows(offers: pl.DataFrame) -> list[OfferRow]:
    """Return the rows of a table with the columns of `schema.OFFERS`."""
    rows = offers.select(
        *(pl.col(key).fill_null(NO_CONTEXT_VALUE) for key in OFFER_KEYS),
        pl.col("price").cast(pl.Float64).fill_null(float("nan")),
        pl.col("available").cast(pl.Int8).fill_null(NOT_STATED),
        _whole_seconds("valid_from", ALWAYS.min).alias("start"),
        _whole_seconds("valid_to", ALWAYS.max).alias("end"),
    )
    return [OfferRow(OfferScope(*row[:3]), *row[3:]) for row in rows.iter_rows()]


def read_offers(offers: pl.DataFrame, items: IdMap) -> OfferTable:
    """Build the offers of a table with the columns of `schema.OFFERS`, without those of unknown items."""
    rows = offers.with_columns(item_idx=pl.Series(items.encode(offers["item_id"])))
    return tabulate(rows.filter(pl.col("item_idx") >= 0).select("item_idx", *OFFERS.keys() - {"item_id"}))


@dataclass(frozen=True)
class OfferedColumns:
    """Prices and availability of all items with the offers that apply.

    Attributes:
        price: float64 (n_items,), NaN for unknown.
        available: bool (n_items,).
        is_stated: bool (n_items,), whether an offer states the availability.
    """

    price: npt.NDArray[np.float64]
    available: npt.NDArray[np.bool_]
    is_stated: npt.NDArray[np.bool_]

    def columns(self, rows: Any) -> dict[str, pl.Expr]:
        """Return the columns of some rows that replace those of a frame of these rows."""
        price = pl.lit(pl.Series(self.price[rows], nan_to_null=True)).alias("price")
        stated, available = pl.lit(pl.Series(self.is_stated[rows])), pl.lit(pl.Series(self.available[rows]))
        return {"price": price, "available": pl.when(stated).then(available).otherwise("available").alias("available")}


_NONE: Final = np.empty(0, np.int64)
NO_OFFERS: Final = OfferTable(
    (), (), (), _NONE, _NONE, _NONE, np.empty(0, np.int32), np.empty(0, np.float64), np.empty(0, np.int8), _NONE, _NONE
)


class LaterOffers(Protocol):
    """Offers of items whose offers have changed since the bundle was trained."""

    def __len__(self) -> int:
        """Return the number of offers."""

    @property
    def names_regions(self) -> bool:
        """Whether any offer is for a region."""

    def context_key(self, where: OfferScope, as_of: int) -> LaterContextKey:
        """Return the scopes of a request at a moment; requests with equal keys see the same offers."""

    def terms(self, scope: OfferScope, as_of: int, items: npt.NDArray[np.int64] | None = None) -> OfferTerms:
        """See `OfferTable.terms`."""

    def are_replaced(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """Return for which items the bundle's offers no longer apply, bool (n,)."""


@dataclass(frozen=True)
class Offers:
    """All offers of a shop: those of its bundle and later ones.

    Attributes:
        known: offers of the bundle.
        changed: offers of the items whose offers changed later; None if there are none.
        applied: key of the offers that the engine's catalog has applied; none by itself.
    """

    known: OfferTable = NO_OFFERS
    changed: LaterOffers | None = None
    applied: OffersKey = ((), ())

    def __len__(self) -> int:
        return len(self.known) + (0 if self.changed is None else len(self.changed))

    @property
    def names_regions(self) -> bool:
        """Whether any offer is for a region."""
        return self.known.names_regions or (self.changed is not None and self.changed.names_regions)

    def context_key(self, where: OfferScope, as_of: int) -> OffersKey:
        """Return the scopes of a request at a moment; see `OfferTable.context_key`."""
        later = () if self.changed is None else self.changed.context_key(where, as_of)
        return self.known.context_key(where, as_of), later

    def applicable_terms(
        self, key: OffersKey, as_of: int, items: npt.NDArray[np.int64] | None = None
    ) -> Iterator[tuple[OfferScope, OfferTerms]]:
        """Yield the terms that apply at a moment with their scopes, in ascending precedence; to all items or some."""
        known, changed = self.known, self.changed
        for number, _ in key[0]:
            terms = known.terms(number, as_of, items)
            if changed is not None:
                counts = ~changed.are_replaced(terms.item_idx)
                terms = terms.take(counts)
            yield OfferScope(known.region[number], known.store[number], known.channel[number]), terms
        if changed is not None:
            for scope, _ in key[1]:
                yield scope, changed.terms(scope, as_of, items)

    def sold_out_by(self, row: int, as_of: int) -> OfferScope | None:
        """Return the scope whose applied offer makes an item unavailable; None if no offer does."""
        found: tuple[OfferScope, int] | None = None
        for scope, terms in self.applicable_terms(self.applied, as_of, np.array([row], np.int64)):
            stated = terms.available[terms.available != NOT_STATED]
            found = (scope, int(stated[-1])) if len(stated) else found
        return found[0] if found is not None and not found[1] else None


NO_KNOWN_OFFERS: Final = Offers()
