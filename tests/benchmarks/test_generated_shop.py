"""A generated shop has what time and memory depend on, and is a folder that training reads."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from benchmarks.generated_shop import ShopSize, generate
from recsys.core.errors import ConfigError
from recsys.data.dataset import load_dataset

SIZE = ShopSize(n_events=40_000, n_items=3_000, n_users=3_000, n_days=60)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated") / "shop"
    generate(SIZE, folder)
    return folder


def test_its_rows_are_about_those_that_were_asked_for(shop: Path) -> None:
    dataset = load_dataset(shop)
    assert len(dataset.events) == pytest.approx(SIZE.n_events, rel=0.05)
    assert (len(dataset.items), len(dataset.users)) == (SIZE.n_items, SIZE.n_users)
    assert (dataset.end - int(dataset.events.timestamp[0])) / 86_400 == pytest.approx(SIZE.n_days, abs=2)


def test_sales_and_users_are_unequal_and_users_return_to_items(shop: Path) -> None:
    events = pl.read_parquet(shop / "events.parquet")
    for column, share in (("item_id", 0.15), ("user_id", 0.1)):
        counts = events.group_by(column).len().sort("len", descending=True)["len"]
        assert counts[: len(counts) // 20].sum() > share * len(events), f"the first 5 % by {column}"
    bought = events.filter(pl.col("event") == "purchase")
    assert bought.unique(["user_id", "item_id"]).height < 0.97 * bought.height
    lines = bought.group_by("basket_id").len()["len"]
    assert 2 < float(lines.mean() or 0) < 3


def test_orders_join_types_that_go_together(shop: Path) -> None:
    bought = pl.read_parquet(shop / "events.parquet").filter(pl.col("event") == "purchase")
    item_type = pl.col("item_id").str.strip_prefix("i").cast(pl.Int64) // 60
    orders = bought.group_by("basket_id", maintain_order=True).agg(item_type.alias("types"))["types"].to_list()
    partners: dict[int, Counter[int]] = {}
    for first, second, *_ in (types for types in orders if len(types) > 1):
        partners.setdefault(first, Counter())[second] += 1
    assert len(partners) > 20
    usual = sum(of_type.most_common(1)[0][1] for of_type in partners.values())
    assert usual > 0.6 * sum(of_type.total() for of_type in partners.values())


def test_each_category_has_its_hours(shop: Path) -> None:
    events = pl.read_parquet(shop / "events.parquet").join(pl.read_parquet(shop / "items.parquet"), on="item_id")
    hours = events.group_by(pl.col("category").list.first()).agg(pl.col("timestamp").dt.hour().mode().first())
    assert hours["timestamp"].n_unique() > 2


def test_the_same_seed_is_the_same_shop(shop: Path, tmp_path: Path) -> None:
    assert generate(SIZE, tmp_path / "again").fingerprint == load_dataset(shop).fingerprint
    other = ShopSize(SIZE.n_events, SIZE.n_items, SIZE.n_users, SIZE.n_days, seed=1)
    assert generate(other, tmp_path / "other").fingerprint != load_dataset(shop).fingerprint


def test_a_file_per_day_has_the_same_events(shop: Path, tmp_path: Path) -> None:
    info = generate(SIZE, tmp_path / "days", by_day=True)
    files = sorted((tmp_path / "days" / "events").glob("day=*/*.parquet"))
    assert len(files) == SIZE.n_days - 1
    whole = pl.read_parquet(shop / "events.parquet")
    assert pl.concat([pl.read_parquet(file, hive_partitioning=False) for file in files]).equals(whole)
    assert info.rows["events"] == len(whole)
    assert len(load_dataset(tmp_path / "days").events) == len(load_dataset(shop).events)


def test_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"no dataset\.json"):
        generate(SIZE, tmp_path)
