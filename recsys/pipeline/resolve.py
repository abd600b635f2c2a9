"""What a request means: ids turned into rows, filters into masks, and its moment into the shopper's local hour."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from recsys.core.errors import RequestError
from recsys.core.placements import PLACEMENTS, Placement
from recsys.core.request import MAX_LIMIT, Request
from recsys.core.schema import EVENT_NAMES
from recsys.data.history import UserHistory
from recsys.eventlog.identities import user_key
from recsys.fitting.engine import Engine
from recsys.live.view import LiveView, ResolvedUser, find_user
from recsys.retrieval.query import Query
from recsys.rules.masks import Masks, apply_overrides, exclude_rows, resolve_overrides

VIEWED: Final = EVENT_NAMES.index("view_item")
"""What items of a request are to a shopper of whom nothing else is known: things just looked at."""


def find_placement(request: Request, placements: Mapping[str, Placement] = PLACEMENTS) -> Placement:
    """The placement that a request names, and whose needs it meets, with what the request turns of it."""
    placement = placements.get(request.placement)
    if placement is None:
        raise RequestError(
            "placement", f"{request.placement!r} is not a placement: choose from {', '.join(placements)}"
        )
    if not 1 <= request.limit <= MAX_LIMIT:
        raise RequestError("limit", f"{request.limit} is out of range: choose 1 to {MAX_LIMIT}")
    if placement.anchor == "item" and not request.item_ids:
        raise RequestError("item_ids", f"placement {placement.name!r} wants at least one item")
    return apply_overrides(placement, request)


def resolve(
    engine: Engine,
    request: Request,
    placement: Placement,
    live: LiveView | None = None,
    masks: Masks | None = None,
) -> tuple[Query, tuple[str, ...]]:
    """Turn ids into rows, filters into masks and `as_of` into the local hour; the second part are unknown seeds."""
    key = user_key(request.user_id, request.visitor_id, request.session_id)
    if live is None or key is None:
        person = find_user(engine, key, request.as_of)
    else:
        key = live.identities.target(key)
        person = live.user(key, request.as_of)
    seeds = engine.items.rows(request.item_ids)
    known = seeds[seeds >= 0]
    local = datetime.fromtimestamp(request.as_of, ZoneInfo(person.timezone))
    allowed = engine.listable[placement.pool]
    overrides, kept = resolve_overrides(engine, request, placement, live, masks or Masks(0), person.timezone)
    if kept is not None:
        allowed = kept if allowed is None else kept & allowed
    if request.exclude:
        allowed = exclude_rows(engine, allowed, request.exclude)
    history = person.history
    if placement.anchor == "user" and len(known) and not len(history):
        history = _session(known, request.as_of, local.hour)
    query = Query(
        user_idx=person.user_idx,
        now=request.as_of,
        hour=local.hour,
        bucket=int(engine.timeofday.bucket_of_hour[local.hour]),
        limit=request.limit,
        history=history,
        seeds=known,
        allowed=allowed,
        timezone=person.timezone,
        day=local.toordinal(),
        who=_who(key, person),
        n_lookahead=request.n_lookahead,
        overrides=overrides,
    )
    return query, tuple(id_ for id_, row in zip(request.item_ids, seeds, strict=True) if row < 0)


def _session(rows: npt.NDArray[np.int32], now: int, hour: int) -> UserHistory:
    """A history of things just looked at, for a shopper of whom nothing else is known."""
    n = len(rows)
    return UserHistory(
        item_idx=rows,
        timestamp=np.full(n, now, np.int64),
        kind=np.full(n, VIEWED, np.int8),
        basket_idx=np.full(n, -1, np.int32),
        hour=np.full(n, hour, np.int8),
        rating_weight=np.ones(n, np.float32),
    )


def _who(key: str | None, person: ResolvedUser) -> str:
    """Whom the day's chance is for; whoever wants no personal lists is nobody."""
    return "" if key is None or (person.user_idx < 0 and not len(person.history)) else key
