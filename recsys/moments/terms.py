"""The prices and availability that are known of items at earlier moments."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.data.offers import ALWAYS, OfferTerms
from recsys.fitting.engine import Engine

UNKNOWN: Final = 0.0
"""A price, or a moment, that is not known."""

RESTOCKED_AT: Final = "restocked_at"
"""Column of the shop's own: when an item was last back in stock."""


def price_at(engine: Engine, row: int, at: int) -> float:
    """Return the price of an item at an earlier moment: that of the offer, else that of the catalog.

    An offer is one of the region, store and channel of the request. A price of the catalog counts from when it is known
    to be true: see `Engine.known_from`; later changes are those of the live log.

    Args:
        engine: over the catalog with the offers that apply.
        row: of the item.
        at: seconds since 1970.

    Returns:
        The price, `UNKNOWN` where none is known for that moment.
    """
    stated = [terms.price[~np.isnan(terms.price)] for terms in _offers(engine, row, at)]
    offered = np.concatenate([np.empty(0), *stated])
    if len(offered):
        return float(offered[-1])
    price, since = float(engine.catalog_price[row]), UNKNOWN
    past = engine.past_terms.get(row, [])
    for terms in reversed(past):
        if terms.until <= at:
            break
        price, since = terms.price, terms.since
    else:
        since = since if past else engine.known_from(row)
    return price if price > 0 and at >= since and not math.isnan(price) else UNKNOWN


def price_since(engine: Engine, row: int) -> float:
    """Return when the price of an item in the catalog last changed, `UNKNOWN` if no change is known."""
    price = float(engine.catalog_price[row])
    for terms in reversed(engine.past_terms.get(row, [])):
        if terms.price != price:
            return terms.until
    return UNKNOWN


def offer_end(engine: Engine, row: int, now: int) -> float:
    """Return when the offer of an item's current price ends, `UNKNOWN` for an open end or no offer."""
    end = UNKNOWN
    for terms in _offers(engine, row, now):
        stated = terms.end[~np.isnan(terms.price)]
        end = float(stated[-1]) if len(stated) else end
    return UNKNOWN if end >= ALWAYS.max else end


def returned_at(engine: Engine, row: int, seen_at: int, now: int) -> float:
    """Return when an item that can be bought now was last back in stock, `UNKNOWN` if it was not, as far as is known.

    Known are the changes of the live log, the offer that made it unavailable at an earlier moment and has ended, and
    the shop's own column `restocked_at`.

    Args:
        engine: over the catalog with the offers that apply.
        row: of the item.
        seen_at: the earlier moment, seconds since 1970.
        now: seconds since 1970.
    """
    found = max(UNKNOWN, _restocked_at(engine, row))
    past = engine.past_terms.get(row, [])
    for n, terms in enumerate(past):
        if terms.available is False and (n + 1 == len(past) or past[n + 1].available):
            found = max(found, terms.until)
    for offered in _offers(engine, row, seen_at):
        ended = offered.end[(offered.available == 0) & (offered.end <= now)]
        found = max(found, float(ended.max(initial=0)))
    return found


def _restocked_at(engine: Engine, row: int) -> float:
    if RESTOCKED_AT not in engine.items_table.columns:
        return UNKNOWN
    value = engine.items_table[np.array([row])][RESTOCKED_AT][0]
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return UNKNOWN
    return value.timestamp() if isinstance(value, datetime) and value.tzinfo is not None else UNKNOWN


def _offers(engine: Engine, row: int, at: int) -> Iterator[OfferTerms]:
    """Yield the terms of an item's offers at a moment, in ascending precedence."""
    offers, rows = engine.offers, np.array([row], np.int64)
    return (terms for _, terms in offers.applicable_terms(offers.applied, at, rows)) if len(offers) else iter(())


def known_columns(engine: Engine, rows: npt.NDArray[np.integer], names: tuple[str, ...]) -> dict[str, list[object]]:
    """Return columns of some rows of the items table as lists; names that the table does not have are left out."""
    frame = engine.items_table[rows] if len(rows) else engine.items_table[:0]
    return {name: frame[name].to_list() for name in names if name in frame.columns}
