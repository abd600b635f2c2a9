"""CSV text as a table of texts."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from recsys.core.errors import DataError
from training.ingest.raw_table import RawTable, first_line, numbered

SEPARATORS: Final = (",", "\t", ";", "|")


LOOKS_LIKE_DATA: Final = re.compile(r"[+-]?\d+([.,]\d+)*|\d{4}-\d{2}-\d{2}.*")
"""A number or a time, which is no name of a column."""


@dataclass(frozen=True)
class CsvHeader:
    """Where the column names of CSV files come from.

    Attributes:
        columns: their names, where the files have no header; empty if the first line is one.
        is_trusted: whether the first line is a header even if most of its fields are numbers or times.
    """

    columns: tuple[str, ...] = ()
    is_trusted: bool = False


FIRST_LINE: Final = CsvHeader()


def read_csv(name: str, text: bytes, header: CsvHeader = FIRST_LINE) -> RawTable:
    """Parse CSV; the separator is the most frequent one in the first line, and empty lines are skipped.

    Args:
        name: name of the file, for error messages.
        text: UTF-8 without a byte order mark.
        header: where the column names come from.

    Raises:
        DataError: two columns have one name, the first line looks like data or does not fit the given names, or a row
            has too many fields.
    """
    first = text.split(b"\n", 1)[0].decode().rstrip("\r")
    separator = max(SEPARATORS, key=first.count)
    fields = [field.strip() for field in next(csv.reader([first], delimiter=separator), [])]
    names = _column_names(name, fields, header)
    try:
        frame = pl.read_csv(text, separator=separator, has_header=not header.columns, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise DataError(_ragged(name, text, separator, len(names), error)) from None
    if len(names) == frame.width:
        frame.columns = names
    table = replace(numbered(frame), has_types=False)
    is_filled = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
    return (
        table if is_filled.all() else replace(table, frame=frame.filter(is_filled), rows=table.rows.filter(is_filled))
    )


def _column_names(name: str, fields: list[str], header: CsvHeader) -> list[str]:
    """Return the names of the columns, given the first line."""
    names = list(header.columns) or fields
    if len(names) != len(fields):
        raise DataError(
            f"{name} has {len(fields)} fields in its first line, and --columns names {len(names)} "
            f"({', '.join(names)}): name each column, in the order of the file"
        )
    repeated = [column for column, count in Counter(names).items() if count > 1]
    if repeated:
        remedy = "name each column once" if header.columns else "rename one of them"
        raise DataError(f"{name} has two columns named {repeated[0]!r}; {remedy}")
    n_data = sum(LOOKS_LIKE_DATA.fullmatch(field) is not None for field in fields)
    if not header.columns and not header.is_trusted and 2 * n_data >= len(fields):
        raise DataError(
            f"{name} has no header: its first line is {', '.join(fields)!r}; name the columns with --no-header "
            f"--columns, such as --columns user_id,item_id,event,timestamp, or add --header if these are names"
        )
    return names


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
