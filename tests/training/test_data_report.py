"""The report of the data in a bundle: counts, samples of rejected rows, findings; all within bounds."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import polars as pl
import pytest

from recsys.data.dataset import load_dataset
from tests.jobs import NOW, write_rows, write_shop
from tests.shop import ShopTables
from training.data_report import MAX_CHARS, MAX_REASONS, MAX_SAMPLES, report_data
from training.ingest.ingest import IngestConfig, InputFiles, ingest

GOOD = {"user_id": "u1", "item_id": "i1", "event": "purchase", "timestamp": "2024-05-01T10:00:00Z"}


def ingested(tmp_path: Path, rows: list[dict[str, str]], items: list[dict[str, str]] | None = None) -> Path:
    files = {"events": write_rows(rows, tmp_path / "events.csv")}
    if items:
        files["items"] = write_rows(items, tmp_path / "items.csv")
    ingest(InputFiles(**files), IngestConfig(timezone="UTC", max_reject_share=1.0), tmp_path / "data", NOW)
    return tmp_path / "data"


def test_rejected_rows_are_counted_by_reason_with_samples(tmp_path: Path) -> None:
    bad = [GOOD | {"timestamp": f"not a time {n}"} for n in range(5)] + [GOOD | {"item_id": "", "timestamp": "never"}]
    data = ingested(tmp_path, [GOOD, GOOD | {"item_id": "i2", "timestamp": "2024-05-03T10:00:00Z"}, *bad])
    (table,) = report_data(data, load_dataset(data)).tables
    assert (table.name, table.rows, table.kept, table.rejected) == ("events", 8, 2, 6)
    assert (table.first, table.last) == ("2024-05-01T10:00:00+00:00", "2024-05-03T10:00:00+00:00")
    of_time = next(each for each in table.reasons if "timestamp" in each.reason)
    assert of_time.count == 6
    assert len(of_time.samples) == MAX_SAMPLES
    assert "not a time 0" in of_time.example
    assert json.loads(of_time.samples[0].content)["timestamp"] == "not a time 0"
    assert of_time.samples[0].place == "events.csv:4"
    of_item = next(each for each in table.reasons if "item_id" in each.reason)
    assert [json.loads(row.content)["timestamp"] for row in of_item.samples] == ["never"], "a row with two reasons"


def test_the_report_is_bounded_whatever_the_tables_contain(tmp_path: Path) -> None:
    bad = [GOOD | {"event": "x" * 9_999, "item_id": "y" * 9_999, "timestamp": "z" * 9_999} for _ in range(50)]
    data = ingested(tmp_path, [GOOD, *bad])
    report = report_data(data, load_dataset(data))
    (table,) = report.tables
    assert len(table.reasons) <= MAX_REASONS
    texts = [
        text for each in table.reasons for text in (each.reason, each.example, *(row.content for row in each.samples))
    ]
    assert max(map(len, texts)) <= MAX_CHARS
    assert len(msgspec.json.encode(report)) < 50_000


def test_the_invented_shop_has_findings_and_lists(shop_tables: ShopTables, tmp_path: Path) -> None:
    data = write_shop(shop_tables, tmp_path / "data")
    report = report_data(data, load_dataset(data))
    assert {"events", "items", "users"} <= {table.name for table in report.tables}
    assert {"yes"} <= {each.grade for each in report.lists}
    assert any("for_you" in each.lists for each in report.lists)
    assert all(table.rows >= table.kept for table in report.tables)


def test_suspected_bots_are_counted_without_their_ids(tmp_path: Path) -> None:
    people = [GOOD | {"user_id": f"u{n}", "item_id": f"i{n % 7}"} for n in range(150)]
    busy = [
        GOOD
        | {
            "user_id": "busy-bee",
            "event": "view_item",
            "item_id": f"i{n % 7}",
            "timestamp": f"2024-05-01T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z",
        }
        for n in range(20_000)
    ]
    data = ingested(tmp_path, [*people, *busy])
    findings = report_data(data, load_dataset(data)).findings
    assert any("suspected bot" in line for line in findings)
    assert not any("suspected bot: " in line for line in findings)


@pytest.mark.parametrize("broken", [None, "u9,i9,purchase,2024-05-01T10:00:00Z,li@example.cn,more"])
def test_columns_that_nothing_reads_are_not_in_the_samples(tmp_path: Path, broken: str | None) -> None:
    path = write_rows(
        [GOOD | {"mail": "li@example.cn"}, GOOD | {"timestamp": "never", "mail": "li@example.cn"}],
        tmp_path / "events.csv",
    )
    if broken is not None:
        path.write_text(f"{path.read_text()}{broken}\n")
    config = IngestConfig(timezone="UTC", max_reject_share=1.0)
    ingest(InputFiles(events=path), config, tmp_path / "data", NOW)
    rejects = pl.read_parquet(tmp_path / "data" / "rejects.parquet")
    assert rejects["original"].str.contains("li@example.cn").all(), "nothing is lost in the folder of tables"
    report = report_data(tmp_path / "data", load_dataset(tmp_path / "data"))
    samples = [row for table in report.tables for each in table.reasons for row in each.samples]
    assert len(samples) == rejects.height
    assert any("never" in row.content for row in samples)
    assert b"li@example.cn" not in msgspec.json.encode(report)


@pytest.mark.parametrize("missing", ["report.json", "rejects.parquet"])
def test_a_folder_without_a_report_of_the_ingest_has_one_nevertheless(tmp_path: Path, missing: str) -> None:
    data = ingested(tmp_path, [GOOD, GOOD | {"timestamp": "never"}])
    (data / missing).unlink()
    report = report_data(data, load_dataset(data))
    assert report.lists
    assert [each.samples for table in report.tables for each in table.reasons] == (
        [] if missing == "report.json" else [()]
    )


def test_a_folder_of_an_earlier_release_states_less(tmp_path: Path) -> None:
    data = ingested(tmp_path, [GOOD, GOOD | {"timestamp": "never"}])
    pl.read_parquet(data / "rejects.parquet").drop("file", "line").write_parquet(data / "rejects.parquet")
    counts = json.loads((data / "report.json").read_text())["events"]
    (data / "report.json").write_text(json.dumps({"events": {name: counts[name] for name in ("rows", "reasons")}}))
    (table,) = report_data(data, load_dataset(data)).tables
    assert (table.rows, table.kept, table.reasons[0].samples[0].place) == (2, 0, "row 2")


def test_the_table_of_rejects_may_be_empty(tmp_path: Path) -> None:
    data = ingested(tmp_path, [GOOD])
    assert pl.read_parquet(data / "rejects.parquet").is_empty()
    (table,) = report_data(data, load_dataset(data)).tables
    assert (table.reasons, table.rejected) == ((), 0)


def test_a_large_shop_is_not_examined(shop_tables: ShopTables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.data_report.LARGE_EVENTS", 1)
    data = write_shop(shop_tables, tmp_path / "data")
    report = report_data(data, load_dataset(data))
    assert report.lists == ()
    assert "recsys doctor" in report.findings[0]
