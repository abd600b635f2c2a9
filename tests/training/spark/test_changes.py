"""Days are added to kept counts: after each step they are those of a training from scratch."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.core.ids import IdMap
from recsys.core.schema import EVENTS, USERS
from recsys.data.shop_facts import ShopFacts
from recsys.fitting.engine import EngineConfig
from recsys.models.temporal.popularity import PopularityCounts, count_popularity
from tests.shop import TIMEZONE, ShopTables
from tests.training.spark.test_kept import assert_equal
from training.source import TrainingData
from training.spark import changes
from training.spark.changes import OWN, Keep, digest_of
from training.spark.config import SparkConfig
from training.spark.kept import KeptCounts, KeptSettings, count_kept
from training.spark.parts import SparkParts
from training.spark.shop import SparkShop, read_shop
from training.spark.snapshots import latest, signatures

SPARK = SparkConfig(part_events=600)
SETTINGS = KeptSettings.of(EngineConfig())
FIRST, SECOND = "2024-06-01", "2024-06-03"
N_USERS = 12


class Steps:
    """A folder of tables to which days are added, and the state beside it."""

    def __init__(self, folder: Path, tables: ShopTables, session: Any) -> None:
        people = tables.events["user_id"].drop_nulls().unique().sort()[:N_USERS]
        events = tables.events.filter(pl.col("user_id").is_null() | pl.col("user_id").is_in(people.implode()))
        self.days = {str(key[0]): rows for key, rows in events.group_by(pl.col("timestamp").dt.date())}
        self.data, self.state, self.session = folder / "shop [1] of 商店", folder / "state", session
        self.data.mkdir()
        self.users = tables.users
        tables.items.write_parquet(self.data / "items.parquet")
        info = {"schema_version": 1, "timezone": TIMEZONE, "fingerprint": "shop", "rows": {}}
        (self.data / "dataset.json").write_text(json.dumps(info), encoding="utf-8")

    def write(self, first: str, last: str, *more: dict[str, Any]) -> None:
        """Write the days from one to another, exclusive; further lines go into the last of them."""
        self.users.write_parquet(self.data / "users.parquet")
        days = sorted(day for day in self.days if first <= day < last)
        for day in days:
            path = self.data / "events" / f"day={day}" / "part-0.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = self.days[day]
            if day == days[-1] and more:
                added = pl.DataFrame([dict.fromkeys(EVENTS) | line for line in more], EVENTS)
                rows = self.days[day] = pl.concat([rows.select(list(EVENTS)), added])
            rows.write_parquet(path)

    def opt_out(self, *user_ids: str) -> None:
        """Write only the table of users, in which some have opted out."""
        asked = pl.DataFrame({"user_id": user_ids, "personalization": False}, {name: USERS[name] for name in OWN[::2]})
        self.users = self.users.update(asked, on="user_id", how="full")
        self.users.write_parquet(self.data / "users.parquet")

    def read(self, keep: Keep | None = None) -> SparkShop:
        return read_shop(self.session, self.data, SPARK, self.data / "work", keep)

    def check(self, caplog: pytest.LogCaptureFixture, said: str) -> None:
        """Train with the state, and compare the kept counts with those of all events."""
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="training.spark.changes"):
            shop = self.read(Keep(self.state, SETTINGS))
        assert said in caplog.text
        scratch = replace(shop.parts, kept={})
        expected = scratch.total(partial(count_kept, settings=SETTINGS, now=shop.end), KeptCounts)
        folder = max(self.state.iterdir())
        basis = json.loads((folder / "manifest.json").read_text())
        snapshot = latest(self.state, basis["digest"], signatures(self.data))
        assert snapshot is not None
        assert snapshot.basis.now == shop.end
        items = shop.parts.dataset.items
        assert_equal(snapshot.counts(items), expected)
        count = partial(count_popularity, config=SETTINGS.popularity, now=shop.end)
        used = shop.parts.total(count, PopularityCounts)
        assert used.n_users == expected.popularity.n_users
        assert used is not scratch.total(count, PopularityCounts)


@pytest.fixture
def steps(tmp_path: Path, shop_tables: ShopTables, spark_data: TrainingData) -> Iterator[Steps]:
    assert isinstance(spark_data.parts, SparkParts)
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession()
    assert session is not None
    before = session.conf.get("spark.sql.shuffle.partitions")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield Steps(tmp_path, shop_tables, session)
    session.conf.set("spark.sql.shuffle.partitions", before)


def line(event: str, at: datetime, **values: Any) -> dict[str, Any]:
    return {"event": event, "timestamp": at, "item_id": "camera-1", "user_id": "u010", **values}


def test_three_steps_have_the_counts_of_a_training_from_scratch(
    steps: Steps, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps bring what crosses days: a refund, an order and a session over midnight, late lines and new items."""
    steps.write("2024-05-10", FIRST)
    steps.check(caplog, "no kept counts fit")

    midnight = datetime(2024, 6, 3, tzinfo=UTC)
    old = (
        steps.days["2024-05-20"]
        .filter((pl.col("event") == "purchase") & pl.col("user_id").is_not_null())
        .row(0, named=True)
    )
    refund = {name: old[name] for name in ("item_id", "user_id", "basket_id") if name in old}
    steps.write(
        FIRST,
        SECOND,
        line("refund", midnight - timedelta(hours=2), **refund),
        line("purchase", midnight - timedelta(minutes=1), basket_id="over midnight", item_id="case-3"),
        line("view_item", midnight - timedelta(minutes=1), session_id="over midnight", user_id=None),
        line("purchase", midnight - timedelta(minutes=3), user_id=None, basket_id="anonymous"),
    )
    steps.check(caplog, "2 of ")

    after = midnight + timedelta(minutes=1)
    steps.users = steps.users.with_columns(
        personalization=pl.when(pl.col("user_id") == steps.users["user_id"][6])
        .then(False)
        .otherwise("personalization"),
        timezone=pl.when(pl.col("user_id") == steps.users["user_id"][8])
        .then(pl.lit("America/New_York"))
        .otherwise("timezone"),
    )
    steps.write(
        SECOND,
        "2024-06-04",
        line("purchase", after, basket_id="over midnight", item_id="case-4"),
        line("view_item", after, session_id="over midnight", user_id=None),
        line("purchase", after, user_id=None, basket_id="anonymous", item_id="in no catalog"),
        line("purchase", after, user_id="first seen now", item_id="0 first of all items"),
    )
    steps.check(caplog, "1 of ")

    steps.write(FIRST, SECOND, line("purchase", midnight - timedelta(hours=5), item_id="card-64"))
    steps.check(caplog, "3 of ")
    steps.opt_out("u010")
    steps.check(caplog, "0 of ")

    steps.opt_out("first seen now")  # who alone had bought an item that no catalog has
    with monkeypatch.context() as patch, caplog.at_level(logging.INFO, logger="training.spark.changes"):
        patch.setattr(changes, "signatures", lambda folder: signatures(folder) | {"events/late": (1,)})
        before = sorted(steps.state.iterdir())
        steps.read(Keep(steps.state, SETTINGS))
        assert "no kept counts fit" in caplog.text
        assert "counts are not kept" in caplog.text
        assert sorted(steps.state.iterdir()) == before


