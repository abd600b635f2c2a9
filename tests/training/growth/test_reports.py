from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from recsys.core.errors import ConfigError
from recsys.eventlog.sqlite import SqliteStore
from tests.training.growth.planted import event, write_tables
from training.growth.config import GrowthConfig
from training.growth.reports import as_json, growth_report, retention_report


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty people who buy every week for twenty weeks, half of them on the web."""
    rows = [
        event(f"u{n}", "purchase", 7 * week + n % 7, price=2.0, channel="web" if n % 2 else "app")
        for week in range(20)
        for n in range(20)
    ]
    return write_tables(tmp_path_factory.mktemp("shop"), rows)


def test_the_reports_of_a_steady_shop(data: Path) -> None:
    kept = retention_report(data, GrowthConfig())
    assert {share.value for share in kept.cohorts["week"].by_age} == {1.0}
    assert set(kept.by_channel) == {"web", "app"}
    assert kept.repurchase.median_days == 7
    assert [each.churned for each in kept.balance] == [0]
    grown = growth_report(data, GrowthConfig())
    assert grown.window.revenue == 160
    assert grown.before == replace(
        grown.window, start=date(2026, 5, 25) if grown.before is None else grown.before.start
    )
    assert {group.name: group.orders for group in grown.channels} == {"web": 40, "app": 40}
    assert kept.alerts == grown.alerts == ()


def test_the_day_that_a_report_ends_on(data: Path) -> None:
    report = growth_report(data, GrowthConfig(window_days=7), until=date(2026, 3, 8))
    assert report.facts.observed.n_days == 7
    assert report.window.orders == 20
    assert report.before is None


def test_json_has_all_figures_and_nothing_else(data: Path, tmp_path: Path) -> None:
    SqliteStore(tmp_path / "store.sqlite").close()
    report = growth_report(data, GrowthConfig(), log=tmp_path / "store.sqlite")
    found = json.loads(json.dumps(as_json(report), allow_nan=False))
    assert found["window"]["arpu"] == 8.0
    assert found["facts"]["window"]["first"] == "2026-06-22"
    assert found["attribution"] == {"yields": [], "window_days": 7.0, "late": 0, "unmatched": 0}
    assert as_json({"a": (math.nan, date(2026, 1, 2), math.inf, 1.5)}) == {"a": [None, "2026-01-02", None, 1.5]}


def test_a_log_that_does_not_exist_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.sqlite does not exist: name the live log"):
        growth_report(data, GrowthConfig(), log=tmp_path / "none.sqlite")
