"""Conversion of JSON rows to frames of given columns; a value that does not fit its column becomes null."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import polars as pl

from recsys.core.schema import TIMESTAMP

UNFIT: Final = (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError)
"""What polars raises for values that fit no column's type."""


def rows_to_frame(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Build a frame of the given columns; other entries of the rows are ignored.

    Args:
        rows: values by column; an absent value is null, a timestamp is in microseconds since 1970.
        columns: dtypes by name.
    """
    kept = list(rows)
    return pl.DataFrame([to_column(name, [row.get(name) for row in kept], dtype) for name, dtype in columns.items()])


def to_column(name: str, values: Sequence[Any], dtype: pl.DataType) -> pl.Series:
    """Build one column; see `rows_to_frame`."""
    if dtype == TIMESTAMP:
        return to_column(name, values, pl.Int64()).cast(dtype)
    try:
        return pl.Series(name, values, dtype, strict=False)
    except UNFIT:
        return pl.Series(name, [_fitting(value, dtype) for value in values], dtype, strict=False)


def _fitting(value: Any, dtype: pl.DataType) -> Any:
    try:
        return pl.Series([value], dtype=dtype, strict=False).item()
    except UNFIT:
        return None
