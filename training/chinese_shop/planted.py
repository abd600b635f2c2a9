"""What is planted in the generated shop, with sizes; docs/demo-shops.md explains each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

TIMEZONE: Final = "Asia/Shanghai"
_ZONE: Final = ZoneInfo(TIMEZONE)
START: Final = int(datetime(2025, 5, 5, tzinfo=_ZONE).timestamp())
N_WEEKS: Final = 60
WEEK_S: Final = 604_800
DAY_S: Final = 86_400
END: Final = START + N_WEEKS * WEEK_S
"""Monday 29 June 2026, seconds since 1970."""

QIXI: Final = int(datetime(2025, 8, 29, tzinfo=_ZONE).timestamp())
MID_AUTUMN: Final = int(datetime(2025, 10, 6, tzinfo=_ZONE).timestamp())
DOUBLE_11: Final = int(datetime(2025, 11, 11, tzinfo=_ZONE).timestamp())
HEATING: Final = (
    int(datetime(2025, 11, 15, tzinfo=_ZONE).timestamp()),
    int(datetime(2026, 2, 15, tzinfo=_ZONE).timestamp()),
)
DAMP: Final = (
    int(datetime(2026, 3, 1, tzinfo=_ZONE).timestamp()),
    int(datetime(2026, 4, 30, tzinfo=_ZONE).timestamp()),
)
"""Festivals, the heating season and 回南天, seconds since 1970."""


@dataclass(frozen=True)
class Planted:
    """The sizes of the effects; probabilities unless stated otherwise.

    Attributes:
        phone_owners: users who buy a phone, once.
        kit: phones that are bought with their own case and film in one order.
        case_later: other phones whose own case follows 1 to 30 days later.
        parents: users with a child, born between 24 months before the first day and the last day.
        milk_days, milk_spread_days: interval of milk powder, and its standard deviation, in days.
        nappy_days, nappy_spread_days: the same of nappies.
        brand_loyalty: purchases of milk powder and nappies of the user's own brand.
        wipes: orders of nappies with wipes of the same brand.
        leather_fans: users who buy leathercraft; nobody else does.
        own_time: orders within an hour of the user's habitual hour.
        in_part: food of an order in the morning, or at night, that is of that part of the day.
        favourites: food and household goods that are one of the user's three favourites.
        on_promotion: goods whose price is 20 % lower in a week.
        price_drop: factor of that price.
        seekers: users who look for discounts.
        seeker_choice, other_choice: their purchases of food that are chosen among promotions, and those of the others.
        wishers: users with wish lists.
        wish_bought: wished items that are bought within three days of a price drop.
        wish_anyway: wished items without a price drop that are bought within 60 days.
        leavers: users who stop for good, at any time.
        outfit: users who buy each of the outfits of top, bottom and accessory as one order.
        mooncakes, gifts: users who buy mooncakes in the three weeks before 中秋, and gifts in the week before 七夕.
        double_11: users with one more order on 双11.
        regional, elsewhere: users who buy a dehumidifier in 回南天 in 广州, or a humidifier in the heating season in
            北京; and the same in other cities.
        opened_in_time, opened_else: messages that are opened within an hour of the habitual hour, and at other hours.
    """

    phone_owners: float = 0.5
    kit: float = 0.25
    case_later: float = 0.3
    parents: float = 0.25
    milk_days: float = 21.0
    milk_spread_days: float = 3.0
    nappy_days: float = 18.0
    nappy_spread_days: float = 3.0
    brand_loyalty: float = 0.9
    wipes: float = 0.3
    leather_fans: float = 0.03
    own_time: float = 0.6
    in_part: float = 0.8
    favourites: float = 0.5
    on_promotion: float = 0.15
    price_drop: float = 0.8
    seekers: float = 0.2
    seeker_choice: float = 0.7
    other_choice: float = 0.1
    wishers: float = 0.3
    wish_bought: float = 0.3
    wish_anyway: float = 0.03
    leavers: float = 0.15
    outfit: float = 0.02
    mooncakes: float = 0.25
    gifts: float = 0.15
    double_11: float = 0.4
    regional: float = 0.2
    elsewhere: float = 0.02
    opened_in_time: float = 0.3
    opened_else: float = 0.08


PLANTED: Final = Planted()
