"""Sums over visits and orders, compared with loops."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.segments.order_stats import means, sums
from tests.recsys.segments.histories import stats_of

WHOLE_DAYS = st.lists(st.integers(0, 500), max_size=6, unique=True).map(lambda ages: sorted(ages, reverse=True))
AGES = st.lists(WHOLE_DAYS, min_size=1, max_size=5)


def _or_nan(values: list[int]) -> tuple[float, float]:
    return (float(max(values)), float(min(values))) if values else (float("nan"), float("nan"))


@given(AGES, AGES)
def test_days_are_those_of_the_first_and_the_last(orders: list[list[int]], views: list[list[int]]) -> None:
    views = (views + [[] for _ in orders])[: len(orders)]
    stats = stats_of(orders, views)
    first, last = zip(*(_or_nan(each) for each in orders), strict=True)
    known, seen = zip(*(_or_nan(each + more) for each, more in zip(orders, views, strict=True)), strict=True)
    assert stats.n_orders.tolist() == [len(each) for each in orders]
    assert stats.days_since_first_order.tolist() == pytest.approx(first, nan_ok=True)
    assert stats.days_since_order.tolist() == pytest.approx(last, nan_ok=True)
    assert stats.days_known.tolist() == pytest.approx(known, nan_ok=True)
    assert stats.days_since_visit.tolist() == pytest.approx(seen, nan_ok=True)
    gaps = [[float("nan"), *(before - after for before, after in pairwise(each))] for each in orders]
    expected = [gap for each, found in zip(orders, gaps, strict=True) for gap in found[: len(each)]]
    assert stats.gap.tolist() == pytest.approx(expected, nan_ok=True)


def test_an_account_is_known_since_its_creation() -> None:
    stats = stats_of([[10], [], []], created_ages=[40, 5, float("nan")])
    assert stats.days_known.tolist() == pytest.approx([40, 5, float("nan")], nan_ok=True)
    assert stats.days_since_visit.tolist() == pytest.approx([10, 5, float("nan")], nan_ok=True)


def test_the_mean_order_leaves_out_unknown_prices() -> None:
    nan = float("nan")
    stats = stats_of([[3, 2, 1], [1], []], prices=[[10, nan, 20], [nan], []])
    assert stats.mean_order.tolist() == pytest.approx([15, nan, nan], nan_ok=True)
    assert sums(stats.orders, np.ones(4)).tolist() == [3, 1, 0]
    assert means(stats.orders, np.array([1.0, 2.0, 3.0, nan])).tolist() == pytest.approx([2, nan, nan], nan_ok=True)
