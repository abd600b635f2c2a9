from __future__ import annotations

from datetime import date, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from training.growth.cohorts import MAX_COHORTS, newcomers, retention
from training.growth.periods import UNITS, Observation, Unit, complete_periods, next_start

MONDAY = date(2026, 3, 2)


def days_of(*visits: tuple[str, int]) -> pl.DataFrame:
    rows = {(person, MONDAY + timedelta(days=day)) for person, day in visits}
    return pl.DataFrame(sorted(rows), {"person": pl.String, "day": pl.Date}, orient="row")


def test_planted_weeks() -> None:
    """Ten people start in week 5, four of them return in week 6 and two in week 7; one starts in week 6."""
    start = [(f"a{n}", 35 + n % 7) for n in range(10)]
    again = [(f"a{n}", 42) for n in range(4)] + [(f"a{n}", 50) for n in range(2)]
    visits = days_of(("old", 0), *start, *again, ("b", 43))
    found = retention(visits, Observation(MONDAY, MONDAY + timedelta(days=60)), "week")
    assert found.starts == (MONDAY, *(MONDAY + timedelta(weeks=n) for n in (5, 6)))
    assert found.sizes == (1, 10, 1)
    assert found.cells[1:] == ((10, 4, 2), (1, 0)), "week 8 has not ended: it has no cell"
    assert found.n_mixed == 1
    assert [round(each.value, 4) for each in found.by_age] == [1.0, round(4 / 11, 4), 0.2]


def test_a_period_that_is_not_over_is_empty_and_not_zero() -> None:
    visits = days_of(*((f"u{n}", 0) for n in range(5)))
    for n_days, n_cells in ((7, 1), (13, 1), (14, 2)):
        found = retention(visits, Observation(MONDAY, MONDAY + timedelta(days=n_days)), "week")
        assert [len(row) for row in found.cells] == [n_cells]
    assert retention(visits, Observation(MONDAY, MONDAY + timedelta(days=6)), "week").starts == ()
    assert retention(visits, Observation(MONDAY, MONDAY + timedelta(days=20)), "month").starts == ()


VISITS = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 150)), min_size=1, max_size=60)


@settings(max_examples=60)
@given(VISITS, st.integers(1, 150), st.sampled_from(UNITS))
def test_cohorts_are_those_counted_one_by_one(visits: list[tuple[str, int]], n_days: int, unit: Unit) -> None:
    observed = Observation(MONDAY, MONDAY + timedelta(days=n_days))
    table = days_of(*visits).filter(observed.contains())
    found = retention(table, observed, unit)
    periods = complete_periods(observed, unit)[-MAX_COHORTS[unit] :]
    people: dict[str, set[date]] = {}
    for person, day in table.iter_rows():
        people.setdefault(person, set()).add(day)
    for start, size, row in zip(found.starts, found.sizes, found.cells, strict=True):
        cohort = [days for days in people.values() if start <= min(days) < next_start(start, unit)]
        assert size == len(cohort) > 0
        later = periods[periods.index(start) :]
        assert list(row) == [
            sum(any(period <= day < next_start(period, unit) for day in days) for days in cohort) for period in later
        ]


def test_newcomers_are_everyone_where_nobody_is_new() -> None:
    observed = Observation(MONDAY, MONDAY + timedelta(days=60))
    old = days_of(("a", 0), ("a", 40))
    assert len(newcomers(old, observed)) == 2
    assert newcomers(days_of(("a", 0), ("a", 40), ("b", 28)), observed)["person"].to_list() == ["b"]
