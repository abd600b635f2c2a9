from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from training.demo_data import TIMEZONE, build_demo, readable_name
from training.doctor.doctor import run_doctor


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "demo"
    assert build_demo(out) is True
    return out


def test_counts_after_cleaning(demo: Path) -> None:
    events = pl.read_parquet(demo / "events.parquet")
    assert events.height == 1_440_140
    assert events["user_id"].n_unique() == 2_467
    assert events["item_id"].n_unique() == 67_773
    assert events["event_id"].n_unique() == events.height
    assert pl.read_parquet(demo / "users.parquet").height == 2_467
    assert pl.read_parquet(demo / "rejects.parquet").is_empty()


def test_the_shops_are_in_new_york(demo: Path) -> None:
    times = pl.read_parquet(demo / "events.parquet", columns=["timestamp"])["timestamp"]
    hours = times.dt.convert_time_zone(TIMEZONE).dt.hour().value_counts(sort=True)
    assert sorted(hours["timestamp"].head(3)) == [16, 17, 18]
    assert str(times.dt.convert_time_zone(TIMEZONE).dt.date().max()) == "2017-12-31"


def test_the_catalogue_describes_every_item(demo: Path) -> None:
    items = pl.read_parquet(demo / "items.parquet")
    assert items["item_id"].is_unique().all()
    assert items["title"].null_count() == 0
    assert items.filter(pl.col("category").list.len() < 2).is_empty()
    assert items.filter(pl.col("list_price") <= pl.col("price")).is_empty()
    sold = pl.read_parquet(demo / "events.parquet", columns=["item_id"]).unique()
    assert sold.join(items, on="item_id", how="anti").is_empty()
    assert items.join(sold, on="item_id", how="anti").height > 20_000, "cold items are in the catalogue"
    row = items.filter(pl.col("title") == "Shredded cheese 8 oz").row(0, named=True)
    assert row["category"] == ["GROCERY", "CHEESE", "SHREDDED CHEESE"]
    assert "size:8 oz" in row["tags"]


def test_households_carry_their_demographics(demo: Path) -> None:
    users = pl.read_parquet(demo / "users.parquet")
    assert users.filter(pl.col("tags").list.len() > 0).height == 801
    assert users.filter(user_id="1001")["tags"].to_list()[0][:2] == ["age:45-54", "income:50-74K"]
    assert set(users["timezone"]) == {TIMEZONE}


def test_a_second_build_is_skipped(demo: Path) -> None:
    assert build_demo(demo) is False


def test_the_demo_feeds_every_list(demo: Path) -> None:
    report = run_doctor(demo)
    assert {feed.grade for feed in report.feeds} == {"yes"}
    assert report.bots.suspects == 0


@pytest.mark.parametrize(
    ("category", "kind", "name"),
    [
        ("CHEESE", "SHREDDED CHEESE", "Shredded cheese"),
        ("PASTA SAUCE", "MAINSTREAM", "Pasta sauce: mainstream"),
        ("CHRISTMAS  SEASONAL", None, "Christmas seasonal"),
    ],
)
def test_readable_names(category: str, kind: str | None, name: str) -> None:
    assert readable_name(category, kind) == name
