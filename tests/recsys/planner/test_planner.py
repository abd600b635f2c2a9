from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from msgspec import structs

from recsys.core.request import RecommendedItem, Request
from recsys.core.schema import MESSAGES
from recsys.fitting.engine import Engine
from recsys.planner import shopper_lists
from recsys.planner.audience import plannable_users
from recsys.planner.message_log import MessageLog
from recsys.planner.past_weeks import fit_plan
from recsys.planner.planner import NEVER, PLAN_COLUMNS, Planner, expiry
from tests.shop import NEW_YORKER, SILENT_USER, TIMEZONE, USERS_WITH_HISTORY

USERS = USERS_WITH_HISTORY


@pytest.fixture(scope="module")
def plan(planner: Planner) -> pl.DataFrame:
    return planner.plan(USERS)


def log_of(*rows: dict) -> MessageLog:
    return MessageLog.of(pl.DataFrame(rows, schema=MESSAGES))


def moment(planner: Planner, days: float) -> datetime:
    return datetime.fromtimestamp(planner.as_of, UTC) + timedelta(days=days)


def test_rows_are_messages_with_everything(plan: pl.DataFrame) -> None:
    assert plan.schema == pl.Schema(PLAN_COLUMNS)
    in_experiment = ["experiment", "variant"]
    assert plan.drop(in_experiment).null_count().transpose().to_series().sum() == 0
    assert plan[in_experiment[0]].null_count() == plan[in_experiment[1]].null_count() == len(plan)
    assert plan["user_id"].unique(maintain_order=True).to_list() == [u for u in USERS if u in set(plan["user_id"])]
    assert plan["user_id"].n_unique() > 0.9 * len(USERS)
    assert plan["recommendation_id"].n_unique() == len(plan)
    assert plan["probability"].is_between(0, 1, closed="none").all()
    product = plan["probability"] * plan["value"]
    assert (product - plan["expected_value"]).abs().max() < 1e-9
    assert (plan["item_ids"].list.len() == plan["reasons"].list.len()).all()
    assert set(plan["channel"]) == {"push"}, "the first channel, where nothing tells them apart"


def test_the_caps_hold(plan: pl.DataFrame, planner: Planner) -> None:
    caps = planner.config.caps
    assert plan.group_by("user_id").len()["len"].max() == caps.messages_per_week
    assert plan.group_by("user_id", "placement").len()["len"].max() <= caps.messages_per_list
    items = plan.explode("item_ids").select("user_id", "item_ids")
    assert items.is_unique().all()
    zone = {user: "America/New_York" if user == NEW_YORKER else TIMEZONE for user in USERS}
    local = [row["send_at"].astimezone(ZoneInfo(zone[row["user_id"]])) for row in plan.to_dicts()]
    assert {at.hour for at in local} <= set(planner.config.hours.allowed())
    days = Counter((row["user_id"], at.date()) for row, at in zip(plan.to_dicts(), local, strict=True))
    assert max(days.values()) == 1
    first = {name: moment(planner, 0).astimezone(ZoneInfo(name)).date() for name in (TIMEZONE, "America/New_York")}
    ahead = {(at.date() - first[str(at.tzinfo)]).days for at in local}
    assert ahead <= set(range(1, 8))


def test_messages_of_one_day_go_at_different_hours(planner: Planner) -> None:
    caps = replace(planner.config.caps, messages_per_day=2, messages_per_week=7, messages_per_list=7)
    config = replace(planner.config, caps=caps, hours=replace(planner.config.hours, exploration=0.0))
    found = replace(planner, config=config).plan(USERS)
    by_day = found.group_by("user_id", pl.col("send_at").dt.date().alias("day")).len()
    assert by_day["len"].max() == 2
    assert found.select("user_id", "send_at").is_unique().all()


def test_items_are_those_of_the_list_without_its_fallback(plan: pl.DataFrame, planner: Planner) -> None:
    row = plan.filter(pl.col("placement") == "discover").row(0, named=True)
    request = Request("discover", planner.as_of, 30, user_id=row["user_id"])
    listed = [item.item_id for item in planner.recommender.recommend_for(request).items]
    assert set(row["item_ids"]) <= set(listed)
    assert planner.plan(["nobody knows me", SILENT_USER]).is_empty()
    assert planner.plan([]).schema == plan.schema


def test_a_plan_does_not_depend_on_who_is_planned_together(plan: pl.DataFrame, planner: Planner) -> None:
    some = USERS[3:9]
    alone = pl.concat([planner.plan([user]) for user in some])
    exact = [name for name, dtype in PLAN_COLUMNS.items() if dtype != pl.Float64()]
    assert alone.select(exact).equals(plan.filter(pl.col("user_id").is_in(some)).select(exact))


