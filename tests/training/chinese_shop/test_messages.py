from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from training.chinese_shop.catalog import build_goods
from training.chinese_shop.messages import messages_table
from training.chinese_shop.planted import PLANTED, TIMEZONE
from training.chinese_shop.shoppers import draw_shoppers, user_ids, users_table

SHOPPERS = draw_shoppers(1500, build_goods(), np.random.default_rng(0))
USERS = users_table(SHOPPERS, np.random.default_rng(1))
MESSAGES = messages_table(SHOPPERS, USERS, build_goods(), np.random.default_rng(2))


def test_messages_are_sent_with_consent_at_random_hours() -> None:
    sent = MESSAGES.filter(event="message_sent").join(USERS, on="user_id")
    allowed = pl.when(pl.col("channel") == "push").then("consent_push").otherwise("consent_wechat")
    assert sent.select(allowed.all()).item()
    hour = sent["timestamp"].dt.convert_time_zone(TIMEZONE).dt.hour()
    counts = hour.value_counts()["count"]
    assert sorted(hour.unique()) == list(range(8, 22))
    assert counts.max() < 1.2 * counts.min()  # type: ignore[operator]
    assert sent["propensity"].unique().to_list() == pytest.approx([1 / 14])


def test_they_are_opened_at_the_own_hour() -> None:
    habitual = pl.DataFrame({"user_id": user_ids(1500), "hour": SHOPPERS.hour, "last": SHOPPERS.last})
    opened = MESSAGES.filter(event="message_opened").select("message_id", is_open=pl.lit(True))
    sent = MESSAGES.filter(event="message_sent").join(opened, on="message_id", how="left").join(habitual, on="user_id")
    sent = sent.filter(pl.col("timestamp").dt.epoch("s") < pl.col("last"))
    away = (sent["timestamp"].dt.convert_time_zone(TIMEZONE).dt.hour().cast(pl.Int64) - sent["hour"]).abs()
    is_open = sent["is_open"].fill_null(False)
    for in_time, size in ((away <= 1, PLANTED.opened_in_time), (away > 1, PLANTED.opened_else)):
        assert is_open.filter(in_time).mean() == pytest.approx(size, abs=0.02)


def test_opens_follow_what_was_sent_and_clicks_follow_opens() -> None:
    first = MESSAGES.filter(event="message_sent").select("message_id", sent_at="timestamp")
    later = MESSAGES.filter(pl.col("event") != "message_sent").join(first, on="message_id", how="left")
    assert later.select((pl.col("timestamp") > pl.col("sent_at")).all()).item()
    opened = set(MESSAGES.filter(event="message_opened")["message_id"])
    clicks = MESSAGES.filter(event="message_clicked")
    assert set(clicks["message_id"]) <= opened
    assert clicks["item_id"].null_count() == 0
    assert MESSAGES["timestamp"].max() < datetime(2026, 6, 29, tzinfo=UTC)  # type: ignore[operator]
