from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.growth.periods import UNITS, Observation, Unit, complete_periods, next_start, number_of, start_of

DAYS = st.dates(date(2019, 1, 1), date(2030, 12, 31))


@given(DAYS, st.sampled_from(UNITS))
def test_periods_follow_each_other(day: date, unit: Unit) -> None:
    later = next_start(day, unit)
    table = pl.DataFrame({"day": [day, later, later - timedelta(days=1)]})
    start, after, before = table.select(start_of(unit))["day"]
    number, next_number, last_number = table.select(number_of(pl.col("day"), unit))["day"]
    assert start <= day < later == after
    assert before == start
    assert next_number == number + 1 == last_number + 1


@given(DAYS, st.integers(0, 200), st.sampled_from(UNITS))
def test_a_complete_period_is_within_the_days(first: date, n_days: int, unit: Unit) -> None:
    observed = Observation(first, first + timedelta(days=n_days))
    found = complete_periods(observed, unit)
    assert all(observed.first <= start and next_start(start, unit) <= observed.end for start in found)
    longest = {"day": 1, "week": 7, "month": 31}[unit]
    assert len(found) >= n_days // longest - 1
    assert found == sorted(set(found))


@pytest.mark.parametrize(("n_days", "has_before"), [(56, True), (55, False)])
def test_the_window_before_is_as_long(n_days: int, has_before: bool) -> None:
    observed = Observation(date(2026, 1, 1), date(2026, 1, 1) + timedelta(days=n_days))
    window = observed.last(28)
    before = observed.before(window)
    assert (before is not None) == has_before
    assert before is None or (before.n_days, before.end) == (28, window.first)
