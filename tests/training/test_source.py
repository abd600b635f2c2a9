"""The tables of a folder as the data of a training, from files or from folders by day."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from tests.recsys.same import assert_same
from tests.shop import TIMEZONE, ShopTables
from training.source import load_tables


def write(folder: Path, tables: ShopTables, *, by_day: bool) -> Path:
    folder.mkdir()
    info = {"schema_version": 1, "timezone": TIMEZONE, "fingerprint": "shop", "rows": {}}
    (folder / "dataset.json").write_text(json.dumps(info), encoding="utf-8")
    tables.items.write_parquet(folder / "items.parquet")
    tables.users.write_parquet(folder / "users.parquet")
    if not by_day:
        tables.events.write_parquet(folder / "events.parquet")
        return folder
    days = tables.events.sort("timestamp", maintain_order=True).with_columns(day=pl.col("timestamp").dt.date())
    for (day,), rows in days.partition_by("day", as_dict=True, maintain_order=True).items():
        path = folder / "events" / f"day={day}" / "part-0.parquet"
        path.parent.mkdir(parents=True)
        rows.drop("day").write_parquet(path)
    return folder


def test_a_folder_by_day_is_the_same_shop(shop_tables: ShopTables, tmp_path: Path) -> None:
    folders = [write(tmp_path / name, shop_tables, by_day=name == "days") for name in ("file", "days")]
    with load_tables(folders[0], tmp_path) as one, load_tables(folders[1], tmp_path) as other:
        assert one.rows == other.rows
        assert (one.end, one.parts) == (other.end, None)
        assert_same(one.dataset.events, other.dataset.events)
        assert one.finish(None) is None  # type: ignore[arg-type]
