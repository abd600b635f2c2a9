"""The resolution of a request: every look-up of ids, filters, offers and times, done once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from math import isfinite
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from recsys.core.errors import RequestError
from recsys.core.ids import UNKNOWN
from recsys.core.placements import PLACEMENTS, Placement
from recsys.core.request import MAX_LIMIT, Request
from recsys.core.schema import EVENT_NAMES
from recsys.data.history import UserHistory
from recsys.eventlog.identities import user_key
from recsys.filters.filter import NOTHING
from recsys.filters.scope import NOW_VALUE
from recsys.fitting.engine import Engine
from recsys.live.view import LiveView, find_user
from recsys.pipeline.offer_view import with_offers
from recsys.pipeline.user_segments import UserAttributes
from recsys.retrieval.query import NO_OVERRIDES, Mask, Query, Rows, RuleOverrides
from recsys.retrieval.user_state import UserState
from recsys.rules.masks import Attributes, Masks, exclude_rows, resolve_overrides

NO_BASKET: Final = -1
NO_SETTINGS: Final = (None, None, None)

MINUTE_S: Final = 60
"""`now()` of filters is the minute of the request: a mask is computed once for it."""

VIEWED: Final = EVENT_NAMES.index("view_item")
"""The items of a request for a user count as the latest views."""


def find_placement(request: Request, placements: Mapping[str, Placement] = PLACEMENTS) -> Placement:
    """Returns the placement that a request names, with the settings that the request overrides.

    Raises:
        RequestError: naming the field: there is no such placement, the limit is out of range, or an item is missing.
    """
    placement = placements.get(request.placement)
    if placement is None:
        raise RequestError(
            "placement", f"{request.placement!r} is not a placement: choose from {', '.join(placements)}"
        )
    if request.variant is not None and request.variant.placement is not None:
        placement = request.variant.placement
    if not 1 <= request.limit <= MAX_LIMIT:
        raise RequestError("limit", f"limit is {request.limit}, out of range: choose 1 to {MAX_LIMIT}")
    if placement.anchor == "item" and not request.item_ids:
        raise RequestError("item_ids", f"placement {placement.name!r} wants at least one item")
    for name in ("diversity", "tail_share"):
        value = getattr(request, name)
        if value is not None and not 0 <= value <= 1:
            raise RequestError(name, f"{name} is {value}, out of range: choose 0 to 1")
    _check_max_total_price(placement, request.max_total_price)
    if isinstance(request.filter, str):
        raise RequestError("filter", "the filter is text: compile it with Recommender.filter or recsys.compile_filter")
    overrides = (request.diversity, request.tail_share, request.max_total_price)
    if overrides == NO_SETTINGS:
        return placement
    return replace(
        placement,
        diversity=placement.diversity if request.diversity is None else request.diversity,
        tail_share=placement.tail_share if request.tail_share is None else request.tail_share,
        max_total_price=placement.max_total_price if request.max_total_price is None else request.max_total_price,
    )


def _check_max_total_price(placement: Placement, price: float | None) -> None:
    """Check the largest price of a set; the settings that arrange items are left out by lists of sets."""
    if price is None:
        return
    if placement.lists != "sets":
        raise RequestError("max_total_price", f"placement {placement.name!r} lists no sets: leave max_total_price out")
    if not (price > 0 and isfinite(price)):
        raise RequestError("max_total_price", f"max_total_price is {price}, out of range: choose a price above 0")


def resolve_request(
    engine: Engine,
    request: Request,
    placements: Mapping[str, Placement] = PLACEMENTS,
    live: LiveView | None = None,
    masks: Masks | None = None,
) -> tuple[Placement, UserState]:
    """Returns the placement that a request names, and the resolved request; see `find_placement` and `resolve`."""
    placement = find_placement(request, placements)
    return placement, resolve(engine, request, placement, live, masks)


def resolve(
    engine: Engine,
    request: Request,
    placement: Placement,
    live: LiveView | None = None,
    masks: Masks | None = None,
) -> UserState:
    """Turns ids into rows, filters into masks, and `as_of` into a local hour; no later stage sees the request.

    Args:
        engine: the models, over the catalog without offers.
        request: the request.
        placement: the list that it names; see `find_placement`.
        live: the changes since the bundle was trained; `engine` is then its engine.
        masks: keeps compiled filters and masks; new ones if not given.

    Returns:
        The query, with the user's history and the models over the catalog with the offers that apply.

    Raises:
        FilterError: a value does not fit the filter of the request.
        RequestError: a value of the context does not fit a filter of the placement.
    """
    key = _key(request, live)
    user = find_user(engine, key, request.as_of) if live is None else live.user(key, request.as_of, request.log_seq)

    @cache
    def attributes() -> Mapping[str, Any]:
        return _attributes(engine, key, live, request.as_of)

    if engine.has_offers:
        engine = with_offers(engine, request.context, request.as_of, attributes)
    local = datetime.fromtimestamp(request.as_of, ZoneInfo(user.timezone))
    seeds = engine.item_rows(request.item_ids) if request.item_ids else np.empty(0, np.int32)
    known = seeds[seeds != UNKNOWN]
    missing = dict.fromkeys(id_ for id_, row in zip(request.item_ids, seeds, strict=True) if row == UNKNOWN)
    allowed, overrides = _narrow(engine, request, placement, masks or Masks(0), attributes, local)
    history, n_events = user.history, len(user.history.item_idx)
    if placement.anchor == "user" and len(known):
        history = _with_session(history, known, request.as_of, local.hour)
    query = Query(
        user_idx=user.user_idx,
        now=request.as_of,
        hour=local.hour,
        bucket=int(engine.timeofday.bucket_of_hour[local.hour]),
        limit=request.limit,
        history=history,
        seeds=_distinct_latest(known),
        missing_ids=tuple(missing),
        allowed=allowed,
        timezone=user.timezone,
        day=local.toordinal(),
        user_key=key if key is not None and (user.user_idx != UNKNOWN or n_events) else "",
        n_lookahead=request.n_lookahead,
        overrides=overrides,
        is_open=placement.window is None or placement.window.is_open(local),
        context=request.context,
        attributes=attributes,
        occasions=placement.occasions,
        fields=request.fields,
    )
    return UserState(engine, query)


def _narrow(
    engine: Engine, request: Request, placement: Placement, masks: Masks, attributes: Attributes, local: datetime
) -> tuple[Mask | None, RuleOverrides]:
    """The items that may be listed, and the rules of the placement in rows."""
    allowed, overrides = engine.listable[placement.pool], NO_OVERRIDES
    if placement.has_rules or request.filter is not None:
        now = datetime.fromtimestamp(request.as_of // MINUTE_S * MINUTE_S, UTC)
        context = {"local_hour": local.hour, "weekday": local.isoweekday(), **request.context, NOW_VALUE: now}
        overrides, kept = resolve_overrides(engine, placement, request.filter, masks, attributes, context)
        if kept is not None:
            allowed = kept if allowed is None else kept & allowed
    if request.exclude:
        allowed = exclude_rows(engine, allowed, request.exclude)
    return allowed, overrides


def user_attributes(engine: Engine, request: Request, live: LiveView | None) -> Mapping[str, Any]:
    """Returns the attributes of a request's user, changes since the bundle included; empty for an unknown one."""
    return _attributes(engine, _key(request, live), live, request.as_of)


