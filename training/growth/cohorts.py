"""Retention by cohort: who comes back in each period after the first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import polars as pl

from recsys.core.metrics import Interval
from recsys.evaluation.attribution import wilson
from training.growth.periods import Observation, Unit, complete_periods, number_of, start_of

WARM_UP_DAYS: Final = 28
"""Who appears for the first time in the first days of the data was probably there before."""

MAX_COHORTS: Final[dict[Unit, int]] = {"day": 42, "week": 53, "month": 36}


@dataclass(frozen=True)
class Retention:
    """The cohorts of one unit of time.

    Attributes:
        unit: length of a period.
        starts: first day of the period in which each cohort's people were active for the first time.
        sizes: number of people of each cohort.
        cells: for each cohort, number of its people who were active in period 0 (its own), 1, 2 …; a period that is
            not observed completely has no cell.
        n_mixed: the first cohorts with customers from before the data: they start within `WARM_UP_DAYS` of its start.
        by_age: share of people who were active in period 0, 1, 2 …, over the cohorts that have the cell; without mixed
            cohorts where there are others.
    """

    unit: Unit
    starts: tuple[date, ...]
    sizes: tuple[int, ...]
    cells: tuple[tuple[int, ...], ...]
    n_mixed: int
    by_age: tuple[Interval, ...]


def retention(active_days: pl.DataFrame, observed: Observation, unit: Unit) -> Retention:
    """Count who of each cohort is active in each later period.

    `retention(c, k) = people of cohort c who are active in period c + k ÷ people of c`. Only complete periods count, so
    no cell is low because its period has not ended. Only the latest cohorts are returned.

    Args:
        active_days: distinct `person` and `day`.
        observed: the days that the data cover completely.
        unit: length of a period.

    Returns:
        The cohorts; none if no period is complete.
    """
    periods = complete_periods(observed, unit)[-MAX_COHORTS[unit] :]
    if not periods:
        return Retention(unit, (), (), (), 0, ())
    seen = active_days.lazy().select("person", start_of(unit).alias("start")).unique()
    first = pl.col("start").min().over("person").alias("cohort")
    age = number_of(pl.col("start"), unit) - number_of(pl.col("cohort"), unit)
    found = (
        seen.with_columns(first)
        .filter(pl.col("cohort") >= periods[0], pl.col("start") <= periods[-1])
        .group_by("cohort", age.alias("age"))
        .len()
        .collect()
    )
    counted = {(cohort, at): n for cohort, at, n in found.iter_rows()}
    starts = [start for start in periods if (start, 0) in counted]
    cells = [
        tuple(counted.get((start, at), 0) for at in range(len(periods) - periods.index(start))) for start in starts
    ]
    sizes = tuple(row[0] for row in cells)
    n_mixed = sum((start - observed.first).days < WARM_UP_DAYS for start in starts)
    by_age = _by_age(cells[n_mixed:] or cells)
    return Retention(unit, tuple(starts), sizes, tuple(cells), n_mixed, by_age)


def newcomers(active_days: pl.DataFrame, observed: Observation) -> pl.DataFrame:
    """Return the days of people who appeared after the first `WARM_UP_DAYS`; of all people if nobody did."""
    first = pl.col("day").min().over("person")
    late = active_days.filter(first >= observed.first + timedelta(days=WARM_UP_DAYS))
    return late if len(late) else active_days


def _by_age(cells: list[tuple[int, ...]]) -> tuple[Interval, ...]:
    ages = range(max(map(len, cells), default=0))
    rows = [[row for row in cells if len(row) > age] for age in ages]
    return tuple(
        wilson(sum(row[age] for row in known), sum(row[0] for row in known))
        for age, known in zip(ages, rows, strict=True)
    )
