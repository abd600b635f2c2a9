"""A table as the shop wrote it, before validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from recsys.core.errors import DataError

BROKEN: Final[dict[str, pl.DataType]] = {"row": pl.UInt32(), "reason": pl.String(), "original": pl.String()}


@dataclass(frozen=True)
class RawTable:
    """Rows as the shop wrote them.

    Attributes:
        frame: the columns under the shop's own names; those of a CSV file are all text.
        rows: UInt32; number of each row in its source, from 1. A header is not counted, part files are numbered one
            after the other, and all rows of one payload have its number.
        broken: `BROKEN` columns of the rows that could not be parsed.
        has_types: whether the columns have types of their own; those of CSV are texts that may stand for anything.
    """

    frame: pl.DataFrame
    rows: pl.Series
    broken: pl.DataFrame
    has_types: bool = True


def numbered(frame: pl.DataFrame) -> RawTable:
    """Number the rows of a frame from 1."""
    rows = pl.int_range(1, frame.height + 1, dtype=pl.UInt32, eager=True)
    return RawTable(frame, rows, pl.DataFrame(schema=BROKEN))


def concat_parts(parts: Sequence[RawTable], source: str) -> RawTable:
    """Concatenate part files, and number their rows one after the other.

    Raises:
        DataError: the parts have columns of different types; the message has the name of the source.
    """
    try:
        frame = pl.concat([part.frame for part in parts], how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        raise DataError(f"the part files of {source} have columns of different types: {first_line(error)}") from None
    rows, broken, offset = [], [], 0
    for part in parts:
        rows.append((part.rows + offset).cast(pl.UInt32))
        broken.append(part.broken.with_columns((pl.col("row") + offset).cast(pl.UInt32)))
        offset = max([offset, *rows[-1].tail(1), *broken[-1]["row"].tail(1)])
    return RawTable(frame, pl.concat(rows), pl.concat(broken), all(part.has_types for part in parts))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]
