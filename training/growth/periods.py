"""Days, weeks and months of the shop's calendar, and which of them the data cover completely."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

import polars as pl

Unit = Literal["day", "week", "month"]

UNITS: Final[tuple[Unit, ...]] = ("day", "week", "month")
EVERY: Final[dict[Unit, str]] = {"day": "1d", "week": "1w", "month": "1mo"}
MONTHS: Final = 12
DAYS_TO_MONDAY: Final = 3
"""1970-01-01 was a Thursday: days from the Monday before it."""


@dataclass(frozen=True)
class Observation:
    """The days that the data cover completely.

    Attributes:
        first: the first day with an event.
        end: the day after the last complete day.
    """

    first: date
    end: date

    @property
    def n_days(self) -> int:
        """Number of days."""
        return (self.end - self.first).days

    def last(self, n_days: int) -> Observation:
        """Return the last days, fewer where there are fewer."""
        return Observation(max(self.first, self.end - timedelta(days=n_days)), self.end)

    def before(self, window: Observation) -> Observation | None:
        """Return as many days before a window; None where the data start later."""
        start = window.first - timedelta(days=window.n_days)
        return Observation(start, window.first) if start >= self.first else None

    def contains(self) -> pl.Expr:
        """Return whether `day` is one of the days."""
        return pl.col("day").is_between(self.first, self.end, closed="left")


def start_of(unit: Unit) -> pl.Expr:
    """Return the first day of the period of `day`; weeks begin on Monday."""
    return pl.col("day").dt.truncate(EVERY[unit])


def number_of(days: pl.Expr, unit: Unit) -> pl.Expr:
    """Return a number per period of a date, such that the next period has the next number; int32."""
    if unit == "month":
        return days.dt.year() * MONTHS + days.dt.month().cast(pl.Int32)
    since_1970 = days.cast(pl.Int32)
    return since_1970 if unit == "day" else (since_1970 + DAYS_TO_MONDAY).floordiv(7)


def next_start(day: date, unit: Unit) -> date:
    """Return the first day of the period after the one of a day.

    >>> next_start(date(2026, 12, 31), "month"), next_start(date(2026, 11, 27), "week")
    (datetime.date(2027, 1, 1), datetime.date(2026, 11, 30))
    """
    if unit == "month":
        return date(day.year + day.month // MONTHS, day.month % MONTHS + 1, 1)
    return day + timedelta(days=1 if unit == "day" else 7 - day.weekday())


def complete_periods(observed: Observation, unit: Unit) -> list[date]:
    """Return the first days of the periods of which every day is observed."""
    return [start for start in _starts(observed, unit) if next_start(start, unit) <= observed.end]


def _starts(observed: Observation, unit: Unit) -> Iterator[date]:
    day = observed.first
    is_start = next_start(day - timedelta(days=1), unit) == day
    start = day if is_start else next_start(day, unit)
    while start < observed.end:
        yield start
        start = next_start(start, unit)
