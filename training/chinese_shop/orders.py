"""The orders of the generated shop: one function per habit, each with the effect that is planted in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from training.chinese_shop.catalog import N_OUTFITS, N_PHONES, SIZES, STAGES, Goods, Rows
from training.chinese_shop.planted import (
    DAMP,
    DAY_S,
    DOUBLE_11,
    END,
    HEATING,
    MID_AUTUMN,
    PLANTED,
    QIXI,
    START,
    WEEK_S,
)
from training.chinese_shop.promotions import Promotions, week_of
from training.chinese_shop.shoppers import CITIES, N_FAVOURITES, NEVER, Seconds, Shoppers

HOUR_S: Final = 3600
STAGE_DAYS: Final = (180, 365, 1095)
SIZE_DAYS: Final = (30, 90, 240, 540, 900)
"""Age of a child at which each stage of milk powder, and each size of nappies, ends."""

PARTS: Final = ("morning", "night", "home")
PART_SHARES: Final = (0.25, 0.3, 0.45)
MORNING_UNTIL: Final = 11
NIGHT_FROM: Final = 20
WISHED: Final = ("top", "bottom", "accessory", "charger")
WISH_DAYS: Final = 60


@dataclass(frozen=True)
class Lines:
    """Lines of orders, one entry per line.

    Attributes:
        user: int64, row of the user.
        item: int64, row of the item.
        at: int64, seconds since 1970.
    """

    user: Rows
    item: Rows
    at: Seconds

    @classmethod
    def joined(cls, *parts: Lines) -> Lines:
        """Return the lines of all parts."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("user", "item", "at")))


@dataclass(frozen=True)
class Shop:
    """What orders are drawn from."""

    goods: Goods
    promotions: Promotions
    shoppers: Shoppers
    rng: np.random.Generator


def draw_orders(shop: Shop) -> tuple[Lines, Lines]:
    """Draw all purchases, and the wishes; lines of one user and moment are an order.

    Returns:
        The purchases and the wishes, nothing before a user's first or after the last moment.
    """
    wishes = draw_wishes(shop)
    habits = (everyday, phones, babies, leathercraft, outfits, clothes, seasons)
    purchases = Lines.joined(*(habit(shop) for habit in habits), bought_wishes(shop, wishes))
    return _within(shop.shoppers, purchases), _within(shop.shoppers, wishes)


def everyday(shop: Shop) -> Lines:
    """Food and household goods: by the hour, from the user's favourites, and by promotions for those who seek them."""
    shoppers, rng = shop.shoppers, shop.rng
    weeks = (shoppers.last - shoppers.first) / WEEK_S
    user = np.repeat(np.arange(len(shoppers)), rng.poisson(shoppers.rate * weeks))
    at = moments(shop, user, uniform_days(shop, user))
    extra = np.flatnonzero(rng.random(len(shoppers)) < PLANTED.double_11)
    user = np.concatenate([user, extra])
    at = np.concatenate([at, moments(shop, extra, np.full(len(extra), DOUBLE_11))])
    size = 1 + rng.poisson(1.3, len(user))
    line = np.repeat(np.arange(len(user)), size)
    hour = local_hour(at)[line]
    part = rng.choice(len(PARTS), len(line), p=PART_SHARES)
    in_part = rng.random(len(line)) < PLANTED.in_part
    part = np.where(in_part & (hour < MORNING_UNTIL), 0, np.where(in_part & (hour >= NIGHT_FROM), 1, part))
    item = np.empty(len(line), np.int64)
    for number, group in enumerate(PARTS):
        rows = part == number
        item[rows] = _everyday_items(shop, group, user[line][rows], at[line][rows])
    return Lines(user[line], item, at[line])


def _everyday_items(shop: Shop, group: str, user: Rows, at: Seconds) -> Rows:
    shoppers, rng, n = shop.shoppers, shop.rng, len(user)
    own = shoppers.favourites[group][user, rng.integers(N_FAVOURITES, size=n)]
    item = np.where(rng.random(n) < PLANTED.favourites, own, popular(shop, group, n))
    if group == "home":
        return item
    choice = np.where(shoppers.is_seeker[user], PLANTED.seeker_choice, PLANTED.other_choice)
    return np.where(rng.random(n) < choice, shop.promotions.any_of(group, week_of(at), rng), item)


