from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.ingest.csv_reader import read_csv
from training.ingest.raw_table import RawTable, concat_pieces
from training.ingest.text_files import TextPiece, text_pieces

HEADER = "item_id,title,price\n"


def read(text: str | bytes, tmp_path: Path | None = None, size: int = 1 << 20) -> RawTable:
    data = text.encode() if isinstance(text, str) else text
    if tmp_path is None:
        return concat_pieces(list(read_csv("items.csv", [TextPiece(data)])), "items.csv")
    path = tmp_path / "items.csv"
    path.write_bytes(data)
    return concat_pieces(list(read_csv(path.name, text_pieces(path, "utf-8", is_csv=True, size=size))), path.name)


def lamps(*changed: str, n: int = 60) -> str:
    """A catalog whose lines `n // 3`, `n // 3 + 1`, … are replaced."""
    lines = [f'i{place},"Lamp {place}",{place}.50' for place in range(n)]
    lines[n // 3 : n // 3 + len(changed)] = changed
    return HEADER + "\n".join([*lines, ""])


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ('x1,"TV 40 inch 55" LED",9.50', 'TV 40 inch 55" LED'),
        ('x1,"TV 55"",9.50', 'TV 55"'),
        ('x1,TV 55" LED,9.50', 'TV 55" LED'),
        ('x1,"TV 55,9.50', "TV 55"),
        ('x1,TV 55",9.50', 'TV 55"'),
        ('x1,"TV ""55"" LED",9.50', 'TV "55" LED'),
        ('x1,"TV, ""55"", LED",9.50', 'TV, "55", LED'),
        ('x1, "TV",9.50', ' "TV"'),
        ('x1,"TV\0",9.50', "TV\0"),
        ('x1,"Soft,\nand warm",9.50', "Soft,\nand warm"),
        ('x1,"Soft, nice, good\nwarm, new, old\n\nfine",9.50', "Soft, nice, good\nwarm, new, old\n\nfine"),
    ],
)
def test_a_damaged_line_costs_no_other_line(line: str, title: str) -> None:
    raw = read(lamps(line))
    row = raw.frame.row(raw.rows.to_list().index(21), named=True)
    assert (row["item_id"], row["title"], row["price"]) == ("x1", title, "9.50")
    assert raw.frame.height == 60
    assert raw.broken.is_empty()


@pytest.mark.parametrize("between", [0, 1, 2, 30])
def test_two_open_quotes_swallow_no_row_between_them(between: int) -> None:
    """The two lines and all between them are one valid record by RFC 4180."""
    plain = [f"p{place},Lamp,1.50" for place in range(between)]
    raw = read(lamps('x1,"TV 55,9.50', *plain, 'x2,TV 60",8.50'))
    assert raw.frame.height + raw.broken.height == 60
    assert {"x1", "x2", *(f"p{place}" for place in range(between))} <= set(raw.frame["item_id"])


def test_ragged_lines_are_broken_rows_with_their_numbers() -> None:
    raw = read(lamps("x1,Tea, green,9.50", 'x2,"Tea, green",8.50', "x3,Tea", "x4,a,b,c,d"))
    assert raw.broken.rows() == [
        (21, "4 fields where the header has 3", "x1,Tea, green,9.50"),
        (24, "5 fields where the header has 3", "x4,a,b,c,d"),
    ]
    assert raw.frame.height == 58
    assert raw.frame.row(raw.rows.to_list().index(23)) == ("x3", "Tea", None)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system(tmp_path: Path, end: str) -> None:
    raw = read(lamps().replace("\n", end), tmp_path)
    assert raw.frame.height == 60
    assert raw.rows.to_list() == list(range(1, 61))


def test_lines_of_two_systems_in_one_file(tmp_path: Path) -> None:
    mac = lamps(n=3).removeprefix(HEADER).replace("\n", "\r")
    raw = read(lamps() + mac, tmp_path)
    assert raw.frame.height == 63
    assert raw.broken.is_empty()


def test_a_line_of_another_encoding_is_a_broken_row(tmp_path: Path) -> None:
    raw = read(lamps().encode().replace(b"Lamp 7", "Caf\xe9 名".encode("gb18030", "replace") + b"\xe9"), tmp_path)
    assert raw.frame.height == 59
    assert raw.broken.select("row", "reason").rows() == [(8, "not text of the encoding")]


def test_blank_lines_are_no_rows_and_count_as_lines(tmp_path: Path) -> None:
    raw = read("\n\nitem_id,title\na,x\n\n,\nb,y", tmp_path)
    assert raw.frame["item_id"].to_list() == ["a", "b"]
    assert raw.origins[0].header_lines == 1


@pytest.mark.parametrize("before", ["", "\n", "sep=;\n", '"sep=;"\n\n'])
@pytest.mark.parametrize("title", ["title", '"ti\ntle"'])
def test_what_spreadsheets_write_before_and_into_the_header(tmp_path: Path, before: str, title: str) -> None:
    raw = read(f"{before}item_id;{title};price\na;x;1,5\nb;y;2,5\n", tmp_path)
    assert raw.frame.columns == ["item_id", title.strip('"'), "price"]
    assert raw.frame.rows() == [("a", "x", "1,5"), ("b", "y", "2,5")]
    start = before.count("\n") + title.count("\n") + 1
    assert raw.rows.to_list() == [start, start + 1]


def test_a_quote_that_opens_in_the_header_hides_no_row() -> None:
    assert read('item_id,"title,price\n' + lamps().removeprefix(HEADER)).frame.height == 60


def test_a_header_field_without_a_name_has_its_position() -> None:
    assert read(",item_id\n0,a\n").frame.columns == ["column_1", "item_id"]


CELLS = st.text(st.sampled_from('ab1 ,"\n\r\0é;'), max_size=6)
TABLES = st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=12)


@given(TABLES, st.sampled_from(["\n", "\r\n"]), st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
def test_a_well_formed_file_is_read_as_by_the_standard_library(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], end: str, quoting: Any
) -> None:
    """Line ends inside texts become those of the system; a row of empty fields is no row."""
    rows = [tuple(cell.replace("\r", "") for cell in row) for row in rows]
    text = io.StringIO()
    ids = [(f"id-{place}-{place}", *row[1:]) for place, row in enumerate(rows)]
    csv.writer(text, lineterminator=end, quoting=quoting).writerows([("item_id", "title", "price"), *ids])
    raw = read(text.getvalue(), tmp_path_factory.mktemp("csv"))
    assert [tuple(cell or "" for cell in row) for row in raw.frame.rows()] == ids
    assert raw.broken.is_empty()


@given(
    st.lists(st.text(st.sampled_from('ab,"\0é '), max_size=12), max_size=20),
    st.integers(16, 200),
)
def test_every_line_is_kept_or_broken_with_its_number(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], size: int
) -> None:
    """Whatever the damage, and wherever the pieces end."""
    marked = [f"m{place},{line.strip()}" for place, line in enumerate(lines)]
    raw = read(HEADER + "\n".join([*marked, ""]), tmp_path_factory.mktemp("csv"), size)
    found = "\n".join([str(row) for row in raw.frame.rows()] + raw.broken["original"].to_list())
    assert all(f"m{place}" in found for place in range(len(lines)))
    numbers = [*raw.rows, *raw.broken["row"]]
    assert all(number >= 1 for number in numbers)
    assert raw.rows.is_sorted()
    for number, line in raw.broken.select("row", "original").rows():
        assert marked[number - 1] == line
