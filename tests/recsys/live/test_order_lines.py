"""Live events over a bundle's give the history of a bundle that was trained on all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.schema import EVENT_NAMES, EVENTS, ITEMS, USERS
from recsys.data.dataset import PURCHASE, REFUND, build_dataset
from recsys.data.history import HistoryConfig, UserHistory, build_history
from recsys.data.orders import find_scope
from recsys.eventlog.store import LogEntry, StoredEntry
from recsys.fitting.engine import Engine, FittedDataInfo
from recsys.live.order_lines import settle_history
from recsys.live.view import LiveView
from tests.recsys.tiny_engine import tiny_engine
from tests.shop import TIMEZONE, at, moment, table

ITEM_IDS = ("a", "b", "c")
USER = "u"
Row = Mapping[str, Any]


def engine_of(rows: Sequence[Row]) -> Engine:
    """A bundle whose tables have these events of one user."""
    events = table([*rows, {"user_id": USER, "item_id": "c", "event": "view_item", "timestamp": at(0)}], EVENTS)
    items = table([{"item_id": id_} for id_ in ITEM_IDS], ITEMS)
    dataset = build_dataset(events, items, table((), USERS), timezone=TIMEZONE)
    return replace(
        tiny_engine(),
        items_table=dataset.catalog,
        users_table=dataset.profiles,
        history=build_history(dataset, HistoryConfig()),
        dataset_info=FittedDataInfo.of(dataset),
    )


def live_history(base: Engine, rows: Sequence[Row]) -> UserHistory:
    """The user's history after live events."""
    live = LiveView(base)
    bodies = [{name: value for name, value in row.items() if value is not None} for row in rows]
    live.apply(
        StoredEntry(n, LogEntry("event", None, body.pop("timestamp").timestamp(), 0.0, body))
        for n, body in enumerate(bodies, 1)
    )
    return live.history(USER, moment(100))


def line(item: str, day: float, basket: str | None = "o1", event: str = "purchase", **extra: Any) -> Row:
    who = {"user_id": USER, "basket_id": basket, "item_id": item, "event": event}
    return who | {"timestamp": at(moment(day, 10))} | extra


def told(history: UserHistory) -> list[tuple[str, str]]:
    """Event and item of each order line."""
    return [
        (EVENT_NAMES[kind], ITEM_IDS[item])
        for kind, item in zip(history.event_type, history.item_idx, strict=True)
        if kind in (PURCHASE, REFUND)
    ]


@pytest.mark.parametrize("n_known", range(4))
def test_an_order_sent_again_counts_once(n_known: int) -> None:
    rows = [line("a", 0), line("b", 0), line("a", 0.01), line("b", 3)]
    history = live_history(engine_of(rows[:n_known]), rows[n_known:])
    assert told(history) == [("purchase", "a"), ("purchase", "b")]


@pytest.mark.parametrize("n_known", range(3))
@pytest.mark.parametrize("basket", ["o1", None, "r1"])
def test_what_was_returned_is_not_owned(n_known: int, basket: str | None) -> None:
    rows = [line("a", 0), line("b", 0), line("a", 9, basket, "refund")]
    history = live_history(engine_of(rows[:n_known]), rows[n_known:])
    assert told(history) == [("purchase", "b"), ("refund", "a")]


def test_a_part_of_a_live_purchase_stays() -> None:
    rows = [line("a", 0, quantity=3.0), line("a", 1, event="refund", quantity=2.0)]
    assert told(live_history(engine_of([]), rows)) == [("purchase", "a")]
    rows.append(line("a", 2, event="refund", quantity=1.0))
    assert told(live_history(engine_of([]), rows)) == [("refund", "a")]


def test_refunds_in_the_bundle_take_back_nothing_more() -> None:
    rows = [line("a", 0, "o1"), line("a", 1, "o2"), line("a", 2, "o2", "refund"), line("a", 2, "o2", "refund")]
    known = engine_of(rows[:3])
    assert told(live_history(known, [line("b", 5, "o5")])) == [("purchase", "a"), ("refund", "a"), ("purchase", "b")]
    assert told(live_history(known, rows[3:])) == [("purchase", "a"), ("refund", "a")]


def test_numbers_that_restart_are_orders_of_their_day() -> None:
    numbers = [(user, str(number)) for user in (USER, "v") for number in range(3)]
    base = engine_of([line("c", 0, number, user_id=user) for user, number in numbers])
    assert base.dataset_info.receipt_scope == ("person",)
    daily = replace(base, dataset_info=replace(base.dataset_info, receipt_scope=("day",)))
    bought = told(live_history(daily, [line("a", 50, "1"), line("a", 60, "1"), line("a", 60, "1")]))
    assert bought.count(("purchase", "a")) == 2


LINES = st.builds(
    line,
    st.sampled_from(["a", "b"]),
    st.integers(0, 9),
    st.sampled_from([None, "o1", "o2"]),
    st.sampled_from(["purchase", "purchase", "refund", "view_item"]),
)


@given(st.lists(LINES, max_size=9), st.integers(0, 9))
def test_a_view_equals_a_newer_bundle(rows: Sequence[Row], n_known: int) -> None:
    """Refunds come after the bundle; what one took back before is settled for good."""
    ordered = sorted(rows, key=lambda row: (row["timestamp"], row["event"] == "refund"))
    ordered = [row | {"timestamp": row["timestamp"] + timedelta(minutes=n)} for n, row in enumerate(ordered)]
    lines = table(ordered, EVENTS)
    assert find_scope(lines, TIMEZONE) == ()
    known = [row for row in ordered[:n_known] if row["event"] != "refund"]
    later = [row for row in ordered if row not in known]
    whole = engine_of(ordered).history.of(0, moment(100))
    found = live_history(engine_of(known), later)
    for name, column in vars(whole).items():
        np.testing.assert_array_equal(vars(found)[name], column, err_msg=name)


def test_a_history_without_live_orders_is_itself() -> None:
    history = engine_of([line("a", 0), line("a", 5, None, "refund")]).history.of(0, moment(100))
    n = len(history)
    nothing = np.full(n, np.nan, np.float32), np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    assert settle_history(history, *nothing) is history
