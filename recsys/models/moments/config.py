"""Settings of the moment lists."""

from __future__ import annotations

from dataclasses import dataclass, field

from recsys.core.config.ranges import NonNegativeFloat, PositiveFloat, PositiveInt, Share
from recsys.models.moments.replenishment import ReplenishmentConfig


@dataclass(frozen=True)
class MomentsConfig:
    """Settings of the moment lists.

    Attributes:
        interest_days: views, wishes and additions to the cart within this number of days are interest in an item.
        bought_days: the same for purchases.
        min_price_drop: smallest share by which a price must be below the one that the user saw.
        news_days: days for which a lower price, or an item that is back in stock, is news.
        cart_quiet_hours: hours without an event of the cart after which it counts as left behind.
        cart_days: days for which a cart that was left behind is of interest.
        new_days: largest age in days of new arrivals.
        series_columns: columns of the shop's own that name a series or style of items.
        favorite_orders: orders with an item that make it a favorite.
        lapsed_days: days without a purchase after which a favorite may have lapsed.
        min_trend: smallest ratio of an item's recent share of sales to its usual one that is a trend.
    """

    interest_days: PositiveFloat = 30.0
    bought_days: PositiveFloat = 180.0
    min_price_drop: Share = 0.05
    news_days: PositiveFloat = 14.0
    cart_quiet_hours: NonNegativeFloat = 1.0
    cart_days: PositiveFloat = 14.0
    new_days: PositiveFloat = 30.0
    series_columns: tuple[str, ...] = ("series", "style")
    favorite_orders: PositiveInt = 3
    lapsed_days: PositiveFloat = 30.0
    min_trend: PositiveFloat = 1.3
    replenishment: ReplenishmentConfig = field(default_factory=ReplenishmentConfig)