def phones(shop: Shop) -> Lines:
    """One phone per owner: as a kit with its own case and film, with the case later, or alone."""
    goods, rng = shop.goods.of_group, shop.rng
    user = _some(shop, PLANTED.phone_owners)
    model = rng.integers(N_PHONES, size=len(user))
    at, way = moments(shop, user, uniform_days(shop, user)), rng.random(len(user))
    kit, later = way < PLANTED.kit, (way >= PLANTED.kit) & (way < PLANTED.kit + PLANTED.case_later)
    days = rng.integers(1, 31, len(user))
    with_charger = rng.random(len(user)) < 0.2
    return Lines.joined(
        Lines(user, goods["phone"][model], at),
        Lines(user[kit], goods["case"][model[kit]], at[kit]),
        Lines(user[kit], goods["film"][model[kit]], at[kit]),
        Lines(user[later], goods["case"][model[later]], at[later] + days[later] * DAY_S),
        Lines(user[with_charger], popular(shop, "charger", int(with_charger.sum())), at[with_charger]),
    )


def babies(shop: Shop) -> Lines:
    """Milk powder and nappies at regular intervals, in the stage and size of the child's age, of one's own brand."""
    goods, shoppers, rng = shop.goods.of_group, shop.shoppers, shop.rng
    parents = np.flatnonzero(shoppers.born != NEVER)
    milk = _regular(shop, parents, PLANTED.milk_days, PLANTED.milk_spread_days, STAGE_DAYS)
    nappies = _regular(shop, parents, PLANTED.nappy_days, PLANTED.nappy_spread_days, SIZE_DAYS)
    brand = _own_brand(shop, shoppers.milk_brand[milk.user])
    of_nappies = _own_brand(shop, shoppers.nappy_brand[nappies.user])
    wiped = (rng.random(len(nappies.user)) < PLANTED.wipes) & (of_nappies < len(goods["wipes"]))
    return Lines.joined(
        Lines(milk.user, goods["milk_powder"][brand * len(STAGES) + milk.item], milk.at),
        Lines(nappies.user, goods["nappies"][of_nappies * len(SIZES) + nappies.item], nappies.at),
        Lines(nappies.user[wiped], goods["wipes"][of_nappies[wiped]], nappies.at[wiped]),
    )


def _regular(shop: Shop, user: Rows, days: float, spread: float, ends: tuple[int, ...]) -> Lines:
    """Orders at intervals from birth on; the item is the number of the stage of the child's age."""
    shoppers, rng = shop.shoppers, shop.rng
    steps = int((END - START) / DAY_S / days) + 2
    gap = np.maximum(rng.normal(days, spread, (len(user), steps)), 1.0)
    gap[:, 0] *= rng.random(len(user))
    start = np.maximum(shoppers.first[user], shoppers.born[user])
    day = (start[:, None] + np.cumsum(gap, axis=1) * DAY_S).astype(np.int64)
    row, _ = np.nonzero(day < END)
    who, at = user[row], moments(shop, user[row], day[day < END])
    age = (at - shoppers.born[who]) / DAY_S
    stage = np.searchsorted(ends, age, side="right")
    kept = stage < len(ends)
    return Lines(who[kept], stage[kept], at[kept])


def leathercraft(shop: Shop) -> Lines:
    """Tools and leather for a few, week after week."""
    fans, rng = np.flatnonzero(shop.shoppers.is_leather_fan), shop.rng
    weeks = (shop.shoppers.last - shop.shoppers.first)[fans] / WEEK_S
    user = np.repeat(fans, rng.poisson(0.3 * weeks))
    at = moments(shop, user, uniform_days(shop, user))
    line = np.repeat(np.arange(len(user)), rng.integers(1, 4, len(user)))
    return Lines(user[line], popular(shop, "leather", len(line)), at[line])


def outfits(shop: Shop) -> Lines:
    """Top, bottom and accessory of one number in one order."""
    parts = []
    for number in range(N_OUTFITS):
        user = _some(shop, PLANTED.outfit)
        at = moments(shop, user, uniform_days(shop, user))
        items = (shop.goods.of_group[group][number] for group in ("top", "bottom", "accessory"))
        parts += [Lines(user, np.full(len(user), item), at) for item in items]
    return Lines.joined(*parts)


def clothes(shop: Shop) -> Lines:
    """Single pieces, and pairs of a top and a bottom that have nothing to do with each other."""
    user = np.repeat(np.arange(len(shop.shoppers)), shop.rng.poisson(0.5, len(shop.shoppers)))
    at = moments(shop, user, uniform_days(shop, user))
    both = shop.rng.random(len(user)) < 0.5
    return Lines.joined(
        Lines(user, popular(shop, "top", len(user)), at),
        Lines(user[both], popular(shop, "bottom", int(both.sum())), at[both]),
    )


