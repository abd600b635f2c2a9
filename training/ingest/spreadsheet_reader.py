"""Sheets of Excel and OpenDocument files as a table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl

from recsys.core.errors import ConfigError, DataError
from training.ingest.csv_reader import CsvHeader
from training.ingest.raw_table import Origin, RawTable, first_line, numbered


def read_spreadsheet(path: Path, sheet: str | None, header: CsvHeader) -> RawTable:
    """Read one sheet; rows are numbered as in CSV, and rows without a value are skipped.

    A column whose cells are all numbers, all dates or all booleans has that type, others are texts.

    Args:
        path: the file.
        sheet: name of the sheet; None for the first one.
        header: where the column names come from.

    Raises:
        ConfigError: there is no sheet of this name.
        DataError: the file is no spreadsheet or the sheet is empty.
    """
    import fastexcel

    try:
        book = fastexcel.read_excel(path)
        if sheet is not None and sheet not in book.sheet_names:
            raise ConfigError(f"--sheet is {sheet!r}, expected a sheet of {path.name}: {', '.join(book.sheet_names)}")
        frame = book.load_sheet(
            sheet or 0,
            header_row=None if header.columns else 0,
            column_names=list(header.columns) or None,
            schema_sample_rows=None,
        ).to_polars()
    except fastexcel.FastExcelError as error:
        raise DataError(f"{path.name} is not a whole spreadsheet ({first_line(error)}); export it again") from None
    if frame.width == 0:
        raise DataError(f"{path.name} has an empty sheet; name another one with --sheet")
    table = numbered(frame, Origin(path.name, 0, 0 if header.columns else 1))
    is_filled = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
    return replace(table, frame=frame.filter(is_filled), rows=table.rows.filter(is_filled))
