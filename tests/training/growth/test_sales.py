from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.training.growth.planted import START, event, write_tables
from training.growth.history import read_history
from training.growth.periods import UNITS
from training.growth.sales import sales_by_period, sales_of


def test_planted_weeks(tmp_path: Path) -> None:
    """In week 5, `old` and `new` buy for 10 each and a stranger for 5, and `looker` looks."""
    rows = [
        event("old", "purchase", 0, price=4.0),
        event("old", "purchase", 36, price=5.0, quantity=2.0, basket_id="a"),
        event("new", "purchase", 37, price=10.0, basket_id="b"),
        event("", "purchase", 37, user_id=None, price=5.0, basket_id="c"),
        event("looker", "view_item", 38),
        event("looker", "view_item", 48.9),
    ]
    history = read_history(write_tables(tmp_path, rows))
    first, *_, week, last = sales_by_period(history, "week")
    assert (week.people, week.buyers, week.new_buyers, week.orders) == (3, 2, 1, 3)
    assert (week.revenue, week.known_revenue, week.new_revenue) == (25.0, 20.0, 10.0)
    assert (week.arpu, week.arppu, week.order_value) == (pytest.approx(20 / 3), 10.0, pytest.approx(25 / 3))
    assert (first.new_buyers, first.new_revenue, first.revenue) == (None, None, 4.0), "nobody knows who is new"
    assert (last.people, last.orders, last.revenue, last.arpu, last.order_value) == (1, 0, 0.0, 0.0, None)
    window = sales_of(history, history.observed.last(14))
    assert (window.people, window.buyers, window.new_buyers, window.orders, window.revenue) == (3, 2, 1, 3, 25.0)


def test_without_prices_there_is_no_revenue(tmp_path: Path) -> None:
    history = read_history(write_tables(tmp_path, [event("u", "purchase", day) for day in range(40)]))
    for unit in UNITS:
        for each in sales_by_period(history, unit):
            assert (each.revenue, each.arpu, each.order_value) == (None, None, None)
            assert each.buyers == 1
    assert sales_of(history, history.observed.last(7)).orders == 7


def test_without_a_complete_period_or_an_order(tmp_path: Path) -> None:
    history = read_history(write_tables(tmp_path, [event("u", "view_item", 1)]), (START + timedelta(days=3)).date())
    assert sales_by_period(history, "month") == ()
    assert [each.people for each in sales_by_period(history, "day")] == [1]
    assert sales_of(history, history.observed).buyers == 0
