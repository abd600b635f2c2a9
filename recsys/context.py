"""A request and its answer, as the library knows them: no HTTP, no wall clock."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from recsys.history import NO_HISTORY, UserHistory

MAX_LIMIT = 100
DEFAULT_LIMIT = 20


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
    """

    placement: str
    as_of: int
    limit: int = DEFAULT_LIMIT
    user_id: str | None = None
    item_ids: tuple[str, ...] = ()
    visitor_id: str | None = None
    session_id: str | None = None


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
    """

    item_id: str
    score: float
    rank: int
    source: str
    reasons: tuple[Reason, ...]


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
