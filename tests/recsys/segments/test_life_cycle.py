"""The stage of each user: one case per rule, its limits, and a loop that states the rules again."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.segments.config import LifeCycleConfig
from recsys.segments.life_cycle import STAGES, UNKNOWN_STAGE, days_since_return, life_cycle
from tests.recsys.segments.histories import stats_of

CONFIG = LifeCycleConfig()


def _stage(orders: list[float], views: list[float] | None = None, created: float = math.nan) -> str:
    code = int(life_cycle(stats_of([orders], [views or []], created_ages=[created]), CONFIG)[0])
    return "unknown" if code == UNKNOWN_STAGE else STAGES[code]


@pytest.mark.parametrize(
    ("orders", "views", "stage"),
    [
        ([200, 20], [], "returning"),
        ([200, 31], [], "active"),
        ([110, 21], [], "active"),  # 89 days of nothing are no absence
        ([200, 20], [150, 100], "active"),  # it came back before: there was no absence of 90 days
        ([300, 20], [200, 25], "returning"),  # the absence ends with a view; the order follows
        ([300, 60, 5], [], "active"),  # the first order since the absence is 60 days old
        ([180], [], "lost"),
        ([179.9], [], "dormant"),
        ([90], [], "dormant"),
        ([200, 89.9], [], "active"),
        ([89.9], [], "growing"),
        ([], [30], "new_visitor"),
        ([], [7], "new_visitor"),
        ([], [30.1], "active"),
        ([7], [], "new_week"),
        ([3], [20], "new_month"),
        ([7.1], [], "new_month"),
        ([30], [], "new_month"),
        ([30.1], [], "growing"),
        ([90.1, 1], [], "active"),
        ([10], [100, 50], "growing"),  # long known, and a buyer since 10 days
    ],
)
def test_the_first_rule_that_applies_decides(orders: list[float], views: list[float], stage: str) -> None:
    assert _stage(orders, views) == stage


@pytest.mark.parametrize(
    ("created", "stage"),
    [(math.nan, "unknown"), (3, "new_visitor"), (31, "active"), (90, "dormant"), (200, "lost")],
)
def test_an_account_without_a_visit_has_the_stage_of_its_age(created: float, stage: str) -> None:
    assert _stage([], [], created) == stage


def test_limits_are_settings() -> None:
    stats = stats_of([[40]])
    stages = [STAGES[int(life_cycle(stats, config)[0])] for config in (CONFIG, LifeCycleConfig(dormant_days=40.0))]
    assert stages == ["growing", "dormant"]


DAYS = st.lists(st.integers(0, 400), max_size=7)


@given(st.lists(st.tuples(DAYS, DAYS), min_size=1, max_size=4))
def test_the_rules_of_a_loop(users: list[tuple[list[int], list[int]]]) -> None:
    stats = stats_of([orders for orders, _ in users], [views for _, views in users])
    found = [STAGES[code] if code >= 0 else None for code in life_cycle(stats, CONFIG).tolist()]
    assert found == [_loop(sorted(orders)[::-1], sorted(orders + views)[::-1]) for orders, views in users]


def _loop(orders: list[int], seen: list[int]) -> str | None:
    if not seen:
        return None
    backs = [after for before, after in pairwise(seen) if before - after >= 90]
    since = [age for age in orders if backs and age <= min(backs)]
    if since and max(since) <= 30:
        return "returning"
    if min(seen) >= 90:
        return "lost" if min(seen) >= 180 else "dormant"
    if max(seen) <= 30:
        return "new_visitor" if not orders else "new_week" if max(seen) <= 7 else "new_month"
    return "growing" if orders and max(orders) <= 90 else "active"


def test_nobody_returns_without_visits() -> None:
    assert math.isnan(days_since_return(stats_of([[]]), 90)[0])