def seasons(shop: Shop) -> Lines:
    """Festivals, and climate by region."""
    shoppers = shop.shoppers

    def regional(city: str) -> Rows:
        share = np.where(shoppers.city == CITIES.index(city), PLANTED.regional, PLANTED.elsewhere)
        return np.flatnonzero(shop.rng.random(len(shoppers)) < share)

    everyone = {
        "mooncakes": (_some(shop, PLANTED.mooncakes), MID_AUTUMN - 21 * DAY_S, MID_AUTUMN),
        "gifts": (_some(shop, PLANTED.gifts), QIXI - 7 * DAY_S, QIXI),
        "dehumidifiers": (regional("广州"), *DAMP),
        "humidifiers": (regional("北京"), *HEATING),
    }
    parts = []
    for group, (user, start, end) in everyone.items():
        at = moments(shop, user, shop.rng.integers(start, end, len(user)))
        parts.append(Lines(user, popular(shop, group, len(user)), at))
    return Lines.joined(*parts)


def draw_wishes(shop: Shop) -> Lines:
    """Items on wish lists, one to four per wisher."""
    wishers, rng = _some(shop, PLANTED.wishers), shop.rng
    user = np.repeat(wishers, rng.integers(1, 5, len(wishers)))
    rows = np.concatenate([shop.goods.of_group[group] for group in WISHED])
    return Lines(user, rng.choice(rows, len(user)), moments(shop, user, uniform_days(shop, user)))


def bought_wishes(shop: Shop, wishes: Lines) -> Lines:
    """Wished items after a price drop, and a few without one."""
    rng, n = shop.rng, len(wishes.user)
    drop = START + shop.promotions.next_start[week_of(wishes.at), wishes.item] * WEEK_S
    dropped = drop - wishes.at <= WISH_DAYS * DAY_S
    after_drop = drop + rng.integers(0, 3, n) * DAY_S
    anyway = wishes.at + rng.integers(1, WISH_DAYS + 1, n) * DAY_S
    at = moments(shop, wishes.user, np.where(dropped, after_drop, anyway))
    bought = rng.random(n) < np.where(dropped, PLANTED.wish_bought, PLANTED.wish_anyway)
    return Lines(wishes.user[bought], wishes.item[bought], at[bought])


def popular(shop: Shop, group: str, n: int) -> Rows:
    """Draw items of a group, the n-th of them in proportion to `1/n`."""
    rows = shop.goods.of_group[group]
    weight = 1 / np.arange(1, len(rows) + 1)
    drawn: Rows = shop.rng.choice(rows, n, p=weight / weight.sum())
    return drawn


def uniform_days(shop: Shop, user: Rows) -> Seconds:
    """Draw a moment between each user's first and last."""
    first, last = shop.shoppers.first[user], shop.shoppers.last[user]
    return (first + shop.rng.random(len(user)) * (last - first)).astype(np.int64)


def moments(shop: Shop, user: Rows, day: Seconds) -> Seconds:
    """Return moments on the days of others, at the users' habitual hours or at any from 7 to 23 h."""
    rng, n = shop.rng, len(user)
    own = shop.shoppers.hour[user] + rng.integers(-1, 2, n)
    hour = np.where(rng.random(n) < PLANTED.own_time, own, rng.integers(7, 24, n))
    return (day - START) // DAY_S * DAY_S + START + hour * HOUR_S + rng.integers(0, HOUR_S, n)


def local_hour(at: Seconds) -> npt.NDArray[np.int64]:
    """Return the local hour of each moment, 0 to 23; the zone has no summer time."""
    return (at - START) % DAY_S // HOUR_S


def _some(shop: Shop, share: float) -> Rows:
    """Draw users, each with the same probability."""
    return np.flatnonzero(shop.rng.random(len(shop.shoppers)) < share)


def _own_brand(shop: Shop, brand: Rows) -> Rows:
    """The user's own brand, now and then another one."""
    other = shop.rng.integers(4, size=len(brand))
    return np.where(shop.rng.random(len(brand)) < PLANTED.brand_loyalty, brand, other)


def _within(shoppers: Shoppers, lines: Lines) -> Lines:
    kept = (lines.at >= shoppers.first[lines.user]) & (lines.at <= shoppers.last[lines.user]) & (lines.at < END)
    return Lines(lines.user[kept], lines.item[kept], lines.at[kept])
