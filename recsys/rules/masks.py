"""Filters of placements and requests as masks over the catalogue, for the shopper and the context of a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from recsys.core.errors import FilterError, RequestError
from recsys.core.ids import UNKNOWN
from recsys.core.placements import Placement
from recsys.core.request import Request
from recsys.data.offers import OFFERED_COLUMNS
from recsys.eventlog.identities import user_key
from recsys.filters.cache import FilterCache
from recsys.filters.filter import NOTHING
from recsys.fitting.engine import Engine
from recsys.live.view import LiveView
from recsys.retrieval.query import NO_OVERRIDES, Mask, RuleOverrides

MASK_BYTES: Final = 64 * 2**20


class Masks:
    """Masks of one shop's catalogue, held as long as it does not change. Safe to call from several threads.

    Args:
        max_bytes: memory for held masks; 0 holds none.
    """

    def __init__(self, max_bytes: int = MASK_BYTES) -> None:
        self._cache = FilterCache(max_bytes)

    def of(self, text: str, engine: Engine, user: Mapping[str, Any], context: Mapping[str, Any]) -> Mask:
        """The items of an engine's catalogue that a filter keeps, bool (n_items,).

        One that reads nothing that offers speak of is held once for all regions, stores and channels.

        Raises:
            FilterError: it cannot be read, or a value of the user's or the context's does not fit.
        """
        items = engine.items_table
        reads = self._cache.compiled(text, items.schema).columns
        state = engine.general_state if reads.isdisjoint(OFFERED_COLUMNS) else engine.state
        return self._cache.mask(text, items, state, user, context)

    def reads_user(self, text: str, items: pl.DataFrame) -> bool:
        """Whether a filter reads the shopper's attributes.

        Raises:
            FilterError: it cannot be read.
        """
        return any(name.startswith("user.") for name in self._cache.compiled(text, items.schema).depends_on)


def resolve_overrides(
    engine: Engine, request: Request, placement: Placement, live: LiveView | None, masks: Masks, timezone: str
) -> tuple[RuleOverrides, Mask | None]:
    """What the rules of a placement and the filter of a request say of the rows.

    Args:
        engine: the models.
        request: what is asked.
        placement: the list.
        live: what was learned of shoppers since.
        masks: holds the filters.
        timezone: the shopper's: filters may read `context.local_hour` (0 to 23) and `context.weekday` (1 to 7, Monday
            first) where the request says nothing of them.

    Returns:
        The dials, and the items that the filters keep, None for all.

    Raises:
        FilterError: the request's filter cannot be read, with the character; or a value does not fit it.
        RequestError: a value of the context's does not fit a filter of the placement.
    """
    texts = [text for _, text in placement.filters]
    if not texts and not request.filter:
        return (RuleOverrides(pins=_pins(engine, placement)) if placement.pins else NO_OVERRIDES), None
    table = engine.items_table
    local = datetime.fromtimestamp(request.as_of, ZoneInfo(timezone))
    context = {"local_hour": local.hour, "weekday": local.isoweekday(), **request.context}
    reads_user = any(masks.reads_user(text, table) for text in (*texts, request.filter) if text)
    user = read_attributes(engine, request, live) if reads_user else NOTHING

    def own(text: str) -> Mask:
        try:
            return masks.of(text, engine, user, context)
        except FilterError as error:
            raise RequestError("context", f"placement {placement.name!r}, filter {text!r}: {error}") from None

    kept = own(placement.filter) if placement.filter else None
    if request.filter:
        asked = masks.of(request.filter, engine, user, context)
        kept = asked if kept is None else kept & asked
    overrides = RuleOverrides(
        is_filtered=kept is not None,
        boosts=tuple((own(each.filter), each.factor) for each in placement.boosts),
        promotions=tuple((own(each.filter), each.share) for each in placement.promotions),
        pins=_pins(engine, placement),
    )
    return overrides, kept


def read_attributes(engine: Engine, request: Request, live: LiveView | None) -> Mapping[str, Any]:
    """What is known of the shopper of a request beside events, nulls apart from none; empty for nobody."""
    key = user_key(request.user_id, request.visitor_id, request.session_id)
    if key is None:
        return NOTHING
    if live is not None:
        return live.profiles.of(live.identities.target(key))
    row = engine.users.row(key)
    return engine.users_table.row(row, named=True) if row != UNKNOWN else NOTHING


def apply_overrides(placement: Placement, request: Request) -> Placement:
    """The placement with what the request turns of it."""
    if request.diversity is None and request.tail_share is None:
        return placement
    return replace(
        placement,
        diversity=placement.diversity if request.diversity is None else request.diversity,
        tail_share=placement.tail_share if request.tail_share is None else request.tail_share,
    )


def exclude_rows(engine: Engine, allowed: Mask | None, excluded: tuple[str, ...]) -> Mask:
    """What is allowed, without some items and their variants, bool (n_items,)."""
    kept = np.ones(len(engine.items), np.bool_) if allowed is None else allowed.copy()
    rows = engine.items.rows(excluded)
    rows = rows[rows != UNKNOWN]
    group = engine.catalog.group
    kept[rows] = False
    kept[np.isin(group, group[rows][group[rows] >= 0])] = False
    return kept


def _pins(engine: Engine, placement: Placement) -> tuple[tuple[int, int], ...]:
    rows = engine.items.rows(pin.item_id for pin in placement.pins)
    pinned = ((int(row), pin.rank) for row, pin in zip(rows, placement.pins, strict=True) if row != UNKNOWN)
    return tuple(sorted(pinned, key=lambda each: each[1]))
