from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from recsys.core.errors import ConfigError
from recsys.core.metrics import Interval
from recsys.evaluation.attribution import Attribution, attribution, impression_rows, join_impressions, wilson
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import EventStore, LogEntry, events_table

NOON = 1714557600.0
DAY = 86_400
Say = Callable[..., None]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    with closing(SqliteStore(tmp_path / "log.sqlite")) as store:
        yield store


def shown(id_: str, *item_ids: str, placement: str = "for_you", version: str = "v1", **body: Any) -> LogEntry:
    items = [{"item_id": item_id, "score": 1.0} for item_id in item_ids]
    told = {"placement": placement, "model_version": version, "items": items, "user_id": "u"}
    return LogEntry("impression", id_, NOON, NOON, told | body)


def public(*ids: str, items: tuple[str, ...], placement: str = "popular") -> LogEntry:
    many = [{"recommendation_id": id_, "at": NOON + n} for n, id_ in enumerate(ids)]
    body = {"placement": placement, "model_version": "v1", "items": [{"item_id": each} for each in items]}
    return LogEntry("impression", None, NOON, NOON, body | {"shown": many})


def event(name: str, id_: str | None, item_id: str, after_s: float = 60, **body: Any) -> LogEntry:
    told = {"user_id": "u", "event": name, "item_id": item_id, "recommendation_id": id_} | body
    return LogEntry("event", None, NOON + after_s, NOON + after_s, told)


def of(report: Attribution) -> dict[tuple[str, str], tuple[int, ...]]:
    return {
        (each.placement, each.model_version): (each.lists, each.impressions, each.clicks, each.carts, each.purchases)
        for each in report.yields
    }


def test_attribution_by_hand(store: EventStore) -> None:
    store.append(
        [
            event("view_item", "r1", "a", -2),  # the browser's clock is slow
            shown("r1", "a", "b", "c"),
            shown("r2", "a", "d"),
            shown("r3", "x", "y", version="v2"),
            public("p1", "p2", items=("a", "b")),
            event("select_item", "r1", "a"),  # a click, and the same one again
            event("add_to_cart", "r1", "a"),
            event("purchase", "r1", "a", quantity=2, price=3.5, currency="CNY"),
            event("purchase", "r1", "a", price=1, currency="CNY"),
            event("purchase", "r2", "d", price=10),
            event("purchase", "r2", "d", 8 * DAY, price=10),  # late
            event("view_item", "r2", "z"),  # was not in it
            event("view_item", "lost", "a"),  # no such list
            event("view_item", "p2", "b"),
            event("view_item", None, "a"),
            event("refund", "r1", "a", price=3.5),
        ]
    )
    report = attribution(store)
    assert of(report) == {
        ("for_you", "v1"): (2, 5, 1, 1, 2),
        ("for_you", "v2"): (1, 2, 0, 0, 0),
        ("popular", "v1"): (2, 4, 1, 0, 0),
    }
    assert (report.late, report.unmatched) == (1, 2)
    first = report.yields[0]
    assert first.revenue == {"": 10.0, "CNY": 7.0}, "the latest purchase was returned"
    assert first.ctr == Interval(0.2, pytest.approx(0.036224, rel=1e-4), pytest.approx(0.624465, rel=1e-4))  # type: ignore[arg-type]
    assert first.conversion.value == 0.4
    assert of(attribution(store, 10))[("for_you", "v1")] == (2, 5, 1, 1, 2)
    assert attribution(store, 10).late == 0


def test_a_log_without_lists_has_no_funnels(store: EventStore) -> None:
    store.append([event("view_item", "r", "a")])
    assert attribution(store) == Attribution((), 7.0, 0, 1)


@pytest.mark.parametrize("days", [0, -1, float("nan"), float("inf")])
def test_a_window_that_is_not_positive_and_finite_is_refused(store: EventStore, days: float) -> None:
    with pytest.raises(ConfigError, match="the window is"):
        attribution(store, days)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_intervals_equal_those_of_scipy(case: tuple[int, int]) -> None:
    hits, trials = case
    expected = binomtest(hits, trials).proportion_ci(0.95, "wilson")
    found = wilson(hits, trials)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_wilson_interval_without_trials() -> None:
    assert wilson(0, 0) == Interval(0.0, 0.0, 1.0)


def test_an_event_gets_the_placement_position_and_propensity_of_its_list(store: EventStore) -> None:
    items = [{"item_id": "a"}, {"item_id": "b", "position": 7, "propensity": 0.25}]
    store.append(
        [
            shown("r1", items=items),
            public("p1", "p2", items=("c", "b")),
            event("view_item", "r1", "b"),
            event("purchase", "p2", "b"),
            event("purchase", "r1", "a", placement="theirs", position=3, propensity=0.5),
            event("purchase", "lost", "a"),
            event("purchase", None, "b"),
        ]
    )
    table = events_table(store)
    ids = table["recommendation_id"].drop_nulls()
    joined = join_impressions(table, impression_rows(store, ids))
    assert joined.schema == table.schema
    told = joined.filter(pl.col("event") != "view_item_list").select("placement", "position", "propensity").rows()
    assert told == [("for_you", 7, 0.25), ("popular", 2, None), ("theirs", 3, 0.5), (None, None, None), (None,) * 3]
    assert join_impressions(joined, impression_rows(store, ids)).equals(joined)
    assert joined.filter(pl.col("event") == "view_item_list").equals(table.filter(pl.col("event") == "view_item_list"))
    assert impression_rows(store, []).is_empty()


def test_messages_are_lists_that_are_opened_and_clicked(store: EventStore) -> None:
    def message(name: str, id_: str, **body: Any) -> LogEntry:
        return LogEntry("event", None, NOON, NOON, {"user_id": "u", "event": name, "recommendation_id": id_} | body)

    store.append(
        [
            message("message_sent", "m1", placement="buy_again", item_ids=["a", "b"]),
            message("message_sent", "m2", placement="buy_again", item_ids=["c"]),
            message("message_sent", "m3"),  # its items are unknown
            message("message_opened", "m1"),
            message("message_opened", "m1"),
            message("message_clicked", "m1", item_id="a"),
            message("message_clicked", "m2"),  # no item is named
            event("purchase", "m1", "b", price=2.0),
        ]
    )
    (found,) = attribution(store).yields
    assert of(attribution(store)) == {("buy_again", ""): (2, 3, 1, 0, 1)}
    assert (found.opens, found.revenue) == (1, {"": 2.0})
    assert events_table(store)["event"].to_list() == ["select_item", "purchase"]
