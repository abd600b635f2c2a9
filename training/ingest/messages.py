"""Events of messages: taken out of the events files, and clicks as events of items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from recsys.core.schema import CLICK_EVENT, CLICKED, EVENTS, MESSAGE_EVENTS
from training.ingest.raw_table import BROKEN, RawTable, concat_pieces


def split_messages(raw: Mapping[str, RawTable], columns: Mapping[str, str]) -> dict[str, RawTable]:
    """Move rows of the events whose name is one of `MESSAGE_EVENTS` to the table of messages.

    Args:
        raw: tables as the shop wrote them, by name.
        columns: the shop's column names, each with the standard name.
    """
    events = raw.get("events")
    name = next((each for each in events.frame.columns if columns.get(each, each) == "event"), None) if events else None
    if events is None or name is None or events.frame[name].dtype not in (pl.String, pl.Categorical):
        return dict(raw)
    is_message = events.frame[name].cast(pl.String).is_in(MESSAGE_EVENTS).fill_null(False)
    if not is_message.any():
        return dict(raw)
    found = replace(
        events,
        frame=events.frame.filter(is_message),
        rows=events.rows.filter(is_message),
        broken=pl.DataFrame(schema=BROKEN),
    )
    others = replace(events, frame=events.frame.filter(~is_message), rows=events.rows.filter(~is_message))
    messages = concat_pieces([*([raw["messages"]] if "messages" in raw else []), found], "messages")
    left = {} if others.frame.is_empty() and others.broken.is_empty() else {"events": others}
    return {table: part for table, part in raw.items() if table != "events"} | left | {"messages": messages}


def with_clicks(tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Add the clicks of messages, whose item is known, to the events as `CLICK_EVENT`.

    They have no channel: that of a message is none in which the shop sells.

    Args:
        tables: validated rows, by table.
    """
    if "messages" not in tables:
        return dict(tables)
    clicks = tables["messages"].filter(pl.col("event") == CLICKED, pl.col("item_id").is_not_null())
    if clicks.is_empty():
        return dict(tables)
    rows = clicks.with_columns(event=pl.lit(CLICK_EVENT)).drop("channel")
    columns = [
        pl.col(name) if name in rows.columns else pl.lit(None, dtype).alias(name) for name, dtype in EVENTS.items()
    ]
    events = [tables["events"]] if "events" in tables else []
    return dict(tables) | {"events": pl.concat([*events, rows.select(columns)])}
