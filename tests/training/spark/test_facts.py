"""Facts from Spark, against those of the tables in this process."""

from __future__ import annotations

from collections import Counter

import polars as pl

from recsys.core.schema import EVENTS
from tests.shop import ShopTables
from training.source import TrainingData
from training.spark.facts import in_order, sample_of
from training.spark.parts import SparkParts
from training.spark.tables import FILE, ROW


def test_the_facts_of_the_shop_are_those_of_its_tables(spark_data: TrainingData, shop_tables: ShopTables) -> None:
    one, found = shop_tables.dataset(), spark_data.dataset
    assert (found.items, found.users) == (one.items, one.users)
    assert (found.target_event, found.channels) == (one.target_event, one.channels)
    assert found.orders.scope == one.orders.scope
    assert (spark_data.end, found.mean_rating) == (one.end, one.mean_rating)
    assert spark_data.rows == {"events": len(one.events), "users": len(one.users), "items": len(one.items)}


def test_all_users_are_in_the_sample_of_a_small_shop(spark_parts: SparkParts) -> None:
    assert spark_parts.share == 1
    assert len(spark_parts.dataset.users) == sum(spark_parts.n_users.values())


def test_a_sample_has_all_rows_of_some_users(spark_parts: SparkParts) -> None:
    from pyspark.sql import SparkSession

    assert spark_parts.share == 1
    session = SparkSession.getActiveSession()
    assert session is not None
    rows = [(f"u{n % 50}", n) for n in range(200)]
    events, users = (
        session.createDataFrame(rows, "user string, n int"),
        session.createDataFrame(rows[:50], "id string, n int"),
    )
    drawn = Counter(row["user"] for row in sample_of(events, "user", 0.5).collect())
    assert 10 < len(drawn) < 40
    assert set(drawn.values()) == {4}
    assert {row["id"] for row in sample_of(users, "id", 0.5).collect()} == set(drawn)
    assert sample_of(events, "user", 1.0) is events


def test_events_are_in_the_order_of_their_files_and_rows() -> None:
    place = {FILE: [10, 9, 2], ROW: [0, 1, 4]}
    rows = pl.DataFrame({name: [None] * 3 for name in EVENTS} | {"item_id": ["x", "y", "z"]} | place)
    assert in_order(rows)["item_id"].to_list() == ["z", "y", "x"]
