"""The customer balance: who became active, stayed, and left in each period."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import polars as pl

from recsys.core.metrics import Interval
from recsys.evaluation.attribution import wilson
from training.growth.periods import Observation, Unit, complete_periods, next_start

MAX_PERIODS: Final = 14


@dataclass(frozen=True)
class BalancePeriod:
    """Active customers of one period: `after = before − churned + gained + returned`.

    Attributes:
        start: first day of the period.
        before: people who were active at its start: they had ordered within the `active_days` before.
        after: the same at its end.
        churned: active at the start and not at the end.
        gained: active at the end, with their first order in the period.
        returned: active at the end, not active at the start, and with an order before the period.
        churn: `churned ÷ before`.
    """

    start: date
    before: int
    after: int
    churned: int
    gained: int
    returned: int
    churn: Interval


def customer_balance(
    active_days: pl.DataFrame, observed: Observation, active_for: int, unit: Unit
) -> tuple[BalancePeriod, ...]:
    """Count who is active at the start and the end of each complete period.

    Nothing after the end of a period is used, so the last period is as certain as the others. Periods whose start is
    less than `active_for` days after the first day of the data are left out: who was active then is not known.

    Args:
        active_days: distinct `person` and `day`.
        observed: the days that the data cover completely.
        active_for: days after an order for which a person is active.
        unit: length of a period.
    """
    earliest = observed.first + timedelta(days=active_for)
    starts = [start for start in complete_periods(observed, unit) if start >= earliest][-MAX_PERIODS:]
    first = active_days.group_by("person").agg(pl.col("day").min().alias("first"))
    return tuple(_period(active_days, first, start, next_start(start, unit), active_for) for start in starts)


def _period(active_days: pl.DataFrame, first: pl.DataFrame, start: date, end: date, active_for: int) -> BalancePeriod:
    def at(moment: date) -> pl.LazyFrame:
        since = moment - timedelta(days=active_for)
        return (
            active_days.lazy().filter(pl.col("day").is_between(since, moment, closed="left")).select("person").unique()
        )

    earlier, later = at(start).collect(), at(end).collect()
    stayed = len(later.join(earlier, on="person", how="semi"))
    is_new = pl.col("first") >= start
    gained = len(later.join(first.filter(is_new), on="person", how="semi"))
    churned = len(earlier) - stayed
    return BalancePeriod(
        start, len(earlier), len(later), churned, gained, len(later) - stayed - gained, wilson(churned, len(earlier))
    )
