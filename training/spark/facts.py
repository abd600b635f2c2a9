"""Facts about all events of a shop, computed by Spark, and the sample of users that the driver holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import polars as pl

from recsys.core.ids import SESSION, IdMap
from recsys.core.schema import EVENT_NAMES, EVENTS
from recsys.data.channels import MAX_CHANNELS
from recsys.data.orders import ORDER_EVENTS, find_scope
from recsys.data.shop_facts import ShopFacts, choose_target
from recsys.data.variants import PURCHASE_WEIGHT, choose_variants
from training.spark.tables import FILE, ROW

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

SAMPLE_STEPS: Final = 1_000_000
KEY: Final = "key of the user"
UNIT: Final = "unit that stays together"


@dataclass(frozen=True)
class Scan:
    """What one pass over the events finds.

    Attributes:
        n_events: number of events.
        n_anonymous: those without a user and without a visitor.
        has_users: whether any has a user or a visitor.
        has_hours: whether times are finer than a day.
        mean_rating: mean of all ratings.
        counts: number of events by name.
    """

    n_events: int
    n_anonymous: int
    has_users: bool
    has_hours: bool
    mean_rating: float
    counts: dict[str, int]


def scan(events: DataFrame, timezone: str) -> Scan:
    """Read what all events decide together."""
    from pyspark.sql import functions as F  # noqa: N812

    local = F.from_utc_timestamp("timestamp", timezone)
    found = events.groupBy("event").agg(
        F.count("*").alias("n"),
        F.count(F.coalesce("user_id", "visitor_id")).alias("n_named"),
        F.max(local != F.date_trunc("day", local)).alias("has_hours"),
        F.sum("value").alias("rating"),
        F.count("value").alias("n_ratings"),
    )
    rows = [row.asDict() for row in found.collect()]
    n_ratings = sum(row["n_ratings"] for row in rows)
    n_events, n_named = (sum(row[name] for row in rows) for name in ("n", "n_named"))
    return Scan(
        n_events=n_events,
        n_anonymous=n_events - n_named if n_named else 0,
        has_users=n_named > 0,
        has_hours=any(row["has_hours"] for row in rows),
        mean_rating=sum(row["rating"] or 0.0 for row in rows) / n_ratings if n_ratings else 0.0,
        counts={row["event"]: row["n"] for row in rows},
    )


def with_keys(events: DataFrame, *, has_users: bool) -> DataFrame:
    """Add the key of the user, and what decides which part an event is in: its user, else its basket."""
    from pyspark.sql import functions as F  # noqa: N812

    key: Column = F.coalesce("user_id", "visitor_id") if has_users else F.concat(F.lit(SESSION), F.col("session_id"))
    return events.withColumn(KEY, key).withColumn(
        UNIT, F.coalesce(F.col(KEY), F.concat(F.lit("\0"), F.coalesce("basket_id", "session_id", F.lit(""))))
    )


def sample_of(table: DataFrame, column: str, share: float) -> DataFrame:
    """Return the rows of a share of the users, the same users of every table."""
    from pyspark.sql import functions as F  # noqa: N812

    if share >= 1:
        return table
    return table.where(F.pmod(F.xxhash64(column), F.lit(SAMPLE_STEPS)) < round(share * SAMPLE_STEPS))


def to_events(rows: DataFrame) -> pl.DataFrame:
    """Collect events in the order of the tables."""
    table = cast("pl.DataFrame", pl.from_arrow(rows.select(*EVENTS, FILE, ROW).toArrow()))
    return in_order(table)


def in_order(table: pl.DataFrame) -> pl.DataFrame:
    """Return events in the order of the tables, without the place of each row."""
    return table.sort(FILE, ROW).select(pl.col(name).cast(dtype) for name, dtype in EVENTS.items())


def gather(events: DataFrame, items: pl.DataFrame, sample: pl.DataFrame, found: Scan, timezone: str) -> ShopFacts:
    """Return the facts by which every part of the events is numbered.

    Args:
        events: of all users.
        items: the columns of `schema.ITEMS`, one row per item.
        sample: events of some users, from which the scope of receipt numbers is found.
        found: what `scan` returned.
        timezone: IANA zone of the shop.
    """
    from pyspark.sql import functions as F  # noqa: N812

    weight = F.sum(F.when(F.col("event") == "purchase", PURCHASE_WEIGHT).otherwise(1.0)).alias("weight")
    sales = cast("pl.DataFrame", pl.from_arrow(events.groupBy("item_id").agg(weight).toArrow()))
    is_product = sales["item_id"].is_in(items["item_group_id"].drop_nulls().implode())
    variant_of = choose_variants(sales, items) if is_product.any() else {}
    item_ids = (variant_of.get(item_id, item_id) for item_id in sales["item_id"])
    counted = events.where(F.col("channel").isNotNull()).groupBy("channel").count()
    channels = counted.orderBy(F.desc("count"), "channel").limit(MAX_CHANNELS).collect()
    lines = sample.filter(pl.col("event").is_in(ORDER_EVENTS)).sort("timestamp", maintain_order=True)
    return ShopFacts(
        items=IdMap.of([*item_ids, *items["item_id"]]),
        variant_of=variant_of,
        receipt_scope=find_scope(lines, timezone) if len(lines) else (),
        has_users=found.has_users,
        has_hours=found.has_hours,
        target_event=choose_target(np.array([found.counts.get(name, 0) for name in EVENT_NAMES])),
        mean_rating=found.mean_rating,
        channels=tuple(row["channel"] for row in channels),
    )
