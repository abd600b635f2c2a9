"""Shops whose funnels and cohorts are known by construction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl

from recsys.core.schema import EVENTS, ITEMS, USERS

START: Final = datetime(2026, 3, 2, tzinfo=UTC)
"""A Monday."""


def event(person: str, name: str, day: float, item: str = "i", **columns: Any) -> dict[str, Any]:
    """One event, some days after `START`."""
    return {"user_id": person, "event": name, "timestamp": START + timedelta(days=day), "item_id": item, **columns}


def frame(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Rows as a table with the given columns and the rows' own."""
    own = {name for row in rows for name in row} - set(columns)
    table = pl.DataFrame({name: [row.get(name) for row in rows] for name in columns}, dict(columns))
    return table.with_columns(pl.Series(name, [row.get(name) for row in rows]) for name in sorted(own))


def write_tables(
    folder: Path,
    events: Sequence[Mapping[str, Any]],
    items: Sequence[Mapping[str, Any]] = (),
    users: Sequence[Mapping[str, Any]] = (),
    timezone: str = "UTC",
) -> Path:
    """The folder that `recsys ingest` writes."""
    folder.mkdir(parents=True, exist_ok=True)
    frame(events, EVENTS).sort("timestamp").write_parquet(folder / "events.parquet")
    if items:
        frame(items, ITEMS).write_parquet(folder / "items.parquet")
    if users:
        frame(users, USERS).write_parquet(folder / "users.parquet")
    info = {"schema_version": 1, "timezone": timezone, "fingerprint": "", "rows": {}}
    (folder / "dataset.json").write_text(json.dumps(info), encoding="utf-8")
    return folder
