"""What a health check measures over the rows of the tables; no measure fails on no rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from recsys.core.schema import EVENT_NAMES
from recsys.data.dataset import DAY_S, Dataset
from recsys.models.pairs.copurchase import CopurchaseConfig

BOT_DEVIATIONS: Final = 6.0
BOT_EVENTS_PER_DAY: Final = 100
LEAST_DEVIATION: Final = 0.3
FEWEST_IDS: Final = 10
MIDNIGHTS: Final = 0.99
NO_LIKING: Final = ("view_item_list", "remove_from_cart", "refund")
"""Events that do not say that somebody likes an item."""
LISTED: Final = 5
"""Gaps and bots that a report names."""


@dataclass(frozen=True)
class DayStats:
    """Events by local day; without events no day is known.

    Attributes:
        first: first day.
        last: last day.
        active: days with an event.
        silent: days without one between the first and the last.
        median: events of the median active day.
        busiest: the day with most events.
        most: events of that day.
        gaps: the longest runs of silent days, as their first and last day, the longest first.
        finer: whether times of day are known: less than `MIDNIGHTS` of the times are midnights, be it local
            or UTC.
    """

    first: date | None = None
    last: date | None = None
    active: int = 0
    silent: int = 0
    median: float = 0.0
    busiest: date | None = None
    most: int = 0
    gaps: tuple[tuple[date, date], ...] = ()
    finer: bool = False


@dataclass(frozen=True)
class ClockSkew:
    """How `received_at` and `timestamp` agree.

    Attributes:
        known: events with both.
        median_s: median of received minus happened, seconds.
        p99_s: its 99th percentile, seconds.
        early: events that were received before they happened.
        future: events later than the moment asked about.
    """

    known: int = 0
    median_s: float = 0.0
    p99_s: float = 0.0
    early: int = 0
    future: int = 0


@dataclass(frozen=True)
class CatalogHealth:
    """How events, items and users fit together.

    Attributes:
        without_content: share of the items table with no title, category, tag or brand, in [0, 1].
        orphan_items: items of events that the items table lacks, where there is one.
        orphan_events: events of such items.
        orphan_users: users of events that the users table lacks, where there is one.
        never_bought: items of the items table without a goal event.
        orphan_offers: offers for items that neither the items table nor an event names.
    """

    without_content: float
    orphan_items: int
    orphan_events: int
    orphan_users: int
    never_bought: int
    orphan_offers: int


@dataclass(frozen=True)
class BotStats:
    """Ids that are hardly a shopper's.

    Attributes:
        suspects: how many.
        events: events of them all.
        busiest: the busiest ones, with their events per active day.
    """

    suspects: int = 0
    events: int = 0
    busiest: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class BasketStats:
    """What was taken together, as the co-purchase model takes it: goal events by basket, else by shopper.

    Attributes:
        count: baskets, or shoppers who stand for them.
        pairs: those of at least two different items.
        single_share: share of those with one item, in [0, 1].
        by_basket: whether baskets are the evidence; else too few hold two items, and all that one shopper took is.
    """

    count: int
    pairs: int
    single_share: float
    by_basket: bool


@dataclass(frozen=True)
class RepeatStats:
    """How far shoppers take the same things again, by the goal events.

    Attributes:
        share: share of goal events after a shopper's first day that repeat an earlier one, in [0, 1].
        pairs: shoppers' items that lie in at least two of their baskets.
    """

    share: float
    pairs: int


def share(part: int, whole: int) -> float:
    """A part of a whole, in [0, 1]; 0 of nothing."""
    return part / whole if whole else 0.0


def with_person(events: pl.DataFrame) -> pl.DataFrame:
    """Times of the events of somebody known, with the user, else the visitor, as `person`."""
    known = events.select("timestamp", person=pl.coalesce("user_id", "visitor_id"))
    return known.filter(pl.col("person").is_not_null())


def has_content() -> pl.Expr:
    """Whether an item has a title, a category, a tag or a brand."""
    lists = [pl.col(name).list.len() > 0 for name in ("category", "tags")]
    return pl.any_horizontal(*lists, pl.col("title", "brand").is_not_null()).fill_null(False)


def measure_days(events: pl.DataFrame, timezone: str) -> DayStats:
    """Count events by the shop's local day and find the runs of days without any."""
    if events.is_empty():
        return DayStats()
    local = events["timestamp"].dt.convert_time_zone(timezone)
    counts = local.dt.date().value_counts(name="events").sort("timestamp")
    days = counts["timestamp"]
    first, last, busiest = days[0], days[-1], counts.sort("events", "timestamp", descending=[True, False])
    missing = pl.DataFrame({"after": days.head(-1), "before": days.tail(-1)}).with_columns(
        gap=(pl.col("before") - pl.col("after")).dt.total_days() - 1
    )
    longest = missing.filter(pl.col("gap") > 0).sort("gap", "after", descending=[True, False]).head(LISTED)
    one = timedelta(days=1)
    midnights = [_share_of_midnights(moments) for moments in (local, events["timestamp"])]
    return DayStats(
        first=first,
        last=last,
        active=counts.height,
        silent=int(missing["gap"].sum()),
        median=float(counts.select(pl.col("events").median()).item()),
        busiest=busiest["timestamp"][0],
        most=int(busiest["events"][0]),
        gaps=tuple((after + one, before - one) for after, before, _ in longest.iter_rows()),
        finer=max(midnights) < MIDNIGHTS,
    )


