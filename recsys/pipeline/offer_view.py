"""The catalog with offers: prices and availability in the region, store and channel of a request at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import polars as pl

from recsys.data.offers import NOT_STATED, OfferContextKey, OfferScope
from recsys.fitting.engine import Engine
from recsys.rules.masks import Attributes

NO_SCOPE: Final[tuple[OfferContextKey, OfferContextKey]] = ((), ())
"""Where no offer applies."""

SHARED: Final = (
    "items",
    "n_items",
    "users",
    "titles",
    "is_tail",
    "share_in_type",
    "by_popularity",
    "user_timezones",
    "is_opted_out",
    "general_state",
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
        found = _with_offers(engine, key, as_of)
        engine.offered.put(key, found)
    return found


def offer_context_key(
    engine: Engine, context: Mapping[str, Any], as_of: int, attributes: Attributes
) -> tuple[OfferContextKey, OfferContextKey]:
    """Returns the key of the offers that apply; `NO_SCOPE` for none. Arguments as for `with_offers`."""
    if not engine.has_offers:
        return NO_SCOPE
    own = attributes().get("region") if engine.offers.names_regions and context.get("region") is None else None
    return engine.offers.context_key(OfferScope.of(context, own), as_of)


def _with_offers(engine: Engine, standing: tuple[OfferContextKey, OfferContextKey], as_of: int) -> Engine:
    table, catalog = engine.items_table, engine.catalog
    price = table["price"].fill_null(float("nan")).to_numpy(writable=True)
    available, is_said = catalog.available.copy(), np.zeros(len(catalog.available), np.bool_)
    for _, terms in engine.offers.applicable_terms(standing, as_of):
        priced, said = ~np.isnan(terms.price), terms.available != NOT_STATED
        # Of several entries for one item numpy keeps the last, which has precedence.
        price[terms.item_idx[priced]] = terms.price[priced]
        available[terms.item_idx[said]] = terms.available[said] == 1
        is_said[terms.item_idx[said]] = True
    in_place = pl.when(pl.Series(is_said)).then(pl.Series(available)).otherwise(pl.col("available"))
    columns = (pl.Series("price", price, nan_to_null=True), in_place.alias("available"))
    view = replace(
        engine,
        items_table=table.with_columns(columns),
        catalog=replace(catalog, price=price.astype(np.float32), available=available),
        offers=replace(engine.offers, applied=standing),
    )
    return view.with_computed(**{name: getattr(engine, name) for name in SHARED})