def _key(request: Request, live: LiveView | None) -> str | None:
    """The key of the user's events, where a chain of merges ends; None for an anonymous user."""
    key = user_key(request.user_id, request.visitor_id, request.session_id)
    return key if live is None or key is None else live.identities.target(key)


def _attributes(engine: Engine, key: str | None, live: LiveView | None, now: int) -> Mapping[str, Any]:
    if key is None:
        return NOTHING
    if live is not None:
        return UserAttributes(live.profiles.of(key), engine, key, now, live)
    row = engine.users.row(key)
    columns = engine.users_table.row(row, named=True) if row != UNKNOWN else NOTHING
    return UserAttributes(columns, engine, key, now)


def _distinct_latest(rows: Rows) -> Rows:
    """The distinct rows, each at its latest position."""
    if len(rows) < 2:
        return rows
    return rows[np.sort(len(rows) - 1 - np.unique(rows[::-1], return_index=True)[1])]


def _with_session(history: UserHistory, rows: Rows, now: int, hour: int) -> UserHistory:
    """A history that ends with views of some items, a second apart, the last of them now."""
    n = len(rows)
    latest = int(history.timestamp[-1]) if len(history) else now - n
    session = UserHistory(
        item_idx=rows,
        timestamp=np.maximum(now - np.arange(n, dtype=np.int64)[::-1], latest),
        event_type=np.full(n, VIEWED, np.int8),
        basket_idx=np.full(n, NO_BASKET, np.int32),
        hour=np.full(n, hour, np.int8),
        rating_weight=np.ones(n, np.float32),
        price=np.zeros(n, np.float32),
    )
    if not len(history):
        return session
    columns = zip(vars(history).values(), vars(session).values(), strict=True)
    return UserHistory(*(np.concatenate(column) for column in columns))
