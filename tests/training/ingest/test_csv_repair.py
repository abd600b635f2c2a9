from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

from training.ingest.csv_repair import LineReader, Record, well_formed
from training.ingest.readers import read_table

ROWS = pl.DataFrame({"id": [f"i{n}" for n in range(20)], "title": ["Lamp"] * 20, "price": ["1.5"] * 20})


@pytest.mark.parametrize(
    ("line", "fits"),
    [("a,b,c", True), ('"a,1","b""c",', True), ("a", True), ("a,b,c,d", False), ('a,"b"c,d', False), ('a,"b', False)],
)
def test_well_formed_lines(line: str, fits: bool) -> None:
    assert bool(re.fullmatch(well_formed(",", 3), line)) is fits
    assert pl.Series([line]).str.contains(f"^{well_formed(',', 3)}$").item() is fits


@pytest.mark.parametrize(
    ("lines", "record"),
    [
        (['x1,"a" b,2'], Record(1, (["x1", 'a" b', "2"],))),
        (['x1,"soft', 'warm",2'], Record(2, (["x1", "soft\nwarm", "2"],))),
        (['x1,"soft,2', 'x2,warm",2'], Record(1, (["x1", "soft", "2"],))),
        (["x1,a,2\rx2,b,3"], Record(1, (["x1", "a", "2"], ["x2", "b", "3"]))),
        (["x1,a,b,2"], Record(1, (), "4 fields where the header has 3")),
    ],
)
def test_a_record_that_begins_with_a_damaged_line(lines: list[str], record: Record) -> None:
    assert LineReader(",", 3, ROWS).read(lines, 0) == record


def test_a_stray_cr_in_a_line_that_has_a_quote_never_fails(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    for broken in (b'view,"a\nb",\rx\n', b'view,\r"a",x\n', b'"a\nb"\r,c,d\n', b'x\ry,"a",b\n'):
        path.write_bytes(b"event,item_id,user_id\n" + broken + b"view,cup,u\n")
        assert "cup" in read_table(path, "events").frame["item_id"].to_list()
