"""Named lists: each says which sources feed it, what is left out and how the dials stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

Anchor = Literal["user", "item", "none"]
Pool = Literal["all", "tail"]
Own = Literal["keep", "drop", "not_yet_due"]
RankerName = Literal["", "next", "new"]


@dataclass(frozen=True)
class Placement:
    """What one list is.

    Attributes:
        name: as callers write it.
        anchor: what the list is for: a user, an item, or nobody.
        sources: weight of each source's score, each divided by the source's best.
        fallback: the source that serves strangers, and others for whom the sources find nothing; "" leaves the
            latter an empty list.
        pool: the items that may be listed: all, or the tail outside the head that makes half of all purchases.
        only_complements: whether items that could replace a seed, being of its product type, are left out, and those
            that the seed is bought for rather than they for the seed.
        own: what happens to items that the shopper bought: kept, dropped, or dropped until they are due again.
        trend_power: the blend's scores are multiplied by `trend^power`, >= 0.
        tail_discount: `β·ln(buyers)` is subtracted from the score's logarithm, >= 0.
        tail_share: at least this share of a list's places go to the tail, the last ones if it has not won others, in
            [0, 1].
        hour_power: how much of what is known of the hour counts: scores are multiplied by `lift^(w·power)`, with `w`
            what was learned of the hour's weight, >= 0.
        ranker: the learned ranker that orders the list, where one was fitted; "" for the blend of the sources.
        evidence: reasons that every item carries beside its source's.
    """

    name: str
    anchor: Anchor
    sources: Mapping[str, float]
    fallback: str = "popular_by_hour"
    pool: Pool = "all"
    only_complements: bool = False
    own: Own = "keep"
    trend_power: float = 0.0
    tail_discount: float = 0.0
    tail_share: float = 0.0
    hour_power: float = 0.0
    ranker: RankerName = ""
    evidence: tuple[str, ...] = field(default=())


_NEW = {"als": 1.0, "together": 1.0, "affinity": 1.0, "ease": 0.5, "touched": 0.5, "content": 0.1, "popular": 0.5}
_NICHE = _NEW | {"popular": 0.05}
_NEXT = {
    "repeat": 1.0,
    "als": 1.0,
    "together": 0.1,
    "affinity": 0.2,
    "ease": 0.05,
    "touched": 0.2,
    "content": 0.1,
    "popular": 0.05,
}

PLACEMENTS: Final[Mapping[str, Placement]] = MappingProxyType(
    {
        placement.name: placement
        for placement in (
            Placement("complementary", "item", {"complementary": 1.0}, only_complements=True, own="not_yet_due"),
            Placement("bought_together", "item", {"bought_together": 1.0}, own="not_yet_due"),
            Placement("similar", "item", {"similar": 1.0}),
            Placement("for_you", "user", _NEXT, trend_power=0.3, ranker="next"),
            Placement(
                "discover",
                "user",
                _NEW,
                own="drop",
                trend_power=0.5,
                tail_discount=0.15,
                tail_share=0.15,
                ranker="new",
            ),
            Placement(
                "long_tail", "user", _NICHE, pool="tail", own="drop", trend_power=0.5, ranker="new", evidence=("tail",)
            ),
            Placement("time_of_day", "user", _NEXT, trend_power=0.3, hour_power=2.0, ranker="next", evidence=("hour",)),
            Placement("buy_again", "user", {"due": 1.0}, fallback=""),
            Placement("popular", "none", {"popular_by_hour": 1.0}),
        )
    }
)
