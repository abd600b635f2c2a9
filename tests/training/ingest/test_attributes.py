from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.ingest.attributes import typed_columns
from training.ingest.ingest import IngestConfig
from training.ingest.reports import IngestReport
from training.ingest.timestamp_columns import TimestampOptions

Run = Callable[..., tuple[IngestReport, Path]]
SHANGHAI = TimestampOptions("Asia/Shanghai")
MORNING = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("texts", "dtype", "values"),
    [
        (["5", " 70 ", None, ""], pl.Float64, [5.0, 70.0, None, None]),
        (["5.25", "-3", "0", "0.5"], pl.Float64, [5.25, -3.0, 0.0, 0.5]),
        (["true", "False", None], pl.Boolean, [True, False, None]),
        (["yes", "No", " YES "], pl.Boolean, [True, False, True]),
        (["2024-05-01", None], pl.Date, [date(2024, 5, 1), None]),
        (["2024-05-01T08:00:00+08:00", "2024-05-01 08:00"], pl.Datetime, [MORNING, MORNING]),
        (["5", "70", "many"], pl.String, None),
        (["007", "12"], pl.String, None),
        (["4006381333931000", "1"], pl.String, None),
        (["+4912345"], pl.String, None),
        (["1e3"], pl.String, None),
        (["7,90", "12", "1.093,50"], pl.Float64, [7.9, 12.0, 1093.5]),
        (["1,299.00", "7.5"], pl.Float64, [1299.0, 7.5]),
        (["36,37,38"], pl.String, None),
        (["1", "true"], pl.String, None),
        (["2024-05-01", "soon"], pl.String, None),
        (["2024-02-30"], pl.String, None),
        (["2024-05-01T25:00"], pl.String, None),
        ([None, "", " "], pl.String, None),
        (["red"], pl.String, None),
    ],
)
def test_a_column_has_the_one_type_of_all_its_values(texts: list[str | None], dtype: Any, values: Any) -> None:
    frame, notes = typed_columns(pl.DataFrame({"own": pl.Series(texts, dtype=pl.String)}), SHANGHAI)
    assert frame.schema["own"].base_type() == dtype
    assert frame["own"].to_list() == (texts if values is None else values)
    assert [note.partition(":")[0] for note in notes] == ["own"] * (values is not None)


def test_numbers_of_two_readings_stay_texts_and_are_told_of() -> None:
    frame = pl.DataFrame({"stock": ["1.299", "2.450"]})
    typed, (note,) = typed_columns(frame, SHANGHAI)
    assert typed.equals(frame)
    assert "stock: stays text" in note
    assert "--decimal point or --decimal comma" in note
    assert typed_columns(frame, SHANGHAI, "comma")[0]["stock"].to_list() == [1299.0, 2450.0]
    assert typed_columns(frame, SHANGHAI, "point")[0]["stock"].to_list() == [1.299, 2.45]


def test_times_without_a_zone_stay_texts_where_the_shop_has_none() -> None:
    frame = pl.DataFrame({"own": ["2024-05-01 08:00"]})
    assert typed_columns(frame, TimestampOptions())[0].equals(frame)


@given(st.lists(st.none() | st.text(st.sampled_from("0123456789.,-+eTtrue "), max_size=6), max_size=6))
def test_no_value_is_lost(texts: list[str | None]) -> None:
    column = pl.Series("own", texts, dtype=pl.String)
    typed = typed_columns(column.to_frame(), SHANGHAI)[0]["own"]
    blank = column.str.strip_chars().fill_null("") == ""
    assert (typed.is_null() == (column.is_null() if typed.dtype == pl.String else blank)).all()


@pytest.mark.parametrize("table", ["items", "users"])
def test_columns_of_csv_get_types_and_columns_of_other_files_keep_theirs(
    run: Run, tmp_path: Path, table: str, events_file: Callable[..., Path], good: dict[str, Any]
) -> None:
    key = {"items": "item_id", "users": "user_id"}[table]
    csv, jsonl = tmp_path / f"{table}.csv", tmp_path / f"{table}.jsonl"
    csv.write_text(f"{key},stock,code,organic\na,5,01,yes\nb,,02,no\n", encoding="utf-8")
    jsonl.write_text(json.dumps({key: "a", "stock": "5", "code": "01", "organic": "yes"}), encoding="utf-8")

    def schema(path: Path) -> list[Any]:
        report, out = run(IngestConfig(), events=events_file([good]), **{table: path})
        frame = pl.read_parquet(out / f"{table}.parquet")
        assert sum(": read as " in note for note in report.tables[table].notes) == (2 if path == csv else 0)
        return [frame.schema[name] for name in ("stock", "code", "organic")]

    assert schema(csv) == [pl.Float64, pl.String, pl.Boolean]
    assert schema(jsonl) == [pl.String] * 3
