"""All moments, by the names of their sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from recsys.moments.found import MomentItems, MomentQuery
from recsys.moments.habits import cart_left, lapsed_favorites, replenishment_due
from recsys.moments.news import new_arrivals, trending
from recsys.moments.occasions import first_order, occasions
from recsys.moments.prices import back_in_stock, price_drop

Moment = Callable[[MomentQuery], MomentItems]

MOMENTS: Final[Mapping[str, Moment]] = MappingProxyType(
    {
        "price_drop": price_drop,
        "back_in_stock": back_in_stock,
        "replenishment_due": replenishment_due,
        "cart_left": cart_left,
        "lapsed_favorites": lapsed_favorites,
        "new_arrivals": new_arrivals,
        "trending": trending,
        "occasion": occasions,
        "first_order": first_order,
    }
)
"""By source: the items that the moment has for a user."""
