"""A request in the terms of the models, and the ranking that answers it: rows instead of ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.data.history import NO_HISTORY, UserHistory

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class RuleOverrides:
    """Rules in rows.

    Attributes:
        is_filtered: whether a filter narrows what may be listed: then the list is filled from all that is left.
        boosts: items and what their scores are multiplied by.
        promotions: items and their share of the places.
        pins: rows and their ranks, ascending by rank.
    """

    is_filtered: bool = False
    boosts: tuple[tuple[Mask, float], ...] = ()
    promotions: tuple[tuple[Mask, float], ...] = ()
    pins: tuple[tuple[int, int], ...] = ()


NO_OVERRIDES: Final = RuleOverrides()


@dataclass(frozen=True, slots=True)
class Query:
    """A request in the models' terms.

    Attributes:
        user_idx: row of the user, -1 for nobody or a stranger.
        history: the user's events up to `now`.
        seeds: int32, rows of the known seed items.
        now: seconds since 1970.
        hour: local hour, 0 to 23.
        bucket: part of the day that `hour` is in.
        limit: how many items are asked for.
        allowed: bool (n_items,), items that may be listed; None for all.
        timezone: the zone that `hour` is in.
        day: ordinal of the local day; 0 where nobody asked.
        who: id of the shopper, "" for nobody.
        n_lookahead: how many items beyond `limit` are to be found.
        overrides: what a placement's rules and the request's filter say of the rows.
    """

    user_idx: int
    now: int
    hour: int
    bucket: int
    limit: int
    history: UserHistory = NO_HISTORY
    seeds: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    allowed: npt.NDArray[np.bool_] | None = None
    timezone: str = "UTC"
    day: int = 0
    who: str = ""
    n_lookahead: int = 0
    overrides: RuleOverrides = NO_OVERRIDES


@dataclass(frozen=True)
class Ranking:
    """What the pipeline found, in rows; best first.

    Attributes:
        item_idx: int32 (n,); those beyond the request's limit are of the pages that follow.
        score: float32 (n,), descending unless a dial of the placement arranges the list.
        source: the source that spoke most for each item.
        fallback_used: whether the fallback served.
        removed: by rule, the rows that it took out of the candidates.
        propensity: float64 (n,), of each item as `RecommendedItem` has it; None where chance had no part.
    """

    item_idx: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]
    source: tuple[str, ...]
    fallback_used: bool
    removed: Mapping[str, npt.NDArray[np.int32]]
    propensity: npt.NDArray[np.float64] | None = None

    def take(self, places: slice | npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Ranking:
        """The same with some of its items."""
        kept = np.arange(len(self.item_idx))[places]
        source = tuple(self.source[place] for place in kept.tolist())
        propensity = None if self.propensity is None else self.propensity[kept]
        return replace(self, item_idx=self.item_idx[kept], score=self.score[kept], source=source, propensity=propensity)
