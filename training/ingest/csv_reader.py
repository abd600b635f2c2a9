"""CSV text as a table of texts."""

from __future__ import annotations

import csv
import io
from collections import Counter
from typing import Final

import polars as pl

from recsys.core.errors import DataError
from training.ingest.raw_table import RawTable, first_line, numbered

SEPARATORS: Final = (",", "\t", ";", "|")


def read_csv(name: str, text: bytes) -> RawTable:
    """Parse CSV; the separator is the most frequent one in the header, and empty lines are skipped.

    Args:
        name: name of the file, for error messages.
        text: UTF-8 without a byte order mark.

    Raises:
        DataError: two columns have one name, or a row has more fields than the header.
    """
    header = text.split(b"\n", 1)[0].decode().rstrip("\r")
    separator = max(SEPARATORS, key=header.count)
    names = [column.strip() for column in next(csv.reader([header], delimiter=separator), [])]
    repeated = [column for column, count in Counter(names).items() if count > 1]
    if repeated:
        raise DataError(f"{name} has two columns named {repeated[0]!r}; rename one of them")
    try:
        frame = pl.read_csv(text, separator=separator, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise DataError(_ragged(name, text, separator, len(names), error)) from None
    if len(names) == frame.width:
        frame.columns = names
    table = numbered(frame)
    is_filled = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
    return table if is_filled.all() else RawTable(frame.filter(is_filled), table.rows.filter(is_filled), table.broken)


def _ragged(name: str, text: bytes, separator: str, width: int, error: Exception) -> str:
    """Name the first row with too many fields."""
    try:
        for row in (reader := csv.reader(io.StringIO(text.decode()), delimiter=separator, strict=True)):
            if len(row) > width:
                return (
                    f"{name} is ragged: line {reader.line_num} has {len(row)} fields where the header "
                    f"has {width}; quote the texts that contain {separator!r}"
                )
    except csv.Error as broken:
        return f"{name} is not a whole CSV file ({broken}); export it again"
    return f"{name} is not a CSV file ({first_line(error)}); export it again"
