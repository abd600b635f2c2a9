"""Placements: the definition of each list by its sources, rules and settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Final, Literal

from msgspec import Meta

from recsys.core.config.ranges import SINGLE, UNIQUE, NonNegativeFloat, NonNegativeInt, PositiveFloat, Share, Text
from recsys.core.occasions import (
    CLIMATE_OCCASIONS,
    FESTIVAL_OCCASIONS,
    LIFE_STAGES,
    PLACE_OCCASIONS,
    THEME_OCCASIONS,
    Occasion,
)
from recsys.core.request import DEFAULT_LIMIT, MAX_LIMIT
from recsys.core.windows import Window, read_bound

MAX_LISTS_PER_PAGE: Final = 20
MAX_RULES: Final = 100
"""Boosts, and promotions, of one list: each is evaluated for every request."""

Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT)]
Weekday = Annotated[int, Meta(ge=1, le=7)]
LocalHour = Annotated[int, Meta(ge=0, le=23)]
Weights = Annotated[Mapping[str, PositiveFloat], Meta(min_length=1)]

Anchor = Literal["user", "item", "none", "any"]
Lists = Literal["items", "sets"]
Pool = Literal["all", "tail"]
Own = Literal["keep", "drop", "drop_types", "not_yet_due"]
RankerName = Literal["", "next", "new"]
BlendName = Literal["", "next", "new", "tail", "alike", "viewed"]


_NOW: Final = re.compile(r"\bnow\s*\(", re.IGNORECASE)


@dataclass(frozen=True)
class Boost:
    """Items that count for more, or for less.

    Attributes:
        filter: which items, in the language of docs/filters.md.
        factor: what their scores are multiplied by.
    """

    filter: Text
    factor: PositiveFloat


@dataclass(frozen=True)
class Pin:
    """An item at a fixed rank, whatever its score.

    Attributes:
        item_id: the item; where it may not be listed, the next item takes its rank.
        rank: 1 for the first.
    """

    item_id: Text
    rank: Limit


@dataclass(frozen=True)
class Promotion:
    """Items that get a share of a list's positions.

    Attributes:
        filter: which items, in the language of docs/filters.md.
        share: they have at least `⌊share·n⌋` of the first n positions, if there are enough of them.
    """

    filter: Text
    share: Share


@dataclass(frozen=True)
class Freshness:
    """A bonus for new items: scores are multiplied by `1 + boost · 2^(−age / half_life)`.

    Attributes:
        boost: of an item that was created just now; an item without `created_at` has none.
        half_life_days: age at which half of it is left.
    """

    boost: NonNegativeFloat = 0.0
    half_life_days: PositiveFloat = 14.0


@dataclass(frozen=True)
class Placement:
    """The definition of one list.

    Attributes:
        name: as callers write it.
        anchor: what the list is for: a user, an item, none of them, or any of these.
        sources: weight of each source's score, each divided by the source's best.
        fallback: the source that serves unknown users, and requests for which the sources find nothing; "" gives
            the latter an empty list.
        pool: the items that may be listed: all, or the tail, outside the head with half of all purchases.
        only_complements: whether to leave out items of the seed's product type, which could replace it, and items that
            the seed is an accessory of.
        own: `keep` for all items; `drop` for items that the user neither bought nor looked at; `drop_types` for
            those of categories that the user has not bought from; `not_yet_due` for items that the user has not
            bought, or that are due again.
        rests: whether items that the user bought are left out as long as almost nobody buys them again, and all items
            of a type that the user has and that is bought once.
        trend_power: the blend's scores are multiplied by `trend^power`.
        tail_discount: `β·ln(buyers)` is subtracted from the score's logarithm.
        tail_share: smallest share of a list's positions for the tail, the last ones if its scores win no others.
        new_share: largest share of the page's positions for new items that have no or few buyers and fit the user.
        hour_power: effect of the hour: scores are multiplied by `lift^(w·power)`, with the learned weight `w` of the
            hour.
        ranker: the learned ranker that orders the list, if one was fitted; "" for the blend of the sources.
        blend: the learned blend whose weights replace those of `sources`, `trend_power` and `tail_discount` where one
            was fitted; "" for the weights as they are.
        may_be_empty: whether the list has the items of its own sources or none: the sources are asked for users without
            a history too, and nothing serves instead unless a fallback is named.
        evidence: kinds of reasons that every item has in addition to its source's.
        substitutes: definitions that serve an empty list before `fallback`, in this order: the first that fills the
            list, else the longest.
        filter: which items may be listed, in the language of docs/filters.md; "" for all.
        boosts: items that count for more or less.
        pins: items at fixed ranks.
        promotions: items that get a share of the positions.
        diversity: weight of the dissimilarity to the items before, against the score.
        max_per_category: items of one category beyond this number come behind all others; 0 for no bound.
        freshness: the bonus for new items.
        seen_days: items that the user viewed or put into the cart within this number of days are left out.
        rotation: strength of a random order, drawn anew each local day.
        lists: items, or sets of items that are bought together; of those, `limit` is the number of sets.
        max_total_price: largest price of a set, where `lists` is `sets`; 0 for no bound.
        limit: number of items where a call has none.
        titles: names of the list for people, by language.
        valid_from: moment at which the list opens, as `recsys.core.windows.read_bound` reads it; "" for no bound.
        valid_to: moment at which it closes; "" for no bound.
        weekdays: days on which it is open, 1 Monday to 7 Sunday; empty for all.
        hours: local hours in which it is open; empty for all.
        occasions: of the source `occasion`.
    """

    name: str
    anchor: Anchor
    sources: Weights
    fallback: str = "popular_by_hour"
    pool: Pool = "all"
    only_complements: bool = False
    own: Own = "keep"
    rests: bool = False
    trend_power: NonNegativeFloat = 0.0
    tail_discount: NonNegativeFloat = 0.0
    tail_share: Share = 0.0
    new_share: Share = 0.0
    hour_power: NonNegativeFloat = 0.0
    ranker: RankerName = ""
    blend: BlendName = ""
    may_be_empty: bool = False
    evidence: tuple[str, ...] = field(default=())
    substitutes: tuple[Placement, ...] = ()
    filter: str = ""
    boosts: Annotated[tuple[Boost, ...], Meta(max_length=MAX_RULES)] = ()
    pins: tuple[Pin, ...] = ()
    promotions: Annotated[tuple[Promotion, ...], Meta(max_length=MAX_RULES)] = ()
    diversity: Share = 0.0
    max_per_category: NonNegativeInt = 0
    freshness: Freshness = field(default_factory=Freshness)
    seen_days: NonNegativeFloat = 0.0
    rotation: Share = 0.0
    lists: Lists = "items"
    max_total_price: NonNegativeFloat = 0.0
    limit: Limit = DEFAULT_LIMIT
    titles: Mapping[str, Text] = field(default_factory=dict)
    valid_from: str = ""
    valid_to: str = ""
    weekdays: Annotated[tuple[Weekday, ...], Meta(extra={UNIQUE: True})] = ()
    hours: Annotated[tuple[LocalHour, ...], Meta(extra={UNIQUE: True})] = ()
    occasions: tuple[Occasion, ...] = ()

    @cached_property
    def window(self) -> Window | None:
        """The times at which the list is open, None for always."""
        if not (self.valid_from or self.valid_to or self.weekdays or self.hours):
            return None
        start, end = (read_bound(text) if text else None for text in (self.valid_from, self.valid_to))
        return Window(start, end, self.weekdays, self.hours)

    @cached_property
    def changes_by_minute(self) -> bool:
        """Whether the list may change within a quarter of an hour though nothing but the time does."""
        return bool(self.valid_from or self.valid_to) or any(_NOW.search(text) for _, text in self.filters)

    @cached_property
    def arranges(self) -> bool:
        """Whether the order of the list is not that of its scores alone."""
        return bool(self.pins or self.promotions or self.diversity or self.max_per_category or self.rotation)

    @property
    def has_own_weights(self) -> bool:
        """Whether a file's weights replace the learned ones, and the comparison with simpler orders."""
        return self.anchor == "user" and len(self.sources) > 1 and not self.blend

    @cached_property
    def has_rules(self) -> bool:
        """Whether anything of the placement is to be found in the catalog: filters or pins."""
        return bool(self.filters or self.pins)

    @cached_property
    def filters(self) -> tuple[tuple[str, str], ...]:
        """Every filter of the placement, with its key."""
        own = (("filter", self.filter),) if self.filter else ()
        boosts = ((f"boosts[{n}].filter", each.filter) for n, each in enumerate(self.boosts))
        promotions = ((f"promotions[{n}].filter", each.filter) for n, each in enumerate(self.promotions))
        return (*own, *boosts, *promotions)


