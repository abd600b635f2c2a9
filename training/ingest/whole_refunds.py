"""Refunds of whole orders, which name the order and none of its items."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import polars as pl

from recsys.data.orders import MAX_ORDER_DAYS
from training.ingest.casts import PROBLEMS
from training.ingest.checks import ROW

_AT: Final = "bought at"
_BUYER: Final = "buyer"


def with_refunded_items(events: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Replace each refund with a `basket_id` and no `item_id` by one refund of every item of the order.

    The order are the purchases of that `basket_id` by the same person up to the refund; where the number was used
    several times, the latest ones. A refund of an unknown order stays without an item.

    Args:
        events: `ROW`, `PROBLEMS` and the columns of events, typed.

    Returns:
        The events in the order of `ROW`, and how many refunds were replaced.
    """
    is_whole = (pl.col("event") == "refund") & pl.col("item_id").is_null() & pl.col(PROBLEMS).is_null()
    wholes = events.filter(is_whole & pl.col("basket_id").is_not_null())
    if wholes.is_empty():
        return events, 0
    refunds = _refunds_of_items(wholes, events.filter(pl.col("event") == "purchase"))
    others = events.join(refunds, on=ROW, how="anti", maintain_order="left")
    return pl.concat([others, refunds.select(events.columns)]).sort(ROW, maintain_order=True), refunds[ROW].n_unique()


def _refunds_of_items(wholes: pl.DataFrame, purchases: pl.DataFrame) -> pl.DataFrame:
    """Return one refund per refund of an order and item of the order."""
    person = pl.coalesce("user_id", "visitor_id")
    bought = purchases.drop_nulls("item_id").select(
        "basket_id", "item_id", person.alias(_BUYER), pl.col("timestamp").alias(_AT)
    )
    lines = wholes.drop("item_id").join(bought, on="basket_id", how="inner", maintain_order="left_right")
    is_own = (pl.col(_AT) <= pl.col("timestamp")) & (pl.col(_BUYER) == person).fill_null(True)
    lines = lines.filter(is_own)
    is_latest = pl.col(_AT) >= pl.col(_AT).max().over(ROW) - timedelta(days=MAX_ORDER_DAYS)
    lines = lines.filter(is_latest).unique([ROW, "item_id"], keep="first", maintain_order=True)
    number = pl.int_range(1, pl.len() + 1).over(ROW).cast(pl.String)
    return lines.with_columns(
        event_id=pl.concat_str("event_id", pl.lit("#"), number),
        quantity=pl.lit(None, pl.Float64),
        price=pl.lit(None, pl.Float64),
    )
