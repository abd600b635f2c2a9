from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.core.errors import ConfigError, DataError
from training.ingest.csv_reader import FIRST_LINE, CsvHeader
from training.ingest.ingest import IngestConfig
from training.ingest.reports import IngestReport
from training.ingest.spreadsheet_reader import read_spreadsheet

Run = Callable[..., tuple[IngestReport, Path]]

NAMESPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - cells have no zone


def cell(value: Any) -> str:
    if value is None:
        return "<c/>"
    if isinstance(value, bool):
        return f'<c t="b"><v>{int(value)}</v></c>'
    if isinstance(value, datetime):
        return f'<c s="1"><v>{(value - EPOCH).total_seconds() / 86_400!r}</v></c>'
    if isinstance(value, int | float):
        return f"<c><v>{value!r}</v></c>"
    return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'


def write_xlsx(path: Path, **sheets: Sequence[Sequence[Any]]) -> Path:
    """Write the parts of a workbook that readers need; style 1 is a date."""
    names = list(sheets)
    listed = "".join(f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in enumerate(names, 1))
    targets = [(f"r{n}", "worksheet", f"worksheets/sheet{n}.xml") for n in range(1, len(names) + 1)]
    links = "".join(
        f'<Relationship Id="{id_}" Type="{RELATIONS}/{kind}" Target="{target}"/>'
        for id_, kind, target in [*targets, ("s", "styles", "styles.xml")]
    )
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="w" '
        f'Type="{RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{NAMESPACE}" xmlns:r="{RELATIONS}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">{links}</Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{NAMESPACE}"><cellXfs><xf numFmtId="0"/><xf numFmtId="22"/></cellXfs>'
        "</styleSheet>",
    }
    for n, rows in enumerate(sheets.values(), 1):
        body = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
        parts[f"xl/worksheets/sheet{n}.xml"] = (
            f'<worksheet xmlns="{NAMESPACE}"><sheetData>{body}</sheetData></worksheet>'
        )
    with zipfile.ZipFile(path, "w") as book:
        for name, text in parts.items():
            book.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{text}')
    return path


NOON = datetime(2024, 5, 1, 12)  # noqa: DTZ001
ITEMS = [
    ["item_id", "title", "price", "available", "added", "mixed"],
    [4006381333931, "Tee", 7.9, True, NOON, "A7"],
    [None] * 6,
    [12003, "Sofa", 1.299, False, NOON, 12],
]


def test_cells_have_the_types_of_their_columns(tmp_path: Path) -> None:
    raw = read_spreadsheet(write_xlsx(tmp_path / "items.xlsx", A=ITEMS), None, FIRST_LINE)
    assert raw.frame["item_id"].to_list() == [4006381333931, 12003]
    assert raw.frame["price"].to_list() == [7.9, 1.299]
    assert raw.frame["available"].to_list() == [True, False]
    assert raw.frame["added"].to_list() == [NOON, NOON]
    assert raw.frame["mixed"].to_list() == ["A7", "12"]
    assert raw.rows.to_list() == [1, 3]


def test_a_sheet_is_chosen_by_name(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "shop.xlsx", Notes=[["a"], ["b"]], Items=ITEMS)
    assert read_spreadsheet(path, None, FIRST_LINE).frame.columns == ["a"]
    assert read_spreadsheet(path, "Items", FIRST_LINE).frame.height == 2
    with pytest.raises(ConfigError, match=r"--sheet is 'Item', expected a sheet of shop\.xlsx: Notes, Items"):
        read_spreadsheet(path, "Item", FIRST_LINE)


def test_a_sheet_without_a_header(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "items.xlsx", A=[["a", 1], ["b", 2]])
    raw = read_spreadsheet(path, None, CsvHeader(("item_id", "price")))
    assert raw.frame.rows() == [("a", 1.0), ("b", 2.0)]


def test_an_empty_sheet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="empty sheet"):
        read_spreadsheet(write_xlsx(tmp_path / "items.xlsx", A=[]), None, FIRST_LINE)


def test_a_workbook_is_ingested(run: Run, tmp_path: Path) -> None:
    items = write_xlsx(tmp_path / "items.xlsx", A=[*ITEMS, ["007", "Tee", "ask", "in stock", NOON, None]])
    events = [["user_id", "item_id", "event", "timestamp"], [17850.0, 12003.0, "purchase", NOON]]
    config = IngestConfig(timezone="Europe/Berlin", max_reject_share=0.0)
    report, out = run(config, items=items, events=write_xlsx(tmp_path / "events.xlsx", A=events))
    kept = pl.read_parquet(out / "items.parquet")
    assert kept["item_id"].to_list() == ["4006381333931", "12003", "007"]
    assert kept["price"].to_list()[2] is None
    assert report.tables["items"].examples["price is not a number"].startswith("line 5 of items.xlsx has 'ask'")
    row = pl.read_parquet(out / "events.parquet").row(0, named=True)
    assert (row["user_id"], row["item_id"]) == ("17850", "12003")
    assert row["timestamp"] == datetime(2024, 5, 1, 10, tzinfo=UTC)


IDS = (
    st.integers(1, 10**15).map(str) | st.integers(1, 10**15) | st.text(st.sampled_from("aB-0"), min_size=1, max_size=5)
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(IDS, st.floats(0, 1e6) | st.none(), st.dates(date(1990, 1, 1), date(2024, 1, 1))), min_size=1)
)
def test_any_ids_and_prices_survive(tmp_path: Path, rows: list[tuple[Any, ...]]) -> None:
    cells = [[id_, price, datetime(day.year, day.month, day.day)] for id_, price, day in rows]  # noqa: DTZ001
    path = write_xlsx(tmp_path / "items.xlsx", A=[["item_id", "price", "added"], *cells])
    frame = read_spreadsheet(path, None, FIRST_LINE).frame
    assert [str(int(id_) if isinstance(id_, float) else id_) for id_ in frame["item_id"]] == [
        str(row[0]) for row in rows
    ]
    assert frame["price"].cast(pl.Float64).to_list() == [row[1] for row in rows]
    assert [moment.date() for moment in frame["added"]] == [row[2] for row in rows]
