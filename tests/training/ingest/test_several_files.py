from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from training.ingest.ingest import IngestConfig
from training.ingest.reports import IngestReport

Run = Callable[..., tuple[IngestReport, Path]]

TABLES: dict[str, Callable[[Path], None]] = {
    "items.jsonl": lambda path: _lines(
        path, {"item_id": "a", "tags": ["x", "y, z"], "category": ["A", "B"], "price": 1}
    ),
    "items.csv": lambda path: _text(path, "item_id,tags,category,price\nb,x|y,A > B,2\n"),
    "other.csv": lambda path: _text(path, "item_id;tags;category;price\nc;x,y;A > B;3\n"),
    "items.parquet": lambda path: pl.DataFrame(
        {"item_id": [4], "tags": [["x", "y"]], "category": ["A > B"], "price": [4.0]}
    ).write_parquet(path),
}
ITEMS = {"a": ["x", "y, z"], "b": ["x", "y"], "c": ["x", "y"], "4": ["x", "y"]}


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _lines(path: Path, row: dict[str, Any]) -> None:
    _text(path, json.dumps(row))


@pytest.mark.parametrize("first", TABLES)
@pytest.mark.parametrize("second", TABLES)
def test_files_of_any_two_formats_are_one_table(run: Run, tmp_path: Path, first: str, second: str) -> None:
    names = list(dict.fromkeys((first, second)))
    for name in names:
        TABLES[name](tmp_path / name)
    report, out = run(IngestConfig(), items=[tmp_path / name for name in names])
    assert report.tables["items"].kept == len(names)
    items = pl.read_parquet(out / "items.parquet")
    assert dict(items.select("item_id", "tags").iter_rows()).items() <= ITEMS.items()
    assert items["category"].to_list() == [["A", "B"]] * len(names)
    assert set(items["price"]) <= {1.0, 2.0, 3.0, 4.0}
