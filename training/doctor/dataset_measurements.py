"""Measurements over the data set that models are fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from recsys.core.schema import EVENT_NAMES
from recsys.data.dataset import DAY_S, Dataset
from recsys.models.pairs.copurchase import CopurchaseConfig
from training.doctor.measurements import share

NOT_POSITIVE: Final = ("view_item_list", "remove_from_cart", "refund")
"""Events that are no sign of interest in an item."""


@dataclass(frozen=True)
class BasketStats:
    """Baskets as the co-purchase model counts them: target events by basket, else by user.

    Attributes:
        count: baskets, or users where their purchases count as one basket.
        pairs: those with at least two different items.
        single_share: share of those with one item, in [0, 1].
        by_basket: whether baskets count; else too few have two items, and all purchases of a user count as one.
    """

    count: int
    pairs: int
    single_share: float
    by_basket: bool


@dataclass(frozen=True)
class RepeatStats:
    """Repeat purchases, by the target events.

    Attributes:
        share: share of the target events after a user's first day that repeat an earlier one, in [0, 1].
        pairs: pairs of user and item in at least two of the user's baskets.
    """

    share: float
    pairs: int


def measure_baskets(dataset: Dataset, config: CopurchaseConfig | None = None) -> BasketStats:
    """Count baskets by the rule of `recsys.models.pairs.copurchase.fit_copurchase`.

    Args:
        dataset: the shop.
        config: settings of the co-purchase model; None for the defaults.

    Returns:
        The baskets, or the users where too few target events are in baskets of two or more items.
    """
    chosen = config or CopurchaseConfig()
    done = dataset.target_events
    lines = pl.LazyFrame({"basket": done.basket_idx, "user": done.user_idx, "item": done.item_idx})
    sizes = _sizes(lines, "basket")
    in_pairs = share(int(sizes[sizes > 1].sum()), int(sizes.sum()))
    by_basket = not len(sizes) or in_pairs >= chosen.min_basket_share
    if not by_basket:
        sizes = _sizes(lines, "user")
    sizes = sizes[sizes <= chosen.max_basket]
    pairs = int((sizes > 1).sum())
    return BasketStats(len(sizes), pairs, share(len(sizes) - pairs, len(sizes)), by_basket)


def _sizes(lines: pl.LazyFrame, group: str) -> np.ndarray[Any, Any]:
    """Count the different items of each known basket or user."""
    known = lines.filter(pl.col(group) >= 0).select(group, "item").unique()
    return known.group_by(group).len("size").collect()["size"].to_numpy()


def measure_repeats(dataset: Dataset) -> RepeatStats:
    """Count repeats by the rule of `fit_repeat`: at least half a day after the first purchase."""
    done, half_a_day = dataset.target_events, pl.lit(DAY_S // 2)
    columns = {"user": done.user_idx, "item": done.item_idx, "basket": done.basket_idx, "at": done.timestamp}
    lines = pl.LazyFrame(columns).filter(pl.col("user") >= 0)
    at, basket = pl.col("at"), pl.col("basket")
    pairs = lines.group_by("user", "item").agg(first=at.min(), several=basket.min() < basket.max())
    taken = lines.join(pairs, on=["user", "item"]).select(again=at >= pl.col("first") + half_a_day)
    users = lines.join(lines.group_by("user").agg(first=at.min()), on="user")
    later = users.select(later=at >= pl.col("first") + half_a_day)
    counts = [frame.sum().collect().item() for frame in (taken, later, pairs.select("several"))]
    return RepeatStats(share(int(counts[0]), int(counts[1])), int(counts[2]))


def count_learners(dataset: Dataset) -> tuple[int, int]:
    """Count users with at least two different items, and items with at least two users, by positive events."""
    events = dataset.events
    shows = ~np.isin(events.event_type, [EVENT_NAMES.index(name) for name in NOT_POSITIVE]) & (events.user_idx >= 0)
    pairs = pl.DataFrame({"user": events.user_idx[shows], "item": events.item_idx[shows]}).unique()
    users, items = (int((pairs[name].value_counts()["count"] > 1).sum()) for name in ("user", "item"))
    return users, items


def count_head(dataset: Dataset) -> int:
    """Count the fewest items that make half of all target events."""
    counts = np.sort(np.bincount(dataset.target_events.item_idx))[::-1].cumsum()
    return int((counts < counts[-1] / 2).sum()) + 1 if len(counts) else 0


def target_event_name(dataset: Dataset) -> str:
    """Return the name of the target event."""
    return EVENT_NAMES[dataset.target_event]
