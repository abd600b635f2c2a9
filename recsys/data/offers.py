"""Offers as arrays: what an item costs, and whether it can be had, in a region, store or channel and for a time.

An offer applies to a request where each key that it names equals the request's and `valid_from <= as_of < valid_to`.
Of those that apply to an item the most specific speaks, for the price and for the availability separately: the one
that names most keys, of as many the one that names the store, then the channel, then the region; then the one that
began last, then the one that came last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.ids import IdMap
from recsys.core.schema import OFFERS
from recsys.core.timestamps import MICROSECONDS

OFFER_KEYS: Final = ("region", "store", "channel")
"""What an offer may name, and a request's context."""

OFFERED_COLUMNS: Final = ("price", "available")
"""Columns of the items' table that offers override."""

NO_CONTEXT_VALUE: Final = ""
"""Stands for a key that an offer, or a request, does not name."""

NO_NAMED_CONTEXT: Final = -1
ALWAYS: Final = np.iinfo(np.int64)
"""Ends of time, for offers whose own are open."""

OfferContextKey = tuple[tuple[int, int], ...]
"""Scopes that a request is in, the least specific first, each with the number of its times that have passed."""


class OfferScope(NamedTuple):
    """Where a request comes from; "" where it does not say."""

    region: str = NO_CONTEXT_VALUE
    store: str = NO_CONTEXT_VALUE
    channel: str = NO_CONTEXT_VALUE

    @classmethod
    def of(cls, context: Mapping[str, Any], region: Any = None) -> OfferScope:
        """Read it off a request's context: texts, and whole numbers as texts.

        Args:
            context: by name; what is neither text nor a whole number names nothing.
            region: where the context names no region.
        """
        named = [_name(context.get(key)) for key in OFFER_KEYS]
        return cls(named[0] or _name(region), *named[1:])


def _name(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else NO_CONTEXT_VALUE


class OfferTerms(NamedTuple):
    """What offers of one scope say of items, one entry an offer; of an item's the last that says something counts.

    Attributes:
        item_idx: int32 (n,), rows of items.
        price: float64 (n,), NaN where it says nothing.
        available: int8 (n,), 1, 0, or -1 where it says nothing.
    """

    item_idx: npt.NDArray[np.int32]
    price: npt.NDArray[np.float64]
    available: npt.NDArray[np.int8]


@dataclass(frozen=True)
class OfferTable:
    """Offers by scope, a scope being the keys that they name; scopes and their offers stand in ascending precedence.

    Attributes:
        region: name of each scope, (n_scopes,); "" where it names none.
        store: the same.
        channel: the same.
        ends: int64 (n_scopes,), where each scope's offers end.
        times: int64 (n_times,), all moments at which an offer of a scope begins or ends, ascending within the scope.
        time_ends: int64 (n_scopes,), where each scope's times end.
        item_idx: int32 (n_offers,), rows of items.
        price: float64 (n_offers,), NaN where an offer says nothing of it.
        available: int8 (n_offers,), 1, 0, or -1 where an offer says nothing of it.
        start: int64 (n_offers,), first whole second since 1970 at which it applies.
        end: int64 (n_offers,), first whole second at which it applies no more.
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
        """The number of each scope."""
        named = map(OfferScope, self.region, self.store, self.channel)
        return {where: scope for scope, where in enumerate(named)}

    @cached_property
    def names_regions(self) -> bool:
        """Whether any offer is for a region."""
        return any(self.region)

    def standing(self, where: OfferScope, as_of: int) -> OfferContextKey:
        """The scopes that a request is in at a moment; requests of equal standing are shown the same offers."""
        known = self.scopes
        choices = ((NO_CONTEXT_VALUE,) if name == NO_CONTEXT_VALUE else (NO_CONTEXT_VALUE, name) for name in where)
        found = sorted(known[names] for each in product(*choices) if (names := OfferScope(*each)) in known)
        return tuple((scope, int(self._times(scope).searchsorted(as_of, side="right"))) for scope in found)

    def terms(self, scope: int, as_of: int) -> OfferTerms:
        """What the offers of a scope say that apply at a moment."""
        mine = _part(self.ends, scope)
        applies = (self.start[mine] <= as_of) & (as_of < self.end[mine])
        return OfferTerms(self.item_idx[mine][applies], self.price[mine][applies], self.available[mine][applies])

    def _times(self, scope: int) -> npt.NDArray[np.int64]:
        return self.times[_part(self.time_ends, scope)]


def _part(ends: npt.NDArray[np.int64], place: int) -> slice:
    return slice(int(ends[place - 1]) if place else 0, int(ends[place]))


def tabulate(offers: pl.DataFrame) -> OfferTable:
    """Put offers in order.

    Args:
        offers: `item_idx`, int32 rows of items, and the columns of `schema.OFFERS` but `item_id`; of rows that are
            alike in precedence the last one speaks.
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
        available=rows["available"].cast(pl.Int8).fill_null(NO_NAMED_CONTEXT).to_numpy(),
        start=rows["start"].to_numpy(),
        end=rows["end"].to_numpy(),
    )