def test_no_item_is_sent_twice_on_any_channel(plan: pl.DataFrame, planner: Planner) -> None:
    row = plan.row(0, named=True)
    user, items = row["user_id"], row["item_ids"]

    def sent(days: float) -> set[str]:
        event = {"user_id": user, "event": "message_sent", "timestamp": moment(planner, -days), "item_ids": items}
        rows = replace(planner, log=log_of(event | {"channel": "sms"})).plan([user])
        return set(rows["item_ids"].explode())

    assert not sent(10) & set(items)
    assert sent(20) >= set(items), "after item_days it may be sent again"


def test_messages_of_the_days_before_count(planner: Planner) -> None:
    user = USERS[0]
    rows = [
        {"user_id": user, "event": "message_sent", "timestamp": moment(planner, -day), "message_id": str(day)}
        for day in (0.01, 0.02, 0.03)
    ]
    found = replace(planner, log=log_of(*rows)).plan([user])
    (last,) = found["send_at"].to_list()
    zone = ZoneInfo(TIMEZONE)
    assert (last.astimezone(zone).date() - moment(planner, 0).astimezone(zone).date()).days == 7


def test_opens_move_the_hour(planner: Planner) -> None:
    user = USERS[0]
    zone = ZoneInfo(TIMEZONE)
    at = moment(planner, -30).astimezone(zone).replace(hour=13, minute=0)
    opens = [
        {"user_id": user, "event": "message_opened", "timestamp": at + timedelta(minutes=n), "message_id": str(n)}
        for n in range(60)
    ]
    still = replace(planner.config, hours=replace(planner.config.hours, exploration=0.0))
    found = replace(planner, config=still, log=log_of(*opens)).plan([user])
    assert {row.astimezone(zone).hour for row in found["send_at"]} <= {12, 13, 14}
    assert found["send_time_propensity"].to_list() == [1.0] * len(found)


def test_the_holdout_is_marked_and_planned(planner: Planner) -> None:
    everyone = replace(planner, config=replace(planner.config, holdout=1.0)).plan(USERS[:5])
    assert everyone["is_holdout"].all()
    half = replace(planner, config=replace(planner.config, holdout=0.5)).plan(USERS)
    assert half.group_by("user_id").agg(pl.col("is_holdout").n_unique())["is_holdout"].max() == 1
    assert 0.2 < half["is_holdout"].mean() < 0.8


def test_who_opted_out_is_no_shopper_of_a_plan(planner: Planner) -> None:
    ids = plannable_users(planner.recommender.engine, None)
    assert "opted-out" not in ids
    assert set(USERS) <= set(ids)


def test_further_lists_are_made_for_known_shoppers_alone(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    ask = shopper_lists.rank_batch

    def counting(engine: Engine, requests: Iterable[Request], *rest: Any) -> Iterator[Any]:
        asked.append([(request.placement, request.user_id) for request in requests])
        return ask(engine, [Request(name, planner.as_of, 5, user_id=user) for name, user in asked[-1]], *rest)

    monkeypatch.setattr(shopper_lists, "rank_batch", counting)
    planner.plan(["nobody knows me", USERS[0]])
    assert asked == [
        [("buy_again", "nobody knows me"), ("buy_again", USERS[0])],
        [("for_you", USERS[0])],
        [("discover", USERS[0])],
    ]


def test_a_message_expires_with_its_first_item() -> None:
    at = "2024-07-02T10:30:00Z"
    plain = RecommendedItem("i", 1.0, 1, "due", ())
    items = [plain, structs.replace(plain, expires_at=at), structs.replace(plain, expires_at="2024-07-02T16:00:00Z")]
    assert expiry(items) == int(datetime(2024, 7, 2, 10, 30, tzinfo=UTC).timestamp())
    assert expiry(items[:1]) == expiry([]) == NEVER


def test_messages_are_sent_before_they_expire(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = planner.as_of + 3 * 86_400
    monkeypatch.setattr("recsys.planner.planner.expiry", lambda items: ends)
    plan = planner.plan(USERS)
    assert len(plan)
    assert (plan["send_at"].dt.epoch("s") < ends).all()
    assert (plan["expires_at"].dt.epoch("s") == ends).all()
    last_day = plan.filter(pl.col("send_time_propensity") == 1)
    assert 0 < len(last_day) < len(plan), "on its last day a message has no random hour"
    monkeypatch.setattr("recsys.planner.planner.expiry", lambda items: planner.as_of + 60)
    assert planner.plan(USERS).is_empty()


def test_moments_are_lists_of_a_plan(planner: Planner) -> None:
    recommender, names = planner.recommender, ("replenishment_due", "cart_left", "for_you")
    config = replace(planner.config, max_skipped_value=0.0)
    found = replace(planner, config=config, lists=names, model=fit_plan(recommender, config, names)).plan(USERS)
    due = found.filter(pl.col("placement") == "replenishment_due")
    assert len(due) > 3
    assert (found["send_at"] < found["expires_at"]).all()
    horizon = pl.duration(days=config.horizon_days)
    assert due.select((pl.col("expires_at") < pl.col("send_at") + horizon).any()).item(), "with the reason"
    assert (
        found.filter(pl.col("placement") == "for_you")
        .select((pl.col("expires_at") == pl.col("send_at") + horizon).all())
        .item()
    )
