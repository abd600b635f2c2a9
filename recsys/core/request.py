"""A request and its answer, as the library knows them: no HTTP, no wall clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

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
        n_lookahead: how many items after those of the list are told too, in `rest`, for the pages that follow.
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
    n_lookahead: int = 0
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
