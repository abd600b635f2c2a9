"""A request and its answer, as the library knows them: no HTTP, no wall clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.data.history import NO_HISTORY, UserHistory
from recsys.rules.dials import NO_DIALS, Dials

MAX_LIMIT = 100
DEFAULT_LIMIT = 20
NO_CONTEXT: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asks for.

    Attributes:
        placement: name of the list.
        as_of: seconds since 1970: the moment that the answer is for; no later event of the user's is seen.
        limit: how many items, 1 to `MAX_LIMIT`.
        user_id: whom the list is for, if anybody.
        item_ids: what is looked at, or lies in the cart.
        visitor_id: whom it is for where there was no log-in; counts where `user_id` is not given.
        session_id: whom it is for where nothing else is known; counts where neither of the others is given.
        filter: which items may be listed, beside what the placement says; "" for all.
        context: what filters may read as `context.…`.
        diversity: instead of the placement's.
        tail_share: instead of the placement's.
        n_more: how many items after those of the list are told too, in `rest`, for the pages that follow.
        exclude: items that are not to be listed, nor variants of theirs.
        explain: whether the answer tells the scores by source and what a ranker saw.
    """

    placement: str
    as_of: int
    limit: int = DEFAULT_LIMIT
    user_id: str | None = None
    item_ids: tuple[str, ...] = ()
    visitor_id: str | None = None
    session_id: str | None = None
    filter: str = ""
    context: Mapping[str, Any] = field(default_factory=lambda: NO_CONTEXT)
    diversity: float | None = None
    tail_share: float | None = None
    n_more: int = 0
    exclude: tuple[str, ...] = ()
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an item is in the list, from the evidence that put it there.

    Attributes:
        code: for machines, such as `bought_together`.
        text: for people, in English.
        values: the figures that the texts tell.
        text_zh: the same in Chinese.
    """

    code: str
    text: str
    values: dict[str, float | int | str] = field(default_factory=dict)
    text_zh: str = ""


@dataclass(frozen=True, slots=True)
class RecommendedItem:
    """One item of an answer.

    Attributes:
        item_id: the shop's own id.
        score: what the list is ordered by; comparable within one answer only.
        rank: 1 for the first.
        source: the source that spoke most for it.
        reasons: evidence, the strongest first; at least one.
        propensity: how likely it was to be drawn for its place, what was drawn before it given, in (0, 1]; below 1
            only where the placement has `rotation`.
    """

    item_id: str
    score: float
    rank: int
    source: str
    reasons: tuple[Reason, ...]
    propensity: float = 1.0


@dataclass(frozen=True, slots=True)
class Recommendations:
    """An answer.

    Attributes:
        placement: name of the list.
        model_version: the bundle that gave it.
        items: best first; may be empty.
        fallback_used: whether the list is the fallback's, for want of anything known of the user or item.
        missing_ids: seeds that the bundle does not know.
        head_share: share of the items that belong to the head that makes half of all purchases.
        local_hour: the hour of `as_of` where the user lives, 0 to 23.
        timezone: the zone that `local_hour` is in.
    """

    placement: str
    model_version: str
    items: tuple[RecommendedItem, ...]
    fallback_used: bool
    missing_ids: tuple[str, ...]
    head_share: float
    local_hour: int
    timezone: str


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
        n_more: how many items beyond `limit` are to be found.
        dials: what a placement's rules and the request's filter say of the rows.
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
    n_more: int = 0
    dials: Dials = NO_DIALS


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
