"""The ids that a batch makes lists for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl

from recsys.core.errors import DataError
from training.ingest.readers import read_table

Subject = Literal["user", "item"]
"""What each list of a batch is for."""


def read_ids(path: Path, subject: Subject) -> list[str]:
    """Read the different ids of a file, in the order of their first appearance.

    Args:
        path: Parquet, CSV or JSON Lines with a column `user_id` or `item_id`, or a `.txt` with one id per line.
        subject: whose ids they are.

    Raises:
        DataError: the file cannot be read, has no such column or no id.
    """
    column = f"{subject}_id"
    if path.suffix == ".txt":
        ids = pl.Series(column, _lines(path), pl.String)
    else:
        frame = read_table(path, f"{subject}s").frame
        if column not in frame.columns:
            found = ", ".join(frame.columns) or "none"
            raise DataError(f"{path}: the column {column!r} is missing (columns found: {found}); rename yours")
        ids = frame[column].cast(pl.String)
    filled = ids.drop_nulls().filter(ids.drop_nulls() != "").unique(maintain_order=True).to_list()
    if not filled:
        raise DataError(f"{path} has no {subject}: write one id per line, or a table with the column {column}")
    return filled


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}): expected UTF-8 with one id per line") from None
    return [line.removesuffix("\r") for line in lines]