@dataclass(frozen=True)
class ListVariant:
    """The variant of a list that experiments give to a user.

    Attributes:
        placement: its definition; None for that of the shop.
        exposures: the user's variant by experiment, as it is logged; not empty.
        bundle: version of the bundle that answers the user; "" for the current one.
    """

    placement: Placement | None
    exposures: Mapping[str, str]
    bundle: str = ""


@dataclass(frozen=True)
class Page:
    """Several lists that are shown together, no item twice.

    Attributes:
        name: as callers write it.
        placements: names of the lists; the first has the first choice of items.
    """

    name: str
    placements: Annotated[
        tuple[Text, ...], Meta(min_length=1, max_length=MAX_LISTS_PER_PAGE, extra={UNIQUE: True, SINGLE: True})
    ]


_NEW = {
    "als": 1.0,
    "together": 1.0,
    "affinity": 1.0,
    "ease": 0.5,
    "around": 0.5,
    "after": 0.2,
    "content": 0.1,
    "popular": 0.5,
}
_NICHE = _NEW | {"popular": 0.05}
_NEXT = {
    "repeat": 1.0,
    "als": 1.0,
    "together": 0.1,
    "affinity": 0.2,
    "ease": 0.05,
    "touched": 0.2,
    "around": 0.2,
    "after": 0.1,
    "content": 0.1,
    "popular": 0.05,
}


