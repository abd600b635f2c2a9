"""The users of the generated shop: what the shop knows of them, and what only the generator knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from training.chinese_shop.catalog import MILK_BRANDS, NAPPY_BRANDS, Goods, Rows
from training.chinese_shop.planted import DAY_S, END, PLANTED, START, TIMEZONE

Mask = npt.NDArray[np.bool_]
Seconds = npt.NDArray[np.int64]

CITIES: Final = ("上海", "北京", "广州", "成都", "武汉")
CITY_SHARES: Final = (0.3, 0.25, 0.2, 0.15, 0.1)
CHANNELS: Final = ("小程序", "APP", "网页", "门店")
CHANNEL_SHARES: Final = (0.45, 0.3, 0.15, 0.1)
HABITUAL_HOURS: Final = (8, 12, 20, 22)
N_FAVOURITES: Final = 3
NEVER: Final = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Shoppers:
    """Users as arrays; all but `city`, `created_at` and `born` are known to the generator only.

    Attributes:
        created_at: int64 (n,), seconds since 1970.
        last: int64 (n,), no event follows.
        city: int64 (n,), position in `CITIES`.
        hour: int64 (n,), habitual hour.
        channel: int64 (n,), position in `CHANNELS`, of three in four orders.
        born: int64 (n,), birth of the child, `NEVER` without one.
        milk_brand, nappy_brand: int64 (n,), of parents.
        is_seeker, is_leather_fan, is_leaver: bool (n,).
        rate: float64 (n,), everyday orders per week.
        favourites: by group of goods, int64 (n, `N_FAVOURITES`), rows of items.
    """

    created_at: Seconds
    last: Seconds
    city: Rows
    hour: Rows
    channel: Rows
    born: Seconds
    milk_brand: Rows
    nappy_brand: Rows
    is_seeker: Mask
    is_leather_fan: Mask
    is_leaver: Mask
    rate: npt.NDArray[np.float64]
    favourites: dict[str, Rows]

    def __len__(self) -> int:
        return len(self.created_at)

    @property
    def first(self) -> Seconds:
        """The first moment of possible events, int64 (n,), seconds since 1970."""
        return np.maximum(self.created_at, START)


def draw_shoppers(n: int, goods: Goods, rng: np.random.Generator) -> Shoppers:
    """Draw the users.

    Args:
        n: number of users.
        goods: the catalog.
        rng: source of the draws.
    """
    span = END - START
    created_at = START + (rng.uniform(-0.5, 0.95, n) * span).astype(np.int64)
    first = np.maximum(created_at, START)
    is_leaver = rng.random(n) < PLANTED.leavers
    left = first + (rng.random(n) * (END - first)).astype(np.int64)
    is_parent = rng.random(n) < PLANTED.parents
    born = rng.integers(START - 730 * DAY_S, END, n)
    return Shoppers(
        created_at=created_at,
        last=np.where(is_leaver, left, END - 1),
        city=rng.choice(len(CITIES), n, p=CITY_SHARES),
        hour=rng.choice(HABITUAL_HOURS, n),
        channel=rng.choice(len(CHANNELS), n, p=CHANNEL_SHARES),
        born=np.where(is_parent, born // DAY_S * DAY_S, NEVER),
        milk_brand=rng.integers(len(MILK_BRANDS), size=n),
        nappy_brand=rng.integers(len(NAPPY_BRANDS), size=n),
        is_seeker=rng.random(n) < PLANTED.seekers,
        is_leather_fan=rng.random(n) < PLANTED.leather_fans,
        is_leaver=is_leaver,
        rate=rng.gamma(2.0, 0.2, n),
        favourites={name: rng.choice(rows, (n, N_FAVOURITES)) for name, rows in goods.of_group.items()},
    )


def user_ids(n: int) -> list[str]:
    """Return the ids, such as `u00042`."""
    return [f"u{number:05d}" for number in range(n)]


def users_table(shoppers: Shoppers, rng: np.random.Generator) -> pl.DataFrame:
    """Return the users table of the shop; `测试组` is random, and has no effect on anything.

    Args:
        shoppers: the users.
        rng: source of what has no effect.
    """
    n, is_parent = len(shoppers), shoppers.born != NEVER
    born = pl.Series(np.where(is_parent, shoppers.born, 0) * 1_000_000).cast(pl.Datetime("us", "UTC"))
    return pl.DataFrame(
        {
            "user_id": user_ids(n),
            "created_at": pl.Series(shoppers.created_at * 1_000_000).cast(pl.Datetime("us", "UTC")),
            "timezone": [TIMEZONE] * n,
            "region": np.array(CITIES)[shoppers.city],
            "tags": [["宝妈宝爸"] if parent else ["会员"] for parent in is_parent.tolist()],
            "personalization": rng.random(n) >= 0.01,
            "child_birth_date": born.set(pl.Series(~is_parent), None),
            "consent_push": rng.random(n) < 0.8,
            "consent_wechat": rng.random(n) < 0.6,
            "测试组": np.where(rng.random(n) < 0.5, "甲", "乙"),
        }
    )
