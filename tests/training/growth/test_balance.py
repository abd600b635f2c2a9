from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.growth.test_cohorts import MONDAY, VISITS, days_of
from training.growth.balance import customer_balance
from training.growth.periods import Observation, next_start


def test_planted_balance() -> None:
    """In the fifth week `leaves` falls out of 28 days, `back` returns, `new` comes, `stays` stays."""
    visits = days_of(("leaves", 3), ("stays", 5), ("stays", 30), ("back", 0), ("back", 31), ("new", 32), ("back", 90))
    observed = Observation(MONDAY, MONDAY + timedelta(days=36))
    (week,) = customer_balance(visits, observed, 28, "week")
    assert week.start == MONDAY + timedelta(days=28)
    assert (week.before, week.churned, week.gained, week.returned, week.after) == (3, 1, 1, 0, 3)
    assert week.churn.value == 1 / 3
    assert customer_balance(visits, Observation(MONDAY, MONDAY + timedelta(days=30)), 28, "week") == ()


def test_who_returns_after_a_pause_is_won_back() -> None:
    visits = days_of(("back", 0), ("back", 60), ("other", 59))
    found = customer_balance(visits, Observation(MONDAY, MONDAY + timedelta(days=63)), 28, "week")
    assert [(each.before, each.gained, each.returned, each.after) for each in found[-1:]] == [(0, 1, 1, 2)]


@settings(max_examples=50)
@given(VISITS, st.integers(1, 40))
def test_what_comes_and_goes_adds_up(visits: list[tuple[str, int]], active_for: int) -> None:
    observed = Observation(MONDAY, MONDAY + timedelta(days=150))
    table = days_of(*visits).filter(observed.contains())
    days = [(person, day) for person, day in table.iter_rows()]

    def active(at: date) -> set[str]:
        return {person for person, day in days if at - timedelta(days=active_for) <= day < at}

    previous = None
    for each in customer_balance(table, observed, active_for, "week"):
        before, after = active(each.start), active(next_start(each.start, "week"))
        assert each.after == each.before - each.churned + each.gained + each.returned
        assert (each.before, each.after, each.churned) == (len(before), len(after), len(before - after))
        assert previous in (None, each.before)
        previous = each.after
