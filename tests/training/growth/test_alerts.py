from __future__ import annotations

import json
import os
import threading
from datetime import date, timedelta
from pathlib import Path

import pytest

from recsys.evaluation.attribution import wilson
from recsys.evaluation.exposure import Exposure
from training.growth.alerts import Alert, alert_rows, append_alerts, growth_alerts, retention_alerts
from training.growth.balance import BalancePeriod
from training.growth.cohorts import Retention
from training.growth.config import GrowthConfig
from training.growth.funnel import CartLoss, CartWeek, FunnelStep
from training.growth.ledger import Part, PartLedger
from training.growth.periods import Observation

MONDAY = date(2026, 3, 2)
WINDOW = Observation(date(2026, 4, 1), date(2026, 4, 29))
NO_CARTS = CartLoss(None, ())


def carts(n: int, lost: int, *weekly: float) -> CartLoss:
    weeks = tuple(
        CartWeek(MONDAY + timedelta(weeks=k), 100, wilson(int(100 * loss), 100)) for k, loss in enumerate(weekly)
    )
    return CartLoss(CartWeek(WINDOW.first, n, wilson(lost, n)), weeks)


def test_carts_above_the_limit_since_the_first_of_such_weeks() -> None:
    (alert,) = growth_alerts(GrowthConfig(), WINDOW, (), carts(100, 31, 0.5, 0.2, 0.4, 0.35, 0.4), ())
    assert (alert.what, alert.value, alert.limit, alert.cases) == ("cart_loss", 0.31, 0.3, 100)
    assert alert.since == MONDAY + timedelta(weeks=2)


@pytest.mark.parametrize(
    ("config", "n", "lost", "n_alerts"),
    [
        (GrowthConfig(), 100, 30, 0),
        (GrowthConfig(), 100, 31, 1),
        (GrowthConfig(max_cart_loss=0.5), 100, 45, 0),
        (GrowthConfig(), 10, 9, 0),
        (GrowthConfig(min_cases=10), 10, 9, 1),
    ],
)
def test_the_limit_and_the_number_of_cases_are_settings(config: GrowthConfig, n: int, lost: int, n_alerts: int) -> None:
    found = growth_alerts(config, WINDOW, (), carts(n, lost), ())
    assert len(found) == n_alerts
    assert all(alert.since == WINDOW.first for alert in found)


@pytest.mark.parametrize(("now", "before", "is_alert"), [(30, 50, True), (45, 50, False), (0, 3, False)])
def test_a_step_that_fell_beyond_chance(now: int, before: int, is_alert: bool) -> None:
    steps = (FunnelStep("view", 100, None, None), FunnelStep("cart", now, wilson(now, 100), wilson(before, 100)))
    found = growth_alerts(GrowthConfig(), WINDOW, (*steps, FunnelStep("order", 5, wilson(5, 9), None)), NO_CARTS, ())
    assert [alert.what for alert in found] == ["funnel_cart"] * is_alert


def exposure(n_part: int) -> Exposure:
    return Exposure("discover", 1000, wilson(n_part, 1000), 0, wilson(0, 0), 0.0, None, None, None, 0.0)


@pytest.mark.parametrize(
    ("part", "n_part", "is_alert"), [("tail", 150, False), ("tail", 100, True), ("new", 100, False), ("new", 300, True)]
)
def test_a_promise_that_was_not_kept(part: Part, n_part: int, is_alert: bool) -> None:
    parts = (PartLedger(part, 1, 2, None, None, {"discover": 0.15}, (exposure(n_part),)),)
    found = growth_alerts(GrowthConfig(), WINDOW, (), NO_CARTS, parts)
    assert [(alert.what, alert.of) for alert in found] == [(f"{part}_shown", "discover")] * is_alert
    unpromised = (PartLedger(part, 1, 2, None, None, {}, (exposure(n_part),)),)
    assert growth_alerts(GrowthConfig(), WINDOW, (), NO_CARTS, unpromised) == ()


def balance(*churned: int) -> tuple[BalancePeriod, ...]:
    return tuple(
        BalancePeriod(MONDAY + timedelta(weeks=k), 1000, 1000, n, n, 0, wilson(n, 1000)) for k, n in enumerate(churned)
    )


@pytest.mark.parametrize(
    ("churned", "is_alert"),
    [((20, 22, 18, 60), True), ((20, 22, 18, 23), False), ((20, 60), False), ((60, 22, 18, 20), False), ((), False)],
)
def test_churn_above_the_months_before(churned: tuple[int, ...], is_alert: bool) -> None:
    found = retention_alerts(GrowthConfig(), (), balance(*churned))
    assert [alert.what for alert in found] == ["churn"] * is_alert


@pytest.mark.parametrize(("latest", "is_alert"), [(20, True), (48, False)])
def test_new_customers_who_do_not_return(latest: int, is_alert: bool) -> None:
    cells = ((100, 50, 4), (100, 55, 3), (100, 45), (100, latest), (100,))
    starts = tuple(MONDAY + timedelta(weeks=k) for k in range(5))
    found = retention_alerts(GrowthConfig(), [Retention("week", starts, (100,) * 5, cells, 0, ())], ())
    assert [(alert.what, alert.of, alert.since) for alert in found] == [
        ("second_period_retention", "week", starts[3])
    ] * is_alert


ALERT = Alert("churn", "month", 0.2, 0.1, 40, MONDAY)


def test_lines_are_appended(tmp_path: Path) -> None:
    rows = alert_rows("retention", MONDAY, [ALERT, ALERT], [("流失", "召回"), ("b", "c")])
    append_alerts(tmp_path / "alerts.jsonl", rows)
    append_alerts(tmp_path / "alerts.jsonl", rows[:1])
    append_alerts(tmp_path / "alerts.jsonl", [])
    read = [json.loads(line) for line in (tmp_path / "alerts.jsonl").read_text(encoding="utf-8").splitlines()]
    assert read == [*rows, rows[0]]
    assert {"what", "value", "limit", "since", "remedy", "message", "report", "until"} <= set(read[0])
    append_alerts(tmp_path / "none.jsonl", [])
    assert (tmp_path / "none.jsonl").read_bytes() == b"", "a monitor may open it"


def test_writers_at_once_mix_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    rows = [[{"writer": writer, "text": "x" * 5000}] * 3 for writer in range(8)]
    writers = [threading.Thread(target=append_alerts, args=(path, each)) for each in rows]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    read = [json.loads(line)["writer"] for line in path.read_text(encoding="utf-8").splitlines()]
    assert sorted(read) == sorted(3 * list(range(8)))
    assert all(read[place : place + 3] == [read[place]] * 3 for place in range(0, 24, 3))


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "alerts.jsonl"
    append_alerts(path, [{"one": 1}])
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    with pytest.raises(OSError, match="only 3 of"):
        append_alerts(path, [{"two": 2}])
    assert path.read_text(encoding="utf-8") == '{"one": 1}\n'
