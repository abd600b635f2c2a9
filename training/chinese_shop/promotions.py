"""Promotions of the generated shop: which items are cheaper in which week."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from training.chinese_shop.catalog import Goods, Rows
from training.chinese_shop.planted import N_WEEKS, PLANTED, START, WEEK_S
from training.chinese_shop.shoppers import Seconds

GROUPS: Final = ("morning", "night", "home", "top", "bottom", "accessory", "charger")
"""Groups of goods with promotions."""

NO_WEEK: Final = N_WEEKS + 1000


@dataclass(frozen=True)
class Promotions:
    """Weeks in which items are cheaper.

    Attributes:
        goods: the catalog.
        is_on: bool (n_weeks, n_items).
    """

    goods: Goods
    is_on: npt.NDArray[np.bool_]

    @cached_property
    def next_start(self) -> Rows:
        """The first week with a promotion after each week, int64 (n_weeks, n_items), `NO_WEEK` for none."""
        following = np.full(self.is_on.shape, NO_WEEK, np.int64)
        for week in range(N_WEEKS - 2, -1, -1):
            following[week] = np.where(self.is_on[week + 1], week + 1, following[week + 1])
        return following

    def price(self, item: Rows, at: Seconds) -> npt.NDArray[np.float64]:
        """Return the prices of items at moments, float64, of the shape of `item`."""
        factor = np.where(self.is_on[week_of(at), item], PLANTED.price_drop, 1.0)
        price: npt.NDArray[np.float64] = np.round(self.goods.price[item] * factor, 2)
        return price

    def any_of(self, group: str, week: Rows, rng: np.random.Generator) -> Rows:
        """Draw an item of a group that has a promotion in each week, any of its items in a week without one."""
        rows = self.goods.of_group[group]
        key = rng.random((len(week), len(rows))) + self.is_on[week][:, rows]
        chosen: Rows = rows[key.argmax(axis=1)]
        return chosen

    def offers_table(self) -> pl.DataFrame:
        """Return the offers table of the shop: one row per item and week, for every region, store and channel.

        The promotions of the last week go on for another one after the end of the data, as a shop knows them ahead.
        """
        week, item = np.nonzero(self.is_on)
        start = START + week * WEEK_S
        end = start + WEEK_S * np.where(week == N_WEEKS - 1, 2, 1)

        def moments(seconds: Seconds) -> pl.Series:
            return pl.Series(seconds * 1_000_000).cast(pl.Datetime("us", "UTC"))

        return pl.DataFrame(
            {
                "item_id": np.array(self.goods.ids)[item],
                "price": self.price(item, start),
                "valid_from": moments(start),
                "valid_to": moments(end),
            }
        )


def draw_promotions(goods: Goods, rng: np.random.Generator) -> Promotions:
    """Draw the promotions of every week."""
    groups = np.array([item.group for item in goods.items])
    return Promotions(goods, (rng.random((N_WEEKS, len(goods.items))) < PLANTED.on_promotion) & np.isin(groups, GROUPS))


def week_of(at: Seconds) -> Rows:
    """Return the number of the week of each moment, int64."""
    return np.clip((at - START) // WEEK_S, 0, N_WEEKS - 1)
