"""Visits of one user over both sides: new orders, refunds, copies, merged ids and erasures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recsys.core.ids import UNKNOWN
from recsys.fitting.engine import Engine
from recsys.live.live_visits import bundle_visits
from recsys.segments.visits import Visits, merge_visits
from tests.recsys.live.test_view import NOW, Log
from tests.shop import WEEKLY_ITEM, WEEKLY_SHOPPERS

USER = WEEKLY_SHOPPERS[0]
NEVER = float("-inf")


@pytest.fixture
def log(shop_engine: Engine) -> Log:
    return Log(shop_engine)


def orders(log: Log, key: str = USER, until: float = NOW) -> Visits:
    return log.live.visits(key, int(until)).orders


def buy(log: Log, key: str = USER, item_id: str = WEEKLY_ITEM, at: float = NOW - 60, **more: Any) -> None:
    log.event(key, item_id, "purchase", at=at, **more)


def test_without_live_events_the_visits_are_the_bundles(log: Log, shop_engine: Engine) -> None:
    known = bundle_visits(shop_engine, USER, NEVER)
    assert orders(log).at.tolist() == known.orders.at.tolist()
    early = int(known.at[3])
    assert log.live.visits(USER, early).at.tolist() == [at for at in known.at.tolist() if at <= early]
    assert len(log.live.visits("nobody", int(NOW))) == 0
    assert shop_engine.users.row("nobody") == UNKNOWN


def test_a_new_basket_is_one_order_with_its_price_and_channel(log: Log) -> None:
    before = orders(log)
    buy(log, basket_id="b", price=10.0, quantity=2.0, channel="app")
    buy(log, item_id="薯片-原", basket_id="b", price=5.0, channel="app")
    buy(log, item_id="薯片-原", basket_id="c", at=NOW + 1)
    after = orders(log)
    assert len(after) == len(before) + 1
    assert after.order_price[-1] == pytest.approx(25.0)
    assert after.n_lines[-1] == 2
    assert log.live.channels[after.channel[-1]] == "app"
    assert after.weekday[-1] in range(1, 8)


def test_views_are_visits_without_an_order(log: Log) -> None:
    before = log.live.visits(USER, int(NOW))
    log.event(USER, WEEKLY_ITEM, "view_item", session_id="s")
    log.event(USER, WEEKLY_ITEM, "view_item_list", session_id="t")
    after = log.live.visits(USER, int(NOW))
    assert len(after) == len(before) + 1
    assert not after.is_order[-1]


def test_a_refund_takes_back_lines_of_both_sides(log: Log) -> None:
    before = orders(log)
    buy(log, basket_id="b", price=10.0)
    buy(log, item_id="薯片-原", basket_id="b", price=5.0, at=NOW - 50)
    log.event(USER, "薯片-原", "refund", at=NOW - 40, basket_id="b")
    assert orders(log).order_price[-1] == pytest.approx(10.0)
    log.event(USER, WEEKLY_ITEM, "refund", at=NOW - 30, basket_id="b")
    assert len(orders(log)) == len(before), "nothing is left of the order"
    log.event(USER, WEEKLY_ITEM, "refund", at=NOW - 20, quantity=1.0)
    left = orders(log)
    assert left.n_lines.sum() == before.n_lines.sum() - 1, "the latest purchase of the bundle"


def test_an_order_that_is_sent_again_counts_once(log: Log) -> None:
    before = orders(log)
    for _ in range(2):
        buy(log, basket_id="b", price=10.0)
    after = orders(log)
    assert (len(after), after.order_price[-1]) == (len(before) + 1, pytest.approx(10.0))


def test_merged_ids_have_one_history_and_erased_ones_none(log: Log) -> None:
    other = WEEKLY_SHOPPERS[1]
    apart = len(orders(log)) + len(orders(log, other))
    log.add("merge", other, into=USER)
    assert len(orders(log)) == apart
    assert (np.diff(log.live.visits(USER, int(NOW)).at) >= 0).all()
    log.add("erasure", other)
    log.add("erasure", USER)
    assert len(orders(log)) == 0
    buy(log, at=NOW + 5)
    assert len(orders(log, until=NOW + 10)) == 1


def test_users_of_whom_the_log_has_anything(log: Log) -> None:
    buy(log, "new")
    log.add("user_patch", WEEKLY_SHOPPERS[2], region="x")
    log.add("merge", WEEKLY_SHOPPERS[3], into=USER)
    log.add("erasure", WEEKLY_SHOPPERS[4])
    assert log.live.changed_users == {"new", USER, *WEEKLY_SHOPPERS[2:5]}


def test_parts_of_one_basket_are_one_visit(log: Log, shop_engine: Engine) -> None:
    known = bundle_visits(shop_engine, USER, NEVER)
    merged = merge_visits([known, known])
    assert merged.at.tolist() == known.at.tolist()
    assert merged.n_lines.tolist() == (2 * known.n_lines).tolist()
    assert merged.order_price.tolist() == pytest.approx((2 * known.order_price).tolist(), nan_ok=True)