def test_all_files_that_spark_reads_have_a_signature(tmp_path: Path) -> None:
    (tmp_path / "events" / "day=1").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for name in ("events/day=1/part-0.parquet", "events/day=1/part-1", "elsewhere/part-2", "events/day=1/_SUCCESS"):
        (tmp_path / name).write_text("rows")
    (tmp_path / "events" / "day=2").symlink_to(tmp_path / "elsewhere")
    assert set(signatures(tmp_path)) == {
        "events/day=1/part-0.parquet",
        "events/day=1/part-1",
        "events/day=2/part-2",
    }


FACTS = ShopFacts(IdMap.of(["a"]), {}, (), True, True, 0, 0.0, ())


OTHER_FACTS: tuple[dict[str, Any], ...] = (
    {"variant_of": {"p": "a"}},
    {"receipt_scope": ("day",)},
    {"has_users": False},
    {"has_hours": False},
    {"target_event": 1},
)


@pytest.mark.parametrize("changed", OTHER_FACTS)
def test_counts_of_other_facts_do_not_fit(changed: dict[str, Any]) -> None:
    assert digest_of(replace(FACTS, **changed), TIMEZONE, SETTINGS) != digest_of(FACTS, TIMEZONE, SETTINGS)


def test_counts_of_other_settings_and_zones_do_not_fit_but_those_of_more_items_do() -> None:
    other = SETTINGS._replace(popularity=replace(SETTINGS.popularity, trend_days=7.0))
    own = digest_of(FACTS, TIMEZONE, SETTINGS)
    assert digest_of(FACTS, TIMEZONE, other) != own != digest_of(FACTS, "UTC", SETTINGS)
    assert (
        digest_of(replace(FACTS, items=IdMap.of(["a", "b"]), mean_rating=3.0, channels=("web",)), TIMEZONE, SETTINGS)
        == own
    )
