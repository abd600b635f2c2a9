"""The messages of the generated shop: sent at random hours, and opened most at the user's own hour."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from training.chinese_shop.catalog import Goods
from training.chinese_shop.planted import DAY_S, END, PLANTED, START, WEEK_S
from training.chinese_shop.shoppers import Shoppers, user_ids

N_WEEKS_SENT: Final = 26
HOURS: Final = (8, 22)
"""Messages are sent from 8 h until before 22 h, each hour with the same probability."""

HOUR_S: Final = 3600


def messages_table(shoppers: Shoppers, users: pl.DataFrame, goods: Goods, rng: np.random.Generator) -> pl.DataFrame:
    """Return the messages table of the shop: one message per week to everybody with consent.

    Args:
        shoppers: the users.
        users: their table, with the columns of consent.
        goods: the catalog.
        rng: source of the draws.
    """
    push, wechat = (users[f"consent_{name}"].to_numpy() for name in ("push", "wechat"))
    week = START + (END - START) // WEEK_S * WEEK_S - np.arange(N_WEEKS_SENT, 0, -1) * WEEK_S
    user, number = np.nonzero((push | wechat)[:, None] & (shoppers.first[:, None] < week))
    n, hours = len(user), np.arange(*HOURS)
    hour = rng.choice(hours, n)
    sent_at = week[number] + rng.integers(0, 7, n) * DAY_S + hour * HOUR_S + rng.integers(0, HOUR_S, n)
    by_push = push[user] & (~wechat[user] | (rng.random(n) < 0.5))
    item = rng.integers(0, len(goods.items), n)
    in_time = np.abs(hour - shoppers.hour[user]) <= 1
    chance = np.where(in_time, PLANTED.opened_in_time, PLANTED.opened_else)
    opened = (rng.random(n) < chance) & (sent_at < shoppers.last[user])
    clicked = opened & (rng.random(n) < 0.2)
    delay = rng.integers(60, HOUR_S, n)
    columns = {
        "user_id": np.array(user_ids(len(shoppers)))[user],
        "channel": np.where(by_push, "push", "wechat"),
        "message_id": np.array([f"m{row:07d}" for row in range(n)]),
        "recommendation_id": np.array([f"r{row:07d}" for row in range(n)]),
        "placement": np.full(n, "for_you"),
        "item": np.array(goods.ids)[item],
    }
    sent = pl.DataFrame({**columns, "at": sent_at})
    parts = [sent.with_columns(event=pl.lit("message_sent"), propensity=pl.lit(1 / len(hours)))]
    for name, chosen, later in (("message_opened", opened, 1), ("message_clicked", clicked, 2)):
        event = sent.with_columns(pl.Series("at", sent_at + later * delay), event=pl.lit(name)).filter(
            pl.Series(chosen)
        )
        parts.append(event.with_columns(propensity=pl.lit(None, pl.Float64)))
    events = pl.concat(parts).filter(pl.col("at") < END)
    is_sent, is_click = pl.col("event") == "message_sent", pl.col("event") == "message_clicked"
    return events.sort("at", "message_id", "event").select(
        "user_id",
        "event",
        (pl.col("at") * 1_000_000).cast(pl.Datetime("us", "UTC")).alias("timestamp"),
        "channel",
        "recommendation_id",
        "message_id",
        "placement",
        pl.when(is_sent).then(pl.concat_list("item")).alias("item_ids"),
        pl.when(is_click).then("item").alias("item_id"),
        "propensity",
        pl.concat_str("message_id", pl.lit("-"), "event").alias("event_id"),
    )