def _whole_seconds(column: str, if_open: int) -> pl.Expr:
    """The first whole second at or after a moment: requests are for whole seconds."""
    micros = pl.col(column).dt.epoch("us")
    return (-(-micros // MICROSECONDS)).fill_null(if_open)


def read_offers(offers: pl.DataFrame, items: IdMap) -> OfferTable:
    """The offers of a table with the columns of `schema.OFFERS`, but those for items that nobody knows."""
    rows = offers.with_columns(item_idx=pl.Series(items.encode(offers["item_id"])))
    return tabulate(rows.filter(pl.col("item_idx") >= 0).select("item_idx", *OFFERS.keys() - {"item_id"}))


_NONE: Final = np.empty(0, np.int64)
NO_OFFERS: Final = OfferTable(
    (), (), (), _NONE, _NONE, _NONE, np.empty(0, np.int32), np.empty(0, np.float64), np.empty(0, np.int8), _NONE, _NONE
)


@dataclass(frozen=True)
class Offers:
    """All offers of a shop: those of its bundle, and those that took their place since.

    Attributes:
        known: as the bundle has them.
        changed: of the items whose offers changed since.
        replaced: int32, rows of these items: what `known` says of them counts no more.
        taken: standing among `known` and `changed` whose terms the catalogue beside has taken over; none by itself.
    """

    known: OfferTable = NO_OFFERS
    changed: OfferTable = NO_OFFERS
    replaced: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    taken: tuple[OfferContextKey, OfferContextKey] = ((), ())

    def __len__(self) -> int:
        return len(self.known) + len(self.changed)

    @property
    def names_regions(self) -> bool:
        """Whether any offer is for a region."""
        return self.known.names_regions or self.changed.names_regions

    def standing(self, where: OfferScope, as_of: int) -> tuple[OfferContextKey, OfferContextKey]:
        """The scopes that a request is in at a moment; see `OfferTable.standing`."""
        return self.known.standing(where, as_of), self.changed.standing(where, as_of)

    def applicable_terms(
        self, standing: tuple[OfferContextKey, OfferContextKey], as_of: int
    ) -> Iterator[tuple[OfferScope, OfferTerms]]:
        """What offers say at a moment, in ascending precedence, each with the scope that says it."""
        for table, scopes in zip((self.known, self.changed), standing, strict=True):
            for scope, _ in scopes:
                terms = table.terms(scope, as_of)
                if table is self.known and len(self.replaced):
                    counts = ~np.isin(terms.item_idx, self.replaced)
                    terms = OfferTerms(terms.item_idx[counts], terms.price[counts], terms.available[counts])
                yield OfferScope(table.region[scope], table.store[scope], table.channel[scope]), terms

    def sold_out_by(self, row: int, as_of: int) -> OfferScope | None:
        """The scope whose offer took an item out of the catalogue beside; None where none did."""
        speaker: tuple[OfferScope, int] | None = None
        for where, terms in self.applicable_terms(self.taken, as_of):
            said = terms.available[terms.item_idx == row]
            said = said[said != NO_NAMED_CONTEXT]
            speaker = (where, int(said[-1])) if len(said) else speaker
        return speaker[0] if speaker is not None and not speaker[1] else None


NO_KNOWN_OFFERS: Final = Offers()
