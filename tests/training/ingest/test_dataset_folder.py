from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from recsys.core.errors import ConfigError
from training.ingest import dataset_folder
from training.ingest.dataset_folder import check_replaceable, write_folder

ITEMS = pl.DataFrame({"item_id": ["a", "b"]})
REJECTS = pl.DataFrame({"row": [1]})


def test_tables_and_reports_are_written_with_their_description(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "data"
    tables = {"items": ITEMS, "rejects": REJECTS}
    info = write_folder(tables, {"report": {"rows": 2}}, "UTC", out, store_seq=7, merges={"v": "u"})
    assert (info.rows, info.timezone, info.store_seq, info.merges) == ({"items": 2}, "UTC", 7, {"v": "u"})
    assert json.loads((out / "dataset.json").read_text())["fingerprint"] == info.fingerprint
    assert json.loads((out / "report.json").read_text()) == {"rows": 2}
    assert pl.read_parquet(out / "items.parquet").equals(ITEMS)
    assert [path.name for path in out.parent.iterdir()] == ["data"]


def test_the_fingerprint_is_that_of_tables_and_zone_alone(tmp_path: Path) -> None:
    def fingerprint(tables: dict[str, pl.DataFrame], zone: str = "UTC") -> str:
        return write_folder(tables, {}, zone, tmp_path / "data").fingerprint

    same = fingerprint({"items": ITEMS})
    assert fingerprint({"items": ITEMS, "rejects": REJECTS}) == same
    assert fingerprint({"items": ITEMS.reverse()}) != same
    assert fingerprint({"items": ITEMS}, "Asia/Shanghai") != same
    assert fingerprint({"users": ITEMS}) != same


def test_a_folder_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "data"
    write_folder({"items": ITEMS}, {}, "UTC", out)

    def fail(path: Path, value: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(dataset_folder, "_write_json", fail)
    with pytest.raises(OSError, match="disk full"):
        write_folder({"users": ITEMS}, {}, "UTC", out)
    assert sorted(path.name for path in out.iterdir()) == ["dataset.json", "items.parquet"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_only_an_older_folder_of_tables_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "data"
    check_replaceable(out)
    out.mkdir()
    check_replaceable(out)
    (out / "mine.txt").write_text("x")
    with pytest.raises(ConfigError, match=r"has other files and no dataset\.json"):
        check_replaceable(out)
    (out / "dataset.json").write_text("{}")
    check_replaceable(out)
    with pytest.raises(ConfigError, match="is a file"):
        check_replaceable(out / "mine.txt")
