"""Items that cost less, or can be bought again, since the user showed interest."""

from __future__ import annotations

import numpy as np

from recsys.core.schema import EVENT_NAMES
from recsys.data.dataset import DAY_S
from recsys.moments.found import NEVER, MomentItems, MomentQuery, Values
from recsys.moments.interest import latest_interest
from recsys.moments.terms import offer_end, price_at, price_since, returned_at


def price_drop(query: MomentQuery) -> MomentItems:
    """Items whose price is now below that of the user's latest view, wish or purchase.

    The reference is the price of that event, else the price known for its moment (see `price_at`); without one there is
    no message. The score is `weight · drop`, with the weight of `Interest`. The reason expires with the offer of the
    price, else `news_days` after the change, if one of them is known.
    """
    engine, config = query.engine, query.config
    found = latest_interest(query.history, query.now, config)
    price = engine.catalog.price[found.item_idx].astype(np.float64)
    reference = found.price.astype(np.float64)
    for n in np.flatnonzero((reference <= 0) & (price > 0)).tolist():
        reference[n] = price_at(engine, int(found.item_idx[n]), int(found.at[n]))
    with np.errstate(divide="ignore", invalid="ignore"):
        drop = np.where((reference > 0) & (price > 0), 1 - price / reference, 0)
    is_lower = (drop >= config.min_price_drop) & (drop > 0)
    found, price, reference, drop = found.take(is_lower), price[is_lower], reference[is_lower], drop[is_lower]
    changed = np.array([price_since(engine, row) for row in found.item_idx.tolist()], np.float64)
    ends = np.array([offer_end(engine, row, query.now) for row in found.item_idx.tolist()], np.float64)
    until = np.where(ends > 0, ends, np.where(changed > 0, changed + config.news_days * DAY_S, NEVER))
    is_news = (until == NEVER) | (until > query.now)
    values: Values = {
        "price": np.round(price, 2),
        "reference_price": np.round(reference, 2),
        "drop": np.round(drop, 3),
        "event": np.array(EVENT_NAMES, np.object_)[found.event_type],
        "last_days_ago": (query.now - found.at) // DAY_S,
    }
    items = MomentItems.of(found.item_idx, found.weight * drop, "price_drop", values, expires_at=until)
    return items.take(is_news).best(query.allowed)


def back_in_stock(query: MomentQuery) -> MomentItems:
    """Items that can be bought again since the user's latest view, wish or purchase; see `returned_at`.

    The reason expires `news_days` after the return.
    """
    engine, config = query.engine, query.config
    found = latest_interest(query.history, query.now, config)
    found = found.take(engine.catalog.available[found.item_idx])
    pairs = zip(found.item_idx.tolist(), found.at.tolist(), strict=True)
    returned = np.array([returned_at(engine, row, at, query.now) for row, at in pairs], np.float64)
    until = returned + config.news_days * DAY_S
    is_news = (returned > found.at) & (returned <= query.now) & (until > query.now)
    found, returned, until = found.take(is_news), returned[is_news], until[is_news]
    values: Values = {
        "event": np.array(EVENT_NAMES, np.object_)[found.event_type],
        "last_days_ago": (query.now - found.at) // DAY_S,
        "returned_days_ago": (query.now - returned.astype(np.int64)) // DAY_S,
    }
    return MomentItems.of(found.item_idx, found.weight, "back_in_stock", values, expires_at=until).best(query.allowed)
