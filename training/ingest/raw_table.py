"""A table as the shop wrote it, before validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from recsys.core.errors import DataError

BROKEN: Final[dict[str, pl.DataType]] = {"row": pl.UInt32(), "reason": pl.String(), "original": pl.String()}


@dataclass(frozen=True)
class Origin:
    """A file that rows come from.

    Attributes:
        name: its name.
        offset: rows of the files before it.
        header_lines: lines before its first row; None if its rows are no lines.
    """

    name: str
    offset: int = 0
    header_lines: int | None = None


UNNAMED: Final = Origin("the table")


@dataclass(frozen=True)
class RawTable:
    """Rows as the shop wrote them.

    Attributes:
        frame: the columns under the shop's own names; those of a CSV file are all text.
        rows: UInt32; number of each row in its source, from 1. Rows of text are numbered by the line that they begin
            with, without the header. Part files are numbered one after the other, and all rows of one payload have
            its number.
        broken: `BROKEN` columns of the rows that could not be parsed.
        origins: the files, in their order.
        has_types: whether the columns have types of their own; those of CSV are texts that may stand for anything.
    """

    frame: pl.DataFrame
    rows: pl.Series
    broken: pl.DataFrame
    origins: tuple[Origin, ...] = (UNNAMED,)
    has_types: bool = True

    @property
    def last_row(self) -> int:
        """Return the highest number, 0 without rows."""
        numbers = pl.concat([self.rows.alias("row"), self.broken["row"]])
        return int(numbers.to_numpy().max(initial=0))


def numbered(frame: pl.DataFrame, origin: Origin = UNNAMED) -> RawTable:
    """Number the rows of a frame from 1."""
    rows = pl.int_range(1, frame.height + 1, dtype=pl.UInt32, eager=True)
    return RawTable(frame, rows, pl.DataFrame(schema=BROKEN), (origin,))


def concat_parts(parts: Sequence[RawTable], source: str) -> RawTable:
    """Concatenate part files, and number their rows one after the other.

    Raises:
        DataError: the parts have columns of different types; the message has the name of the source.
    """
    shifted, offset = [], 0
    for part in parts:
        shifted.append(_shifted(part, offset))
        offset = max(offset, shifted[-1].last_row)
    return concat_pieces(shifted, source)


def concat_pieces(pieces: Sequence[RawTable], source: str) -> RawTable:
    """Concatenate tables whose rows are numbered one after the other already; see `concat_parts`."""
    if len(pieces) == 1:
        return pieces[0]
    try:
        frame = pl.concat([piece.frame for piece in pieces], how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        raise DataError(f"the part files of {source} have columns of different types: {first_line(error)}") from None
    return RawTable(
        frame,
        pl.concat([piece.rows for piece in pieces]),
        pl.concat([piece.broken for piece in pieces]),
        tuple(dict.fromkeys(origin for piece in pieces for origin in piece.origins)),
        all(piece.has_types for piece in pieces),
    )


def _shifted(part: RawTable, offset: int) -> RawTable:
    return RawTable(
        part.frame,
        (part.rows + offset).cast(pl.UInt32),
        part.broken.with_columns((pl.col("row") + offset).cast(pl.UInt32)),
        tuple(replace(origin, offset=origin.offset + offset) for origin in part.origins),
        part.has_types,
    )


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]
