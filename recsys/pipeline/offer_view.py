"""The catalog with offers: prices and availability in the region, store and channel of a request at one moment."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from recsys.data.offers import NOT_STATED, OfferedColumns, OfferScope, OffersKey
from recsys.fitting.engine import Engine
from recsys.live.growing_array import GrowingArray
from recsys.live.live_table import live_table
from recsys.rules.masks import Attributes

NO_SCOPE: Final[OffersKey] = ((), ())
"""Where no offer applies."""

SHARED: Final = (
    "items",
    "n_items",
    "users",
    "titles",
    "is_tail",
    "share_in_type",
    "by_popularity",
    "sales_by_bucket",
    "created_at_s",
    "newest",
    "user_timezones",
    "is_opted_out",
    "general_state",
    "past_terms",
    "catalog_price",
    "tag_masks",
)
"""Properties of an engine that do not depend on offers."""


def with_offers(engine: Engine, context: Mapping[str, Any], as_of: int, attributes: Attributes) -> Engine:
    """Returns the engine over the catalog with the prices and availability of the offers that apply.

    Args:
        engine: over the catalog without offers.
        context: of the request; names region, store and channel.
        as_of: seconds since 1970 UTC.
        attributes: of the user, whose region counts where the context has none.

    Returns:
        The engine itself where no offer applies.
    """
    key = offer_context_key(engine, context, as_of, attributes)
    if key == NO_SCOPE:
        return engine
    found = engine.offered.get(key)
    if found is None:
        found = OfferedCatalog(key)
        engine.offered.put(key, found)
    return found.over(engine, as_of)


def offer_context_key(engine: Engine, context: Mapping[str, Any], as_of: int, attributes: Attributes) -> OffersKey:
    """Returns the key of the offers that apply; `NO_SCOPE` for none. Arguments as for `with_offers`."""
    if not engine.has_offers:
        return NO_SCOPE
    own = attributes().get("region") if engine.offers.names_regions and context.get("region") is None else None
    return engine.offers.context_key(OfferScope.of(context, own), as_of)


class OfferedCatalog:
    """The catalog with the offers of one context, kept up to date with changes of items.

    Args:
        key: the offers that apply.
    """

    def __init__(self, key: OffersKey) -> None:
        self._key = key
        self._price = GrowingArray(np.empty(0, np.float64), np.nan)
        self._price_single = GrowingArray(np.empty(0, np.float32), np.nan)
        self._available = GrowingArray(np.empty(0, np.bool_), True)
        self._is_stated = GrowingArray(np.empty(0, np.bool_), False)
        self._position, self._state = -1, object()
        self._over: weakref.ref[Engine] | None = None  # the engine has this object: the other way would be a cycle
        self._view: Engine | None = None
        self._lock = threading.Lock()

    def over(self, engine: Engine, as_of: int) -> Engine:
        """Return the engine with the prices and availability of the offers.

        Args:
            engine: the models over the current catalog, without offers.
            as_of: a moment at which the offers of the key apply, seconds since 1970.
        """
        table = live_table(engine.items_table)
        position = 0 if table is None else table.position
        with self._lock:
            view, over = self._view, self._over
            if view is None or over is None or over() is not engine or self._position != position:
                self._apply(engine, as_of)
                self._over, self._position = weakref.ref(engine), position
                view = self._view = self._composed(engine)
            return view

    def _apply(self, engine: Engine, as_of: int) -> None:
        """Set the values of all items, or of those that have changed."""
        table, is_first = live_table(engine.items_table), self._position < 0
        if is_first or table is None:
            rows, prices = np.arange(engine.n_items), engine.items_table["price"]
        else:
            rows = table.changed_since(self._position)
            prices = table.take(rows, ["price"])["price"]
        for array in (self._price, self._price_single, self._available, self._is_stated):
            array.grow(engine.n_items)
        self._price[rows] = prices.fill_null(float("nan")).to_numpy()
        self._available[rows], self._is_stated[rows] = engine.catalog.available[rows], False
        for _, terms in engine.offers.applicable_terms(self._key, as_of, None if is_first else rows):
            priced, stated = ~np.isnan(terms.price), terms.available != NOT_STATED
            # Of several entries for one item numpy keeps the last, which has precedence.
            self._price[terms.item_idx[priced]] = terms.price[priced]
            self._available[terms.item_idx[stated]] = terms.available[stated] == 1
            self._is_stated[terms.item_idx[stated]] = True
        with np.errstate(over="ignore"):
            self._price_single[rows] = self._price.values[rows].astype(np.float32)

    def _composed(self, engine: Engine) -> Engine:
        table, live = engine.items_table, live_table(engine.items_table)
        offered = OfferedColumns(self._price.values, self._available.values, self._is_stated.values)
        frame = table.with_columns(offered.columns(slice(None)).values()) if live is None else live.with_offers(offered)
        catalog = replace(engine.catalog, price=self._price_single.values, available=self._available.values)
        vars(catalog)["has_groups"] = engine.catalog.has_groups
        view = replace(engine, items_table=frame, catalog=catalog, offers=replace(engine.offers, applied=self._key))
        return view.with_computed(state=self._state, **{name: getattr(engine, name) for name in SHARED})