def _moment(source: str, anchor: Anchor = "user", *, rests: bool = False) -> Placement:
    """The list of one moment."""
    return Placement(source, anchor, {source: 1.0}, fallback="", may_be_empty=True, rests=rests)


def _for(name: str, occasions: tuple[Occasion, ...]) -> Placement:
    """The list of some occasions."""
    return replace(_moment("occasion", rests=True), name=name, occasions=occasions)


PLACEMENTS: Final[Mapping[str, Placement]] = MappingProxyType(
    {
        placement.name: placement
        for placement in (
            Placement("complementary", "item", {"complementary": 1.0}, only_complements=True, own="not_yet_due"),
            Placement("bought_together", "item", {"bought_together": 1.0}, own="not_yet_due"),
            Placement("similar", "item", {"similar": 1.0, "alternatives": 1.0}, blend="alike"),
            Placement("viewed_together", "item", {"viewed_together": 1.0, "popular": 0.0}, blend="viewed"),
            Placement(
                "for_you", "user", _NEXT, rests=True, new_share=0.1, trend_power=0.3, ranker="next", blend="next"
            ),
            Placement(
                "discover",
                "user",
                _NEW,
                own="drop",
                rests=True,
                new_share=0.1,
                trend_power=0.5,
                tail_discount=0.15,
                tail_share=0.15,
                ranker="new",
                blend="new",
            ),
            Placement(
                "long_tail",
                "user",
                _NICHE,
                pool="tail",
                own="drop",
                rests=True,
                trend_power=0.5,
                ranker="new",
                blend="tail",
                evidence=("tail",),
            ),
            Placement(
                "time_of_day",
                "user",
                _NEXT,
                rests=True,
                trend_power=0.3,
                hour_power=2.0,
                ranker="next",
                blend="next",
                evidence=("hour",),
            ),
            Placement("buy_again", "user", {"due": 1.0}, fallback=""),
            Placement("popular", "none", {"popular_by_hour": 1.0}),
            Placement(
                "item_sets",
                "any",
                _NEXT,
                rests=True,
                trend_power=0.3,
                ranker="next",
                blend="next",
                fallback="",
                lists="sets",
            ),
            _moment("price_drop", rests=True),
            _moment("back_in_stock", rests=True),
            _moment("replenishment_due"),
            _moment("cart_left"),
            _moment("lapsed_favorites"),
            _moment("new_arrivals"),
            _moment("trending", "none"),
            _moment("first_order"),
            _for("festival", FESTIVAL_OCCASIONS),
            _for("climate", CLIMATE_OCCASIONS),
            _for("life_stage", LIFE_STAGES),
            _for("nearby", PLACE_OCCASIONS),
            _for("theme", THEME_OCCASIONS),
            Placement(
                "new_categories",
                "user",
                _NEW,
                own="drop_types",
                rests=True,
                trend_power=0.5,
                ranker="new",
                blend="new",
                evidence=("new_category",),
            ),
        )
    }
)
