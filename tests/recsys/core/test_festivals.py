from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.festivals import FESTIVALS, FIRST_YEAR, LUNAR_DAYS


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("spring_festival", date(2024, 2, 10)),
        ("spring_festival", date(2025, 1, 29)),
        ("spring_festival", date(2033, 1, 31)),
        ("dragon_boat", date(2025, 5, 31)),
        ("qixi", date(2024, 8, 10)),
        ("mid_autumn", date(2024, 9, 17)),
        ("mid_autumn", date(2025, 10, 6)),
        ("double_11", date(2026, 11, 11)),
        ("618", date(2026, 6, 18)),
        ("thanksgiving", date(2024, 11, 28)),
        ("thanksgiving", date(2026, 11, 26)),
        ("mothers_day", date(2024, 5, 12)),
        ("fathers_day", date(2025, 6, 15)),
        ("christmas", date(2024, 12, 25)),
    ],
)
def test_days_that_are_known(name: str, day: date) -> None:
    assert FESTIVALS[name].day_of(day.year) == day
    assert FESTIVALS[name].next_from(day) == day
    assert FESTIVALS[name].next_from(day - timedelta(days=20)) == day


@given(st.sampled_from(sorted(FESTIVALS)), st.dates(date(FIRST_YEAR, 1, 1), date(2049, 12, 31)))
def test_the_next_day_is_within_a_year_and_not_past(name: str, day: date) -> None:
    found = FESTIVALS[name].next_from(day)
    assert found is not None
    assert timedelta(0) <= found - day <= timedelta(days=390)


@pytest.mark.parametrize("name", LUNAR_DAYS)
def test_lunar_years_have_12_or_13_months_and_other_years_are_unknown(name: str) -> None:
    days = [FESTIVALS[name].day_of(year) for year in range(FIRST_YEAR, 2051)]
    gaps = {(later - day).days for day, later in pairwise(days) if day and later}
    assert gaps <= {353, 354, 355, 383, 384, 385}
    assert FESTIVALS[name].day_of(FIRST_YEAR - 1) is FESTIVALS[name].day_of(2051) is None
    assert FESTIVALS[name].next_from(date(2060, 1, 1)) is None
