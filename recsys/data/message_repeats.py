"""Events of messages that report again what another row has reported."""

from __future__ import annotations

from typing import Final

import polars as pl

from recsys.core.schema import MESSAGES

OF_MESSAGE: Final = ("user_id", "event", "channel", "message_id", "item_id")
"""What makes two events of one day the same, where the message has an id."""


def message_repeats(messages: pl.DataFrame) -> pl.DataFrame:
    """Find the rows that repeat an earlier one, by the strongest identity that they have.

    A row repeats another if both have the same `event_id`; or the same `OF_MESSAGE`, with a `message_id`, on one day of
    UTC, as a shop may use the id of a campaign each week; or, without either id, the same value in every column but
    `received_at`, which a second call changes.

    Args:
        messages: the columns of `schema.MESSAGES`.

    Returns:
        Bool columns `by_event`, `by_message` and `by_row`, at most one of them true, with as many rows.
    """
    has_event, has_message = pl.col("event_id").is_not_null(), pl.col("message_id").is_not_null()
    day = pl.col("timestamp").dt.truncate("1d").alias("day")
    texts = pl.col("item_ids").list.join("\x00").alias("item_ids")
    others = [texts if name == "item_ids" else pl.col(name) for name in MESSAGES if name != "received_at"]
    by_event = has_event & ~pl.col("event_id").is_first_distinct()
    by_message = has_message & ~pl.struct(*OF_MESSAGE, day).is_first_distinct()
    by_row = ~has_event & ~has_message & ~pl.struct(others).is_first_distinct()
    return messages.select(by_event=by_event, by_message=by_message & ~by_event, by_row=by_row)


def distinct_messages(messages: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that repeat no earlier one, in their order."""
    return messages.filter(~message_repeats(messages).select(pl.any_horizontal(pl.all())).to_series())
