"""What a problem of a row or a cell says to the shop: where the first one is, its value, what is accepted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from recsys.core.schema import MAX_AMOUNT
from training.ingest.casts import GOT
from training.ingest.raw_table import Origin
from training.ingest.time_formats import fitting_formats
from training.ingest.timestamp_columns import UNPARSABLE

MAX_SHOWN: Final = 60
"""Characters of a value that a message shows."""

ACCEPTED: Final = (
    (r"is not a (whole )?number", "expected a number such as 7.90, 7,90 or 1.093,50 (--decimal point or comma)"),
    (r"is not above zero|is above one", "expected a number above 0 and up to 1"),
    (r"is beyond|is infinite", f"expected a number up to {MAX_AMOUNT:.0e}; it is left empty"),
    (r"is negative", "expected a number from 0 on"),
    (
        UNPARSABLE,
        "expected a time such as 2024-05-01T08:00:00+08:00, or its format, such as --timestamp-format '%d.%m.%Y %H:%M'",
    ),
    (r"is a local time that", "expected a time that the clocks of --timezone show"),
    (r"is before \d{4}", "expected a later time, or the --earliest of an older shop, or its --timestamp-format"),
    (r"is in the future", "expected a time up to now and --future-tolerance minutes"),
    (r"is not true or false", "expected true, false, yes, no, 1, 0, or of `available` a stock; it counts as false"),
    (r"is not an IANA time zone", "expected a name such as Asia/Shanghai"),
    (r"is of type", "expected one text or number per row; export an order of several items as one row per item"),
    (r"lost its digits", "export the column as text, or the file as .xlsx, so that every digit is there"),
    (r"is a word for nothing", "expected an id; if the word is one, add --real-word and the word"),
    (r"fields where the header has", "put texts and numbers that contain the separator between quotes"),
    (r"not text of the encoding", "set --encoding to that of the file: gb18030 (Chinese), cp1252 (Western) or its own"),
    (r"unparsable JSON", "expected one JSON object per line"),
    (r"is longer than|contains control|is blank", "expected 1 to 256 bytes of UTF-8 without control characters"),
    (r"none of .* is filled", "expected one of these ids; map yours with --column THEIRS=user_id"),
    (r"quantity zero", "expected a quantity above 0"),
    (r"is empty", "expected a value; another column is mapped with --column THEIRS=OURS"),
    (r"is not a known name", "map it with --event-name THEIRS=OURS"),
)
"""Pattern of a problem, and what is accepted instead; the first pattern that fits counts."""


def accepted(reason: str) -> str:
    """Return what is accepted instead of a value with a problem, and the option that helps; empty if nothing is known.

    >>> accepted("timezone is not an IANA time zone")
    'expected a name such as Asia/Shanghai'
    """
    return next((text for pattern, text in ACCEPTED if re.search(pattern, reason)), "")


def place_of(row: int, origins: Sequence[Origin]) -> str:
    """Return where a row is: `line 502 of items.csv`, or `row 501 of items.parquet`.

    Args:
        row: its number, as in `RawTable.rows`.
        origins: the files of its table.
    """
    origin = [each for each in origins if each.offset < row][-1]
    if origin.header_lines is None:
        return f"row {row - origin.offset:,} of {origin.name}"
    return f"line {row - origin.offset + origin.header_lines:,} of {origin.name}"


def with_places(rows: pl.DataFrame, origins: Sequence[Origin]) -> pl.DataFrame:
    """Add the columns `file` and `line` to rows with the column `row`; rows of files without lines have no line."""
    at = np.searchsorted([origin.offset for origin in origins], rows["row"].to_numpy(), side="left") - 1
    files = pl.Series([origin.name for origin in origins], dtype=pl.String).gather(at)
    lines = [None if origin.header_lines is None else origin.header_lines - origin.offset for origin in origins]
    line = rows["row"].cast(pl.Int64) + pl.Series(lines, dtype=pl.Int64).gather(at)
    return rows.with_columns(file=files, line=line.cast(pl.UInt32))


def explain(reason: str, place: str, value: Any) -> str:
    """Return one sentence about the first value with a problem.

    >>> explain("price is not a number", "line 3 of a.csv", "x")
    "line 3 of a.csv has 'x'; expected a number such as 7.90, 7,90 or 1.093,50 (--decimal point or comma)"
    """
    text = str(value.to_list() if isinstance(value, pl.Series) else value)
    shown = repr(text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…")
    found = f"{place} is the first" if value is None else f"{place} has {shown}"
    return "; ".join(filter(None, (found, _format_of(reason, value) or accepted(reason))))


def _format_of(reason: str, value: Any) -> str:
    """Return the format that reads a time; empty if the problem is another one or no common format does."""
    if UNPARSABLE not in reason or not isinstance(value, str) or not (formats := fitting_formats(value)):
        return ""
    return "its format is " + " or ".join(f"--timestamp-format '{each}'" for each in formats)


def column_of(reason: str, columns: Sequence[str]) -> str | None:
    """Return the column that a problem is about, None if it is about the whole row.

    >>> column_of("price is not a number", ["price"]), column_of("a purchase of quantity zero", ["quantity"])
    ('price', 'quantity')
    """
    return next((word for word in reason.split() if word in columns), None)


def first_examples(
    reasons: pl.DataFrame, values: pl.DataFrame, rows: pl.Series, origins: Sequence[Origin]
) -> dict[str, str]:
    """Return one sentence per reason about the first row that has it.

    Args:
        reasons: `at`, position of a row, and `reason`; the first row of each reason counts.
        values: the table under its standard column names.
        rows: number of each row of `values`.
        origins: the files of the table.
    """
    found: dict[str, str] = {}
    each = reasons.with_columns(pl.col("reason").str.split("; ")).explode("reason")
    each = each.with_columns(pl.col("reason").str.split(GOT).list.first()).unique("reason", keep="first")
    for at, reason in each.select("at", "reason").iter_rows():
        column = column_of(reason, values.columns) if not reason.startswith("none of") else None
        value = None if column is None else values[column][at]
        found[reason] = explain(reason, place_of(rows[at], origins), value)
    return found