def _share_of_midnights(moments: pl.Series) -> float:
    return share(int((moments.dt.time() == time()).sum()), moments.len())


def measure_clock(events: pl.DataFrame, now: datetime | None) -> ClockSkew:
    """Compare when events happened with when they were received, and with `now`."""
    future = 0 if now is None else events.filter(pl.col("timestamp") > now).height
    delays = events.select(delay=(pl.col("received_at") - pl.col("timestamp")).dt.total_microseconds() / 1e6)
    known = delays["delay"].drop_nulls()
    if known.is_empty():
        return ClockSkew(future=future)
    median, p99 = delays.select(a=pl.col("delay").median(), b=pl.col("delay").quantile(0.99)).row(0)
    return ClockSkew(known.len(), median, p99, int((known < 0).sum()), future)


def measure_catalog(tables: Mapping[str, pl.DataFrame], goal: str) -> CatalogHealth:
    """Hold the ids of events and offers against the tables, by name; `goal` is the event that counts as success."""
    events, items, users = tables["events"], tables["items"], tables["users"]
    known = events.select("item_id").group_by("item_id").len()
    strangers = known.join(items, on="item_id", how="anti") if items.height else known.clear()
    buyers = events.select("user_id").drop_nulls().unique()
    bought = events.filter(pl.col("event") == goal).select("item_id").unique()
    return CatalogHealth(
        without_content=share(items.filter(~has_content()).height, items.height),
        orphan_items=strangers.height,
        orphan_events=int(strangers["len"].sum()),
        orphan_users=buyers.join(users, on="user_id", how="anti").height if users.height else 0,
        never_bought=items.join(bought, on="item_id", how="anti").height,
        orphan_offers=tables["offers"]
        .join(items, on="item_id", how="anti")
        .join(known, on="item_id", how="anti")
        .height,
    )


def measure_baskets(dataset: Dataset, config: CopurchaseConfig | None = None) -> BasketStats:
    """Count what was taken together by the rule of `recsys.models.pairs.copurchase.fit_copurchase`.

    Args:
        dataset: the shop.
        config: settings of the co-purchase model; its defaults if not given.

    Returns:
        The baskets, or the shoppers where too few goal events lie in baskets of two or more.
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
    """Different items of each basket or shopper that is known."""
    known = lines.filter(pl.col(group) >= 0).select(group, "item").unique()
    return known.group_by(group).len("size").collect()["size"].to_numpy()


def measure_repeats(dataset: Dataset) -> RepeatStats:
    """Count repeats by the rule of `fit_repeat`: half a day or more after the first time."""
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


def measure_bots(who: pl.DataFrame, timezone: str) -> BotStats:
    """Find ids whose activity is far beyond that of the others.

    An id is a suspect when its events per active day are at least `BOT_EVENTS_PER_DAY` and their logarithm
    lies more than `BOT_DEVIATIONS` robust deviations above the median of all ids. A robust deviation is
    1.4826 times the median absolute deviation (Hampel, 1974, JASA), and at least `LEAST_DEVIATION`. Among
    fewer than `FEWEST_IDS` ids nobody is suspected.

    Args:
        who: rows of `with_person`.
        timezone: zone by which days are told.

    Returns:
        The suspects; none is proven a bot.
    """
    day = pl.col("timestamp").dt.convert_time_zone(timezone).dt.date()
    per_day = who.lazy().group_by("person", day=day).len("events")
    rates = per_day.group_by("person").agg(pl.col("events").sum(), rate=pl.col("events").mean()).collect()
    if rates.height < FEWEST_IDS:
        return BotStats()
    logs = rates["rate"].log()
    middle = float(logs.median())  # type: ignore[arg-type]
    spread = max(1.4826 * float((logs - middle).abs().median()), LEAST_DEVIATION)  # type: ignore[arg-type]
    far = (logs - middle > BOT_DEVIATIONS * spread) & (rates["rate"] >= BOT_EVENTS_PER_DAY)
    suspects = rates.filter(far).sort("rate", "person", descending=[True, False])
    busiest = tuple(suspects.head(LISTED).select("person", "rate").iter_rows())
    return BotStats(suspects.height, int(suspects["events"].sum()), busiest)


def count_learners(dataset: Dataset) -> tuple[int, int]:
    """Shoppers of at least two different items, and items of at least two shoppers, by events that show a liking."""
    events = dataset.events
    shows = ~np.isin(events.event_type, [EVENT_NAMES.index(name) for name in NO_LIKING]) & (events.user_idx >= 0)
    pairs = pl.DataFrame({"user": events.user_idx[shows], "item": events.item_idx[shows]}).unique()
    users, items = (int((pairs[name].value_counts()["count"] > 1).sum()) for name in ("user", "item"))
    return users, items


def count_head(dataset: Dataset) -> int:
    """The fewest items that make half of all goal events."""
    counts = np.sort(np.bincount(dataset.target_events.item_idx))[::-1].cumsum()
    return int((counts < counts[-1] / 2).sum()) + 1 if len(counts) else 0


def name_goal(dataset: Dataset) -> str:
    """The event that counts as success, as `schema.EVENT_NAMES` writes it."""
    return EVENT_NAMES[dataset.target_event]


def count_kinds(events: pl.DataFrame) -> dict[str, int]:
    """Events by name, most frequent first."""
    counts: Any = events["event"].value_counts().sort("count", "event", descending=[True, False])
    return dict(counts.iter_rows())
