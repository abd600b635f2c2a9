"""Exposures and outcomes of shoppers, read from the live log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.core.errors import ConfigError
from recsys.core.frames import rows_to_frame
from recsys.core.schema import EVENTS
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from recsys.experiments.outcomes import ExperimentLog, read_experiment_log, shopper_table

T = 1_793_491_200.0  # 2026-11-01
DAY = 86_400.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "store.sqlite")) as log:
        yield log


def shown(id_: str, variant: str, at: float, items: str = "ab", experiment: str = "calm", **who: str) -> LogEntry:
    body: dict[str, Any] = {"items": [{"item_id": item, "score": 1.0} for item in items], **who}
    return LogEntry("impression", id_, at, at, body | {"placement": "for_you", "experiments": {experiment: variant}})


def event(name: str, item: str, at: float, **fields: Any) -> LogEntry:
    return LogEntry("event", None, at, at, {"event": name, "item_id": item} | fields)


def table(store: SqliteStore, *entries: LogEntry, **options: Any) -> dict[str, dict[str, Any]]:
    store.append(entries)
    rows = shopper_table(read_experiment_log(store, "calm", **options))
    return {row.pop("unit_id"): row for row in rows.iter_rows(named=True)}


def test_clicks_count_once_per_item_of_a_list_and_only_with_its_id(store: SqliteStore) -> None:
    found = table(
        store,
        shown("r1", "mixed", T, user_id="u"),
        event("view_item", "a", T + 1, user_id="u", recommendation_id="r1"),
        event("select_item", "a", T + 2, user_id="u", recommendation_id="r1"),
        event("view_item", "c", T + 3, user_id="u", recommendation_id="r1"),
        event("view_item", "b", T + 4, user_id="u"),
    )
    assert (found["u"]["impressions"], found["u"]["clicks"], found["u"]["lists"]) == (2, 1, 1)


def test_a_message_that_was_sent_is_an_exposure_and_its_clicks_count(store: SqliteStore) -> None:
    sent = {"event": "message_sent", "user_id": "u", "item_ids": ["a", "b"], "recommendation_id": "m1"}
    clicked = {"event": "message_clicked", "user_id": "u", "item_id": "a", "recommendation_id": "m1"}
    found = table(
        store,
        LogEntry("event", None, T, T, sent | {"experiment": "calm", "variant": "more"}),
        LogEntry("event", None, T + 1, T + 1, clicked | {"experiment": "calm", "variant": "more"}),
        LogEntry("event", None, T, T, sent | {"user_id": "v"}),
        LogEntry("event", None, T, T, sent | {"user_id": "w", "experiment": "other", "variant": "more"}),
        event("purchase", "a", T + DAY, user_id="u", price=3.0, basket_id="b"),
    )
    assert found.keys() == {"u"}
    assert found["u"]["variant"] == "more"
    assert (found["u"]["impressions"], found["u"]["clicks"], found["u"]["orders"]) == (2, 1, 1)


def test_orders_count_from_the_first_exposure_and_those_before_are_covariates(store: SqliteStore) -> None:
    found = table(
        store,
        event("purchase", "a", T - 40 * DAY, user_id="u", price=99.0, basket_id="b0"),
        event("purchase", "a", T - 2 * DAY, user_id="u", price=5.0, quantity=2, basket_id="b1"),
        shown("r1", "mixed", T, user_id="u"),
        event("purchase", "a", T + 1, user_id="u", price=3.0, basket_id="b2"),
        event("purchase", "c", T + 1, user_id="u", price=4.0, basket_id="b2"),
        event("purchase", "c", T + DAY, user_id="u", price=4.0, quantity=2, basket_id="b3"),
        event("refund", "c", T + 2 * DAY, user_id="u", basket_id="b3"),
        shown("r2", "control", T, user_id="v"),
    )["u"]
    assert (found["orders"], found["buyers"], found["revenue"]) == (1, 1, 7)
    assert (found["pre_buyers"], found["pre_revenue"]) == (1, 10)


def test_a_visitor_and_the_user_are_one_shopper_of_the_first_variant(store: SqliteStore) -> None:
    found = table(
        store,
        shown("r1", "mixed", T, visitor_id="v"),
        event("view_item", "a", T + 1, visitor_id="v", recommendation_id="r1"),
        LogEntry("merge", "v", T + 2, T + 2, {"into": "u"}),
        shown("r2", "control", T + 3, user_id="u"),
        event("view_item", "a", T + 4, user_id="u", recommendation_id="r2"),
        event("purchase", "a", T + 5, user_id="u", price=3.0),
        shown("r3", "control", T + 6, session_id="s"),
    )
    assert found["u"]["variant"] == "mixed"
    assert found["u"]["has_crossed"]
    assert (found["u"]["lists"], found["u"]["clicks"], found["u"]["revenue"]) == (1, 1, 3)
    assert len(found) == 2


def test_other_experiments_and_lists_without_one_are_left_out(store: SqliteStore) -> None:
    plain = LogEntry("impression", "r2", T, T, {"items": [{"item_id": "a"}], "user_id": "w"})
    assert table(store, shown("r1", "b", T, experiment="tail", user_id="u"), plain) == {}


def test_tables_add_what_was_before_the_log(store: SqliteStore) -> None:
    rows = [
        {"item_id": "a", "event": "purchase", "timestamp": int((T + day * DAY) * 1e6), "user_id": "old", "price": 8.0}
        for day in (-3, 1)
    ]
    older = rows_to_frame(rows, EVENTS)
    found = table(
        store,
        event("view_item", "a", T - DAY, user_id="x"),
        shown("r1", "mixed", T, user_id="u"),
        event("purchase", "a", T + DAY, user_id="old", price=8.0),
        tables=older,
        merges={"old": "u"},
    )["u"]
    assert (found["pre_revenue"], found["revenue"]) == (8, 8)


def test_several_currencies_cannot_be_added(store: SqliteStore) -> None:
    bought = [event("purchase", "a", T + 1, user_id="u", price=1.0, currency=each) for each in ("EUR", "USD")]
    with pytest.raises(ConfigError, match="the purchases are in EUR, USD: expected one currency"):
        table(store, shown("r1", "mixed", T, user_id="u"), *bought)


def test_a_look_back_sees_what_was_there_then(store: SqliteStore) -> None:
    store.append([shown("r1", "mixed", T, user_id="u"), shown("r2", "mixed", T + 3 * DAY, user_id="v")])
    store.append([event("purchase", "a", T + 2 * DAY, user_id="u", price=3.0)])
    log = read_experiment_log(store, "calm")
    assert log.days == 3
    then = log.until(datetime.fromtimestamp(T, UTC) + timedelta(days=1))
    assert (then.days, shopper_table(then)["revenue"].to_list()) == (0, [0.0])


def test_without_exposures_there_is_no_shopper(store: SqliteStore) -> None:
    log = read_experiment_log(store, "calm")
    assert isinstance(log, ExperimentLog)
    assert log.days == 0
    assert shopper_table(log).is_empty()
    assert shopper_table(log).schema["revenue"] == pl.Float64


def test_small_batches_read_the_same_and_each_is_reported(store: SqliteStore) -> None:
    store.append([shown(f"r{n}", "mixed", T + n, user_id="u") for n in range(7)])
    store.append([event("purchase", "a", T + 2 * DAY, user_id="u", price=3.0)])
    shares: list[float] = []
    found = read_experiment_log(store, "calm", batch=3, on_progress=lambda stage, share=0.0: shares.append(share))
    whole = read_experiment_log(store, "calm")
    assert found.exposures.equals(whole.exposures)
    assert found.actions.equals(whole.actions)
    assert shares == [3 / 8, 6 / 8, 1.0]


def test_a_reader_may_stop_after_each_batch(store: SqliteStore) -> None:
    store.append([shown(f"r{n}", "mixed", T + n, user_id="u") for n in range(7)])

    def stop(stage: str, share: float = 0.0) -> None:
        raise TimeoutError(f"{stage} {share:.0%}")

    with pytest.raises(TimeoutError, match="read 29%"):
        read_experiment_log(store, "calm", batch=2, on_progress=stop)
