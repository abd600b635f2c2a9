"""Bounds of the times of a table, the same as those of the server."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from recsys.core.schema import REQUIRED, TABLES, TIMESTAMP
from recsys.core.timestamps import EARLIEST, LATEST
from training.ingest.casts import GOT, PROBLEMS


def with_event_bounds(events: pl.DataFrame, earliest: datetime, latest: datetime) -> pl.DataFrame:
    """Add a problem with its value to every event before `earliest` or after `latest`."""
    time = pl.col("timestamp")
    value = pl.concat_str(pl.lit(GOT + "'"), time.dt.strftime("%Y-%m-%dT%H:%M:%SZ"), pl.lit("'"))
    early = pl.lit(f"timestamp is before {earliest.date()}: set --earliest if the shop is older, or --timestamp-format")
    fault = pl.when(time > latest).then(pl.lit("timestamp is in the future")).when(time < earliest).then(early)
    joined = pl.concat_str(PROBLEMS, pl.concat_str(fault, value), separator="; ", ignore_nulls=True)
    return events.with_columns(pl.when(fault.is_not_null()).then(joined).otherwise(PROBLEMS).alias(PROBLEMS))


def without_extreme_times(frame: pl.DataFrame, table: str) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Empty the optional times that are before 1970 or after 9998, such as 9999-12-31.

    An offer without an end is valid for ever, as such an end says.

    Returns:
        The table, and a sentence per column.
    """
    notes = []
    optional = (name for name, dtype in TABLES[table].items() if dtype == TIMESTAMP and name not in REQUIRED[table])
    for name in optional:
        times = frame[name]
        extreme = ((times < EARLIEST) | (times >= LATEST)).fill_null(False)
        if extreme.any():
            example = times.filter(extreme)[0].isoformat()
            frame = frame.with_columns(times.set(extreme, None))
            notes.append(
                f"{name}: {int(extreme.sum()):,} times were emptied, expected the years 1970 to {LATEST.year - 1}, "
                f"got {example!r}"
            )
    return frame, tuple(notes)
