"""Alerts: figures beyond their limits, since when, and what to do."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any, Final

from recsys.evaluation.attribution import Z_95
from training.growth.balance import BalancePeriod
from training.growth.cohorts import Retention
from training.growth.config import GrowthConfig
from training.growth.funnel import CartLoss, FunnelStep
from training.growth.ledger import PartLedger
from training.growth.periods import Observation

HISTORY: Final = 6
"""Periods before the latest one, of which the mean is the normal state."""

MIN_HISTORY: Final = 2


@dataclass(frozen=True)
class Alert:
    """A figure beyond its limit.

    Attributes:
        what: name of the figure: `cart_loss`, `funnel_cart` …, `churn`, `second_period_retention`, `tail_shown`,
            `new_shown`.
        of: what it is measured on: a placement, a unit of time; "" for the shop.
        value: the figure.
        limit: what it should not be beyond.
        cases: number of carts, people or impressions that it is measured on.
        since: first day of the periods without interruption in which the figure is beyond the limit.
    """

    what: str
    of: str
    value: float
    limit: float
    cases: int
    since: date


def growth_alerts(
    config: GrowthConfig,
    window: Observation,
    steps: Sequence[FunnelStep],
    carts: CartLoss,
    parts: Sequence[PartLedger],
) -> tuple[Alert, ...]:
    """Return the alerts of the growth report."""
    found = (*_cart_alerts(config, carts), *_step_alerts(config, window, steps), *_ledger_alerts(config, window, parts))
    return tuple(found)


def retention_alerts(
    config: GrowthConfig, retained: Sequence[Retention], balance: Sequence[BalancePeriod]
) -> tuple[Alert, ...]:
    """Return the alerts of the retention report."""
    churn = [(each.start, each.churned, each.before) for each in balance]
    found = list(_trend_alert("churn", "month", churn, config, is_bad_above=True))
    for each in retained:
        if each.unit != "day":
            rates = [
                (start, row[1], row[0]) for start, row in zip(each.starts, each.cells, strict=True) if len(row) > 1
            ]
            found += _trend_alert("second_period_retention", each.unit, rates, config, is_bad_above=False)
    return tuple(found)


def append_alerts(path: Path, alerts: Iterable[dict[str, Any]]) -> None:
    """Append one line of JSON per alert, all or none of them, durably; without any, the file exists all the same.

    Writers of one file wait for each other, and a line is never mixed with that of another one. A write that fails
    leaves the file as it was.
    """
    lines = "".join(json.dumps(alert, ensure_ascii=False) + "\n" for alert in alerts).encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        try:
            written = os.write(descriptor, lines)
            if written < len(lines):
                raise OSError(f"{path}: only {written} of {len(lines)} bytes were written")
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def alert_rows(
    report: str, until: date, alerts: Sequence[Alert], texts: Sequence[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Return alerts as JSON objects.

    Args:
        report: `growth` or `retention`.
        until: the last complete day of the data.
        alerts: the alerts.
        texts: a sentence and the remedy for each.
    """
    rows = []
    for alert, (message, remedy) in zip(alerts, texts, strict=True):
        row = asdict(alert) | {"since": alert.since.isoformat()}
        rows.append({"report": report, "until": until.isoformat(), **row, "message": message, "remedy": remedy})
    return rows


def _cart_alerts(config: GrowthConfig, carts: CartLoss) -> Iterator[Alert]:
    window, limit = carts.window, config.max_cart_loss
    if window is not None and window.carts >= config.min_cases and window.loss.value > limit:
        weeks = [(week.start, week.loss.value > limit) for week in carts.weeks]
        yield Alert("cart_loss", "", window.loss.value, limit, window.carts, _since(weeks, window.start))


def _step_alerts(config: GrowthConfig, window: Observation, steps: Sequence[FunnelStep]) -> Iterator[Alert]:
    for previous, step in pairwise(steps):
        now, before = step.rate, step.rate_before
        if now is None or before is None or previous.people < config.min_cases:
            continue
        limit = before.value * (1 - config.max_fall)
        if now.value < limit and now.high < before.low:
            yield Alert(f"funnel_{step.name}", "", now.value, limit, previous.people, window.first)


def _ledger_alerts(config: GrowthConfig, window: Observation, parts: Sequence[PartLedger]) -> Iterator[Alert]:
    for ledger in parts:
        for found in ledger.exposures:
            limit = ledger.promised.get(found.placement)
            if limit is None or found.impressions < config.min_cases:
                continue
            is_broken = found.shown.high < limit if ledger.part == "tail" else found.shown.low > limit
            if is_broken:
                value, cases = found.shown.value, found.impressions
                yield Alert(f"{ledger.part}_shown", found.placement, value, limit, cases, window.first)


def _trend_alert(
    what: str, of: str, counts: Sequence[tuple[date, int, int]], config: GrowthConfig, *, is_bad_above: bool
) -> Iterator[Alert]:
    """Compare the latest rate with those of the periods before; `counts` are a day, cases of the event, all cases."""
    *earlier, (start, hits, cases) = [row for row in counts if row[2]][-HISTORY - 1 :] or [(date.min, 0, 0)]
    n_before = sum(row[2] for row in earlier)
    if len(earlier) < MIN_HISTORY or cases < config.min_cases or n_before < config.min_cases:
        return
    usual, value = sum(row[1] for row in earlier) / n_before, hits / cases
    sign = 1 if is_bad_above else -1
    limit = usual * (1 + sign * config.max_fall)
    pooled = (hits + usual * n_before) / (cases + n_before)
    noise = Z_95 * (pooled * (1 - pooled) * (1 / cases + 1 / n_before)) ** 0.5
    if sign * (value - limit) > 0 and sign * (value - usual) > noise:
        yield Alert(what, of, value, limit, cases, start)


def _since(periods: Sequence[tuple[date, bool]], otherwise: date) -> date:
    """Return the start of the latest periods without interruption that are beyond the limit."""
    latest = list(takewhile(lambda period: period[1], reversed(periods)))
    return latest[-1][0] if latest else otherwise
