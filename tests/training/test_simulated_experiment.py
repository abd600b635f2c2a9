"""Made-up shoppers: reproducible, continued from call to call, and never mixed with those of a shop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from recsys.core.errors import ConfigError
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from recsys.experiments.assignment import RunningExperiment, variant_of
from recsys.experiments.definitions import PermanentHoldout
from recsys.experiments.outcomes import read_experiment_log, shopper_table
from tests.recsys.experiments.files import definition
from training.simulated_experiment import simulate_days

RUNNING = RunningExperiment(definition(), 1.0, PermanentHoldout())
CTR = {"control": 0.1, "mixed": 0.3}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "simulated.sqlite")) as log:
        yield log


def test_shoppers_are_those_of_the_experiment_and_click_by_variant(store: SqliteStore) -> None:
    assert simulate_days(store, replace(RUNNING, share=0.5), 2, 400, CTR) == 2
    table = shopper_table(read_experiment_log(store, "calm"))
    assert 330 < len(table) < 470
    assert table["variant"].to_list() == [variant_of(RUNNING, unit) for unit in table["unit_id"]]
    rates = {name: part["clicks"].sum() / part["impressions"].sum() for (name,), part in table.group_by("variant")}
    assert all(abs(rates[name] - CTR[name]) < 0.03 for name in CTR)
    assert 0.2 < table["pre_buyers"].mean() < 0.45  # type: ignore[operator]


def test_days_go_on_where_the_log_ends_and_are_the_same_again(store: SqliteStore, tmp_path: Path) -> None:
    simulate_days(store, RUNNING, 1, 50, CTR)
    assert simulate_days(store, RUNNING, 1, 50, CTR) == 2
    with closing(SqliteStore(tmp_path / "again.sqlite")) as again:
        simulate_days(again, RUNNING, 2, 50, CTR)
        assert again.read_after(0, 10_000) == store.read_after(0, 10_000)
    assert read_experiment_log(store, "calm").days == pytest.approx(1.6, abs=0.05)


def test_the_log_of_a_shop_is_left_alone(store: SqliteStore) -> None:
    store.append([LogEntry("event", None, 1.0, 1.0, {"event": "view_item", "item_id": "tea", "user_id": "u"})])
    with pytest.raises(ConfigError, match="the log is that of a shop: name another file"):
        simulate_days(store, RUNNING, 1, 50, CTR)
    assert store.last_seq() == 1
