from __future__ import annotations

import math

import pytest

from recsys.core.metrics import Interval
from recsys.evaluation.summary import Comparison
from training.report.tables import Cell, change_cell, value_cell


@pytest.mark.parametrize(
    ("interval", "cell"),
    [
        (None, Cell()),
        (Interval(math.nan, math.nan, math.nan), Cell()),
        (Interval(0.25, 0.2, 0.3), Cell("0.2500", "0.2000 – 0.3000", is_best=True)),
        (Interval(1234.5, 1234.5, 1234.5), Cell("1,234", is_best=True)),
        (Interval(0.5, math.nan, math.nan), Cell("0.5", is_best=True)),
    ],
)
def test_a_value_has_its_interval_where_there_is_one(interval: Interval | None, cell: Cell) -> None:
    assert value_cell(interval, is_best=True) == cell


@pytest.mark.parametrize(
    ("low", "high", "change"), [(0.01, 0.2, "better"), (-0.2, -0.01, "worse"), (-0.1, 0.1, ""), (0.0, 0.1, "")]
)
def test_a_difference_is_marked_where_its_interval_excludes_zero(low: float, high: float, change: str) -> None:
    found = Interval((low + high) / 2, low, high)
    comparison = Comparison("for_you", "popularity", "recall@10", True, found, found)
    assert change_cell(comparison).change == change
    assert change_cell(comparison).value == f"{found.value:+.1%}"


def test_no_comparison_is_an_empty_cell() -> None:
    assert change_cell(None) == Cell()
