"""Rows of a table that repeat another row, or that a later row replaces."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from recsys.core.schema import TABLES
from recsys.data.message_repeats import message_repeats
from recsys.data.orders import ORDER_EVENTS
from training.ingest.checks import ROW

DUPLICATE: Final = "duplicate"
"""First word of the reason of every duplicate, and of no other reason."""

LAST_WINS: Final = {"items": "item_id", "users": "user_id", "identities": "id"}

PIECE: Final = "piece"


def repeated_rows(kept: pl.DataFrame, table: str, sources: pl.Series) -> pl.DataFrame:
    """Return `ROW` and reason of the rows that repeat another row or are replaced by it.

    Equal order lines of one payload, which have the same number in `sources`, are several pieces and no copies.
    """
    if table in LAST_WINS:
        key = LAST_WINS[table]
        rows = kept.filter(~pl.col(key).is_last_distinct())
        return _reasoned(rows, f"{DUPLICATE} {key}: a later row replaces it")
    columns = [name for name in TABLES[table] if kept[name].null_count() < kept.height]
    if table == "messages":
        found = message_repeats(kept)
        parts = (("by_event", "event_id"), ("by_message", "message_id"), ("by_row", "row"))
        return pl.concat([_reasoned(kept.filter(found[name]), f"{DUPLICATE} {what}") for name, what in parts])
    if table == "offers":
        return _reasoned(_copies(kept, columns), f"{DUPLICATE} row")
    by_id = kept.filter(pl.col("event_id").is_not_null() & ~pl.col("event_id").is_first_distinct())
    without_id = kept.select(ROW, *columns)
    if "event_id" in columns:
        without_id = without_id.filter(pl.col("event_id").is_null())
    copies = _copies(_numbered_pieces(without_id, columns, sources), [*columns, PIECE])
    return pl.concat([_reasoned(by_id, f"{DUPLICATE} event_id"), _reasoned(copies, f"{DUPLICATE} row")])


def _numbered_pieces(rows: pl.DataFrame, columns: list[str], sources: pl.Series) -> pl.DataFrame:
    """Add `PIECE`, the number of each order line among the equal ones of its payload; 0 for all other events."""
    source = sources.gather(rows[ROW])
    if bool((np.diff(source.to_numpy().astype(np.int64)) > 0).all()):
        return rows.with_columns(pl.lit(0).alias(PIECE))
    nth = pl.int_range(pl.len()).over([*columns, "source"])
    is_line = pl.col("event").is_in(ORDER_EVENTS)
    return rows.with_columns(source=source).with_columns(pl.when(is_line).then(nth).otherwise(0).alias(PIECE))


def _copies(rows: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    """Return the rows that equal an earlier row in all of the columns."""
    if rows.height < 2:
        return rows.clear()
    # Comparing all columns takes several times the memory of the rows: only those of equal hash are compared.
    hashes = rows.select(columns).hash_rows().to_numpy()
    ordered = np.sort(hashes)
    rows = rows.filter(np.isin(hashes, ordered[1:][ordered[1:] == ordered[:-1]]))
    firsts = rows.lazy().select(ROW, *columns).unique(columns, keep="first").select(ROW).collect()
    if firsts.height == rows.height:
        return rows.clear()
    return rows.join(firsts, on=ROW, how="anti", maintain_order="left")


def _reasoned(rows: pl.DataFrame, reason: str) -> pl.DataFrame:
    return rows.select(ROW, reason=pl.lit(reason, pl.String))
