"""Filters of placements and requests as masks over the catalog, for the user and the context of a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from recsys.core.errors import FilterError, RequestError
from recsys.core.ids import UNKNOWN
from recsys.core.placements import Placement
from recsys.core.request import CompiledFilter
from recsys.data.offers import OFFERED_COLUMNS
from recsys.filters.cache import FilterCache
from recsys.filters.filter import NOTHING, Filter
from recsys.fitting.engine import Engine
from recsys.retrieval.query import NO_OVERRIDES, Mask, RuleOverrides

MASK_BYTES: Final = 64 * 2**20

Attributes = Callable[[], Mapping[str, Any]]
"""Returns the attributes of a user; called only if a filter reads them."""


class Masks:
    """Compiled filters and masks of one shop's catalog, kept until it changes. Safe to call from several threads.

    Args:
        max_bytes: memory for masks; 0 keeps none.
    """

    def __init__(self, max_bytes: int = MASK_BYTES) -> None:
        self._cache = FilterCache(max_bytes)

    def compiled(self, text: str, engine: Engine) -> Filter:
        """Returns a filter, compiled for the columns of an engine's catalog.

        Raises:
            FilterError: it cannot be parsed; the message gives the position.
        """
        return self._cache.compiled(text, engine.items_table.schema)

    def of(self, text: str, engine: Engine, user: Mapping[str, Any], context: Mapping[str, Any]) -> Mask:
        """Returns the items of an engine's catalog that a filter keeps, bool (n_items,).

        The mask of a filter that reads no column of offers is shared by all regions, stores and channels.

        Raises:
            FilterError: the filter cannot be parsed, or a value of the user or the context does not fit.
        """
        reads = self.compiled(text, engine).columns
        state = engine.general_state if reads.isdisjoint(OFFERED_COLUMNS) else engine.state
        return self._cache.mask(text, engine.items_table, state, user, context)


def resolve_overrides(
    engine: Engine,
    placement: Placement,
    requested: CompiledFilter | None,
    masks: Masks,
    attributes: Attributes,
    context: Mapping[str, Any],
) -> tuple[RuleOverrides, Mask | None]:
    """Turns the rules of a placement and the filter of a request into rows.

    Args:
        engine: the models.
        placement: the list.
        requested: the filter of the request.
        masks: keeps compiled filters and masks.
        attributes: of the user.
        context: values that filters may read as `context.…`.

    Returns:
        The overrides, and the items that the filters keep, None for all.

    Raises:
        FilterError: a value does not fit the filter of the request.
        RequestError: a value of the context does not fit a filter of the placement.
    """
    pins = pinned_rows(engine, placement)
    texts = [text for _, text in placement.filters]
    if not texts and requested is None:
        return (RuleOverrides(pins=pins) if pins else NO_OVERRIDES), None
    asked = [] if requested is None else [requested.text]
    read = set().union(*(masks.compiled(text, engine).depends_on for text in (*texts, *asked)))
    user = attributes() if any(name.startswith("user.") for name in read) else NOTHING

    def own(text: str) -> Mask:
        try:
            return masks.of(text, engine, user, context)
        except FilterError as error:
            raise RequestError("context", f"placement {placement.name!r}, filter {text!r}: {error}") from None

    kept = own(placement.filter) if placement.filter else None
    for text in asked:
        mask = masks.of(text, engine, user, context)
        kept = mask if kept is None else kept & mask
    overrides = RuleOverrides(
        is_filtered=kept is not None,
        boosts=tuple((own(each.filter), each.factor) for each in placement.boosts),
        promotions=tuple((own(each.filter), each.share) for each in placement.promotions),
        pins=pins,
    )
    return overrides, kept


def pinned_rows(engine: Engine, placement: Placement) -> tuple[tuple[int, int], ...]:
    """Returns the rows and ranks of a placement's pins, ascending by rank; unknown items are left out."""
    rows = engine.item_rows(pin.item_id for pin in placement.pins)
    pinned = ((int(row), pin.rank) for row, pin in zip(rows, placement.pins, strict=True) if row != UNKNOWN)
    return tuple(sorted(pinned, key=lambda each: each[1]))


def exclude_rows(engine: Engine, allowed: Mask | None, excluded: tuple[str, ...]) -> Mask:
    """Returns the allowed items without some items and their variants, bool (n_items,)."""
    kept = np.ones(engine.n_items, np.bool_) if allowed is None else allowed.copy()
    rows = engine.item_rows(excluded)
    rows = rows[rows != UNKNOWN]
    kept[rows] = False
    if engine.catalog.has_groups:
        group = engine.catalog.group
        kept[np.isin(group, group[rows][group[rows] >= 0])] = False
    return kept
