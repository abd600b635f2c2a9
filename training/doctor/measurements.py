"""Measurements over the rows of the tables; each is defined for empty tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

import polars as pl

BOT_DEVIATIONS: Final = 6.0
BOT_EVENTS_PER_DAY: Final = 100
MIN_DEVIATION: Final = 0.3
MIN_IDS: Final = 10
MIDNIGHT_SHARE: Final = 0.99
MAX_LISTED: Final = 5
"""Gaps and suspected bots that a report lists."""


@dataclass(frozen=True)
class DayStats:
    """Events by local day.

    Attributes:
        first: first day.
        last: last day.
        active: days with an event.
        silent: days without events between the first and the last.
        median: median of the events per active day.
        busiest: day with the most events.
        most: events of that day.
        gaps: longest runs of days without events, as first and last day, the longest first.
        finer: whether times of day are known: fewer than `MIDNIGHT_SHARE` of the times are midnight, local
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
    """Delays from `timestamp` to `received_at`.

    Attributes:
        known: events with both times.
        median_s: median delay in seconds.
        p99_s: 99th percentile of the delay in seconds.
        early: events that were received before they happened.
        future: events after the present moment.
    """

    known: int = 0
    median_s: float = 0.0
    p99_s: float = 0.0
    early: int = 0
    future: int = 0


@dataclass(frozen=True)
class CatalogHealth:
    """References between events, items, users and offers.

    Attributes:
        without_content: share of the items table with no title, category, tag or brand, in [0, 1].
        orphan_items: items in events that are neither items nor products of the items table, if there is one.
        orphan_events: events of such items.
        orphan_users: users in events that are missing in the users table, if there is one.
        never_bought: items of the items table without a target event.
        orphan_offers: offers for items that are neither in the items table nor in events.
    """

    without_content: float
    orphan_items: int
    orphan_events: int
    orphan_users: int
    never_bought: int
    orphan_offers: int


@dataclass(frozen=True)
class BotStats:
    """Ids that are probably not a person's.

    Attributes:
        suspects: number of these ids.
        events: their events.
        busiest: the busiest ones, with their events per active day.
    """

    suspects: int = 0
    events: int = 0
    busiest: tuple[tuple[str, float], ...] = ()


def share(part: int, whole: int) -> float:
    """Return a part as a share of the whole, in [0, 1]; 0 where the whole is 0."""
    return part / whole if whole else 0.0


def user_events(events: pl.DataFrame) -> pl.DataFrame:
    """Select the times of events with a user or visitor, whose id is the column `user_key`."""
    known = events.select("timestamp", user_key=pl.coalesce("user_id", "visitor_id"))
    return known.filter(pl.col("user_key").is_not_null())


def has_content() -> pl.Expr:
    """Return an expression: whether an item has a title, a category, a tag or a brand."""
    lists = [pl.col(name).list.len() > 0 for name in ("category", "tags")]
    return pl.any_horizontal(*lists, pl.col("title", "brand").is_not_null()).fill_null(False)


def measure_days(events: pl.DataFrame, timezone: str) -> DayStats:
    """Count events by the shop's local day, and find the runs of days without events."""
    if events.is_empty():
        return DayStats()
    local = events["timestamp"].dt.convert_time_zone(timezone)
    counts = local.dt.date().value_counts(name="events").sort("timestamp")
    days = counts["timestamp"]
    first, last, busiest = days[0], days[-1], counts.sort("events", "timestamp", descending=[True, False])
    missing = pl.DataFrame({"after": days.head(-1), "before": days.tail(-1)}).with_columns(
        gap=(pl.col("before") - pl.col("after")).dt.total_days() - 1
    )
    longest = missing.filter(pl.col("gap") > 0).sort("gap", "after", descending=[True, False]).head(MAX_LISTED)
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
        finer=max(midnights) < MIDNIGHT_SHARE,
    )


def _share_of_midnights(moments: pl.Series) -> float:
    return share(int((moments.dt.time() == time()).sum()), moments.len())


def measure_clock(events: pl.DataFrame, now: datetime | None) -> ClockSkew:
    """Measure the delay of events, and count those after `now`."""
    future = 0 if now is None else events.filter(pl.col("timestamp") > now).height
    delays = events.select(delay=(pl.col("received_at") - pl.col("timestamp")).dt.total_microseconds() / 1e6)
    known = delays["delay"].drop_nulls()
    if known.is_empty():
        return ClockSkew(future=future)
    median, p99 = delays.select(a=pl.col("delay").median(), b=pl.col("delay").quantile(0.99)).row(0)
    return ClockSkew(known.len(), median, p99, int((known < 0).sum()), future)


def measure_catalog(tables: Mapping[str, pl.DataFrame], target_event: str) -> CatalogHealth:
    """Check the ids of events and offers against the tables, by name of the table."""
    events, items, users = tables["events"], tables["items"], tables["users"]
    known = events.select("item_id").group_by("item_id").len()
    products = items.select(item_id="item_group_id")
    orphans = known.join(items, on="item_id", how="anti").join(products, on="item_id", how="anti")
    orphans = orphans if items.height else known.clear()
    buyers = events.select("user_id").drop_nulls().unique()
    bought = events.filter(pl.col("event") == target_event).select("item_id").unique()
    return CatalogHealth(
        without_content=share(items.filter(~has_content()).height, items.height),
        orphan_items=orphans.height,
        orphan_events=int(orphans["len"].sum()),
        orphan_users=buyers.join(users, on="user_id", how="anti").height if users.height else 0,
        never_bought=items.join(bought, on="item_id", how="anti").height,
        orphan_offers=tables["offers"]
        .join(items, on="item_id", how="anti")
        .join(known, on="item_id", how="anti")
        .height,
    )


def measure_bots(events: pl.DataFrame, timezone: str) -> BotStats:
    """Find ids with far more activity than the others.

    An id is suspected if its events per active day are at least `BOT_EVENTS_PER_DAY`, and their logarithm is more
    than `BOT_DEVIATIONS` robust deviations above the median of all ids. A robust deviation is
    1.4826 times the median absolute deviation (Hampel, 1974, JASA), and at least `MIN_DEVIATION`. With
    fewer than `MIN_IDS` ids none is suspected.

    Args:
        events: rows of `user_events`.
        timezone: zone of the local days.

    Returns:
        The suspected ids.
    """
    day = pl.col("timestamp").dt.convert_time_zone(timezone).dt.date()
    per_day = events.lazy().group_by("user_key", day=day).len("events")
    rates = per_day.group_by("user_key").agg(pl.col("events").sum(), rate=pl.col("events").mean()).collect()
    if rates.height < MIN_IDS:
        return BotStats()
    logs = rates["rate"].log()
    middle = float(logs.median())  # type: ignore[arg-type]
    spread = max(1.4826 * float((logs - middle).abs().median()), MIN_DEVIATION)  # type: ignore[arg-type]
    far = (logs - middle > BOT_DEVIATIONS * spread) & (rates["rate"] >= BOT_EVENTS_PER_DAY)
    suspects = rates.filter(far).sort("rate", "user_key", descending=[True, False])
    busiest = tuple(suspects.head(MAX_LISTED).select("user_key", "rate").iter_rows())
    return BotStats(suspects.height, int(suspects["events"].sum()), busiest)


def count_event_types(events: pl.DataFrame, left_out: Mapping[str, int] | None = None) -> dict[str, int]:
    """Count events by name, most frequent first, without some of each name."""
    counts = {name: count - (left_out or {}).get(name, 0) for name, count in events["event"].value_counts().iter_rows()}
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))
