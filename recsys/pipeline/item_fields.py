"""Columns of the catalog that are returned with the items of a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from recsys.live.live_table import live_table
from recsys.retrieval.query import Rows


def item_fields(table: pl.DataFrame, rows: Rows, names: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the values of some columns, by name, for each row.

    Args:
        table: the items table of an engine, with the offers that apply.
        rows: int32 (n,).
        names: of the columns.

    Returns:
        One mapping per row, in the order of `names`; None where the item has no value, or the table no such column.
    """
    known = [name for name in names if name in table.columns]
    live = live_table(table)
    if live is not None:
        frame = live.take(rows, known)
    else:
        at = pl.Series(rows, dtype=pl.UInt32)
        frame = pl.DataFrame([table.get_column(name)[at] for name in known])
    columns = {name: frame.get_column(name).to_list() for name in known}
    nothing = [None] * len(rows)
    values = zip(*(columns.get(name, nothing) for name in names), strict=True)
    return [dict(zip(names, row, strict=True)) for row in values]
