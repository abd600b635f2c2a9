"""The offline jobs, run in this process over a few rows or over the invented shop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl

from recsys.pipeline.recommender import Recommender
from tests.shop import TIMEZONE, ShopTables, small_config
from training.ingest.ingest import IngestConfig, InputFiles, ingest
from training.train import TrainReport, train

NOW: Final = datetime(2024, 7, 2, 12, tzinfo=UTC)


def write_shop(tables: ShopTables, out: Path) -> Path:
    """The invented shop as the folder of tables that `recsys ingest` writes."""
    sources = {}
    for name, frame in vars(tables).items():
        sources[name] = out.parent / f"{out.name}-{name}.parquet"
        frame.write_parquet(sources[name])
    ingest(InputFiles(**sources), IngestConfig(timezone=TIMEZONE), out, NOW)
    return out


def write_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Rows as a CSV or Parquet file, by its ending."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    frame = pl.DataFrame({name: [row.get(name) for row in rows] for name in names}, strict=False)
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)
    return path


def run_jobs(
    folder: Path, events: Sequence[Mapping[str, Any]] = (), items: Sequence[Mapping[str, Any]] = ()
) -> tuple[TrainReport, Recommender]:
    """Ingest a few rows, train on them and open the bundle."""
    sources = {
        name: write_rows(rows, folder / f"{name}.csv") for name, rows in (("events", events), ("items", items)) if rows
    }
    ingest(InputFiles(**sources), IngestConfig(timezone="Asia/Shanghai"), folder / "data", NOW)
    report = train_small(folder / "data", folder / "models")
    return report, Recommender.open(folder / "models")


def train_small(data: Path, models: Path, *, later_s: int = 0, **settings: Any) -> TrainReport:
    """Train with settings that fit in a blink, some seconds after `NOW`."""
    return train(data, models, small_config(), now=NOW + timedelta(seconds=later_s), **settings)
