"""Files of one table in several formats: lists of one file beside texts of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl

from training.ingest.casts import CastOptions, cast_column
from training.ingest.raw_table import RawTable

LISTS = pl.List(pl.String())


def with_lists(parts: Sequence[RawTable], columns: Mapping[str, str], rules: CastOptions) -> list[RawTable]:
    """Split the texts of a column that is a list in another file, each file by the separators that it uses itself.

    Args:
        parts: one table per file.
        columns: the shop's column names, each with the standard name.
        rules: formats of the shop's values.
    """
    names = {name for part in parts for name, dtype in part.frame.schema.items() if isinstance(dtype, pl.List)}
    return [_split(part, names, columns, rules) for part in parts]


def _split(part: RawTable, names: set[str], columns: Mapping[str, str], rules: CastOptions) -> RawTable:
    texts = [name for name in part.frame.columns if name in names and part.frame[name].dtype == pl.String]
    lists = [
        cast_column(part.frame[name].alias(columns.get(name, name)), LISTS, rules).values.alias(name) for name in texts
    ]
    return replace(part, frame=part.frame.with_columns(lists)) if lists else part
