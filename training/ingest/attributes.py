"""Types of the shop's own columns where its files have none, as in CSV: each column is read as a whole."""

from __future__ import annotations

from typing import Final

import polars as pl

from training.ingest.number_columns import Decimal, DoubtfulNumberError, parse_numbers
from training.ingest.timestamp_columns import TimestampOptions, parse_timestamps

NUMBER: Final = r"^-?((0|[1-9]\d*)([.,]\d+)?|[1-9]\d{0,2}(\.\d{3})+(,\d+)?|[1-9]\d{0,2}(,\d{3})+(\.\d+)?)$"
"""A number with a decimal point or comma and without leading zeros, which codes have."""

MAX_DIGITS: Final = 15
"""Digits that a 64-bit float keeps exactly; texts of more are codes."""

BOOLEANS: Final = {"true": True, "false": False, "yes": True, "no": False}
DAY: Final = r"^\d{4}-\d{2}-\d{2}$"
TIME: Final = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}.*$"


def typed_columns(
    frame: pl.DataFrame, times: TimestampOptions, decimal: Decimal = "auto"
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Give each column of texts the one type that all of its values have.

    Numbers are 64-bit floats. Texts with leading zeros or more than `MAX_DIGITS` digits are codes and stay texts, and
    so does a column with a single value of another kind.

    Args:
        frame: the shop's own columns.
        times: zone of times without one.
        decimal: the mark before decimals; `auto` for the one that each column uses.

    Returns:
        As many rows and columns, and a sentence per column that got a type, or whose numbers have two readings.
    """
    columns, notes = [], []
    for column in frame.get_columns():
        try:
            typed = _typed(column, times, decimal) if column.dtype == pl.String else column
        except DoubtfulNumberError as error:
            typed = column
            notes.append(f"{column.name}: stays text, because {error}")
        columns.append(typed.alias(column.name))
        if typed.dtype != column.dtype:
            notes.append(f"{column.name}: read as {WORDS[type(typed.dtype)]}, like all of its values")
    return pl.DataFrame(columns), tuple(notes)


def _typed(column: pl.Series, times: TimestampOptions, decimal: Decimal) -> pl.Series:
    text = column.str.strip_chars()
    text = text.set(text == "", None)
    values = text.drop_nulls().unique()
    if values.is_empty():
        return column
    if values.str.to_lowercase().is_in(list(BOOLEANS)).all():
        return text.str.to_lowercase().replace_strict(BOOLEANS, default=None, return_dtype=pl.Boolean)
    if values.str.contains(NUMBER).all():
        is_exact = values.str.count_matches(r"\d").max() <= MAX_DIGITS  # type: ignore[operator]
        return parse_numbers(text, decimal) if is_exact else column
    if values.str.contains(DAY).all():
        days = text.str.to_date("%Y-%m-%d", strict=False)
        return days if days.null_count() == text.null_count() else column
    if values.str.contains(TIME).all():
        parsed = parse_timestamps(text, times).values
        return parsed if parsed.null_count() == text.null_count() else column
    return column


WORDS: Final = {pl.Float64: "numbers", pl.Boolean: "true or false", pl.Date: "dates", pl.Datetime: "times"}
