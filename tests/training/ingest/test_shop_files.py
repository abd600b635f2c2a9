"""Files as shops have them: each test writes one small file of a kind and holds its right outcome."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.core.errors import DataError
from training.ingest.ingest import IngestConfig
from training.ingest.reports import IngestReport

Run = Callable[..., tuple[IngestReport, Path]]
BERLIN = IngestConfig(timezone="Europe/Berlin")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8", newline="")
        return path

    return file


def table(out: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(out / f"{name}.parquet")


def lines(header: str, rows: list[str], end: str = "\n") -> str:
    return end.join([header, *rows, ""])


@pytest.mark.parametrize("bad", ['"TV 55" LED"', '"TV 55"" LED"', 'TV 55" LED', '"TV 55'])
def test_inner_quotes_swallow_no_row(run: Run, write: Callable[..., Path], bad: str) -> None:
    titles = [bad if n in (40, 200) else f'"Lamp {n}"' for n in range(300)]
    rows = [f"i{n},{title},{n}.50" for n, title in enumerate(titles)]
    report, _ = run(IngestConfig(), items=write("items.csv", lines("item_id,title,price", rows)))
    items = report.tables["items"]
    assert items.kept + items.rejected == 300
    assert items.kept >= 298


def test_a_ragged_row_is_rejected_with_its_line(run: Run, write: Callable[..., Path]) -> None:
    rows = [f"i{n},Tea{', green' if n == 500 else ''} {n},{n}.5" for n in range(1000)]
    report, out = run(IngestConfig(), items=write("items.csv", lines("item_id,title,price", rows)))
    items = report.tables["items"]
    assert (items.kept, items.rejected) == (999, 1)
    assert items.examples["4 fields where the header has 3"].startswith("line 502 of items.csv has 'i500,Tea, green")
    assert table(out, "rejects").select("row", "file", "line").rows() == [(501, "items.csv", 502)]


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_line_ends_of_any_system(run: Run, write: Callable[..., Path], end: str) -> None:
    rows = ["u1,i1,purchase,2024-05-01T08:00:00Z", "u2,i1,purchase,2024-05-02T08:00:00Z"]
    report, _ = run(events=write("events.csv", lines("user_id,item_id,event,timestamp", rows, end)))
    assert (report.tables["events"].rows, report.tables["events"].kept) == (2, 2)


def test_guests_whose_id_is_a_word_for_nothing_are_nobody(run: Run, write: Callable[..., Path]) -> None:
    rows = [f"{'NULL' if n % 2 else f'u{n}'},i{n % 7},purchase,2024-05-01T08:{n}:00Z,o{n // 2}" for n in range(10, 50)]
    report, out = run(IngestConfig(), events=write("e.csv", lines("user_id,item_id,event,timestamp,basket_id", rows)))
    assert report.tables["events"].kept == 40
    assert report.tables["events"].emptied == {"user_id is a word for nothing": 20}
    assert "NULL" not in table(out, "events")["user_id"]


def test_wrapped_ids_and_times_are_plain_in_mapped_columns(run: Run, write: Callable[..., Path]) -> None:
    rows = [
        {
            "customer": {"$oid": f"65a0{n:020}"},
            "product": {"$oid": f"65b0{n:020}"},
            "ts": {"$date": {"$numberLong": str(1700000000000 + n)}},
        }
        for n in range(5)
    ]
    path = write("events.json", "\n".join(map(json.dumps, rows)))
    columns = {"customer": "user_id", "product": "item_id", "ts": "timestamp"}
    _, out = run(IngestConfig(columns=columns, default_event="purchase"), events=path)
    row = table(out, "events").row(1, named=True)
    assert (row["user_id"], row["item_id"]) == (f"65a0{1:020}", f"65b0{1:020}")
    assert row["timestamp"] == datetime(2023, 11, 14, 22, 13, 20, 1000, tzinfo=UTC)


def test_decimal_commas_are_read_for_the_column_as_a_whole(run: Run, write: Callable[..., Path]) -> None:
    _, out = run(items=write("items.csv", "item_id;title;price\na;Tee;7,90\nb;Sofa;1.093,50\nc;Bett;1.299\n"))
    assert table(out, "items")["price"].to_list() == [7.9, 1093.5, 1299.0]


def test_prices_of_two_readings_are_refused_by_name(run: Run, write: Callable[..., Path]) -> None:
    path = write("items.csv", lines("item_id;title;price", [f"i{n};Sofa;{n}.299" for n in range(1, 40)]))
    words = r"^items: line 2 of items\.csv: '1\.299' is 1\.299 .* and 1299 .* of price decides: add --decimal point or"
    with pytest.raises(DataError, match=words):
        run(items=path)
    _, out = run(IngestConfig(decimal="comma"), items=path)
    assert table(out, "items")["price"].to_list()[:2] == [1299.0, 2299.0]


def test_a_column_that_cannot_be_read_is_refused_by_name(run: Run, write: Callable[..., Path]) -> None:
    path = write("items.csv", lines("item_id,price", [f"i{n},ask" for n in range(20)]))
    words = r"^items: 20 of 20 values of price cannot be used: .* line 2 of items\.csv has 'ask'; expected a number"
    with pytest.raises(DataError, match=words):
        run(items=path)


def test_ids_without_their_digits_are_refused(run: Run, write: Callable[..., Path]) -> None:
    path = write("items.csv", lines("item_id;title", [f"4,00638E+12;Tea {n}" for n in range(60)]))
    with pytest.raises(DataError, match=r"lost its digits in a spreadsheet.* line 2 .*export the column as text"):
        run(items=path)


def test_dates_of_a_spreadsheet_are_dates(run: Run, write: Callable[..., Path]) -> None:
    rows = ["u,i,purchase,45292.5", "u,i,purchase,45293.75", "u,i,purchase,45294"]
    report, out = run(BERLIN, events=write("events.csv", lines("user_id,item_id,event,timestamp", rows)))
    assert table(out, "events")["timestamp"].to_list() == [
        datetime(2024, 1, 1, 11, tzinfo=UTC),
        datetime(2024, 1, 2, 17, tzinfo=UTC),
        datetime(2024, 1, 2, 23, tzinfo=UTC),
    ]
    assert report.tables["events"].notes == ("timestamp: numbers were read as dates of a spreadsheet",)


@pytest.mark.parametrize("price", ["—", "on request", "-5", "inf"])
def test_a_sold_out_item_with_a_bad_price_stays_sold_out(run: Run, write: Callable[..., Path], price: str) -> None:
    rows = [*(f"i{n},{n}.5,true" for n in range(1, 40)), f"i0,{price},false"]
    report, out = run(IngestConfig(), items=write("items.csv", lines("item_id,price,available", rows)))
    assert report.tables["items"].rejected == 0
    assert table(out, "items").select("item_id", "price", "available").row(39) == ("i0", None, False)


DAMAGE = st.text(st.sampled_from('ab1,;"\0é — '), max_size=10)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(DAMAGE, DAMAGE), min_size=1, max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_kept_and_rejected_rows_are_the_lines(
    run: Run, write: Callable[..., Path], cells: list[tuple[str, str]], end: str
) -> None:
    """A line is in the items or in the rejects, with its number; a text between quotes may join lines."""
    good = [f"g{n},Lamp,1.50" for n in range(20)]
    rows = [*good, *(f"m{n},{title},{price}" for n, (title, price) in enumerate(cells)), *good]
    report, out = run(
        IngestConfig(max_reject_share=1.0), items=write("items.csv", lines("item_id,title,price", rows, end))
    )
    items, rejects = table(out, "items"), table(out, "rejects")
    count: Any = report.tables["items"]
    assert count.rows == count.kept + count.duplicates + count.rejected
    everything = "\n".join(map(str, items.rows())) + "\n".join(rejects["original"])
    assert all(f"m{n}" in everything for n in range(len(cells)))
    assert {f"g{n}" for n in range(20)} <= set(items["item_id"])
    assert rejects["row"].max() is None or rejects["row"].max() <= len(rows)


@pytest.mark.parametrize("column", ["user_id", "visitor_id", "session_id", "basket_id"])
@pytest.mark.parametrize("word", ["(not set)", "NULL", "-"])
def test_most_visitors_of_a_shop_are_guests(run: Run, write: Callable[..., Path], column: str, word: str) -> None:
    other = "visitor_id" if column == "user_id" else "user_id"
    rows = [f"{'u' if n % 20 == 0 else word},w{n},i{n},view_item,2024-05-01T08:00:00Z" for n in range(100)]
    report, out = run(IngestConfig(), events=write("e.csv", lines(f"{column},{other},item_id,event,timestamp", rows)))
    events = report.tables["events"]
    assert (events.kept, events.emptied) == (100, {f"{column} is a word for nothing": 95})
    assert table(out, "events")[column].drop_nulls().unique().to_list() == ["u"]
