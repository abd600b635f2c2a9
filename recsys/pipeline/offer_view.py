"""The catalogue as a request is offered it: prices and availability of its region, store, channel and moment."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from recsys.core.request import Request
from recsys.data.offers import NO_NAMED_CONTEXT, OfferContextKey, OfferScope
from recsys.fitting.engine import Engine
from recsys.live.view import LiveView
from recsys.rules.masks import read_attributes

NO_SCOPE: Final[tuple[OfferContextKey, OfferContextKey]] = ((), ())
"""Where no offer applies."""

SHARED: Final = (
    "items",
    "users",
    "titles",
    "is_tail",
    "share_in_type",
    "by_popularity",
    "user_timezones",
    "is_opted_out",
    "general_state",
)
"""What an engine works out of things that no offer speaks of."""


def with_offers(engine: Engine, request: Request, live: LiveView | None = None) -> Engine:
    """An engine whose catalogue says what offers say of the items, as the request is to see them.

    Args:
        engine: over the catalogue in general.
        request: its context names region, store and channel; the shopper's own region counts where it names none.
        live: what was learned of shoppers since.

    Returns:
        The engine itself where no offer applies.
    """
    standing = offer_context_key(engine, request, live)
    if standing == NO_SCOPE:
        return engine
    found = engine.offered.get(standing)
    if found is None:
        found = _with_offers(engine, standing, request.as_of)
        engine.offered.put(standing, found)
    return found


def offer_context_key(
    engine: Engine, request: Request, live: LiveView | None = None
) -> tuple[OfferContextKey, OfferContextKey]:
    """What decides which offers a request sees; `NO_SCOPE` for none."""
    if not len(engine.offers):
        return NO_SCOPE
    own = None
    if engine.offers.names_regions and request.context.get("region") is None:
        own = read_attributes(engine, request, live).get("region")
    return engine.offers.standing(OfferScope.of(request.context, own), request.as_of)


def _with_offers(engine: Engine, standing: tuple[OfferContextKey, OfferContextKey], as_of: int) -> Engine:
    table, catalog = engine.items_table, engine.catalog
    price = table["price"].fill_null(float("nan")).to_numpy(writable=True)
    available, is_said = catalog.available.copy(), np.zeros(len(catalog.available), np.bool_)
    for _, terms in engine.offers.applicable_terms(standing, as_of):
        priced, said = ~np.isnan(terms.price), terms.available != NO_NAMED_CONTEXT
        # Of entries for one item numpy keeps the last, which is the one that counts.
        price[terms.item_idx[priced]] = terms.price[priced]
        available[terms.item_idx[said]] = terms.available[said] == 1
        is_said[terms.item_idx[said]] = True
    in_place = pl.when(pl.Series(is_said)).then(pl.Series(available)).otherwise(pl.col("available"))
    columns = (pl.Series("price", price, nan_to_null=True), in_place.alias("available"))
    view = replace(
        engine,
        items_table=table.with_columns(columns),
        catalog=replace(catalog, price=price.astype(np.float32), available=available),
        offers=replace(engine.offers, taken=standing),
    )
    return view.with_computed(**{name: getattr(engine, name) for name in SHARED})
