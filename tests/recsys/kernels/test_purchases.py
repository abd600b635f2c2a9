"""Purchases by item and order: the compiled loop beside its NumPy form and beside sets, on many inputs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recsys.kernels.purchases import DAY_S, group_purchases, group_purchases_numpy, rate_items, rate_items_numpy

FORMS = (group_purchases, group_purchases.py_func, group_purchases_numpy)  # type: ignore[attr-defined]

Line = tuple[int, int]
LINES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=25)


def columns(lines: list[Line]) -> tuple[Any, Any, Any]:
    """The arrays of purchases (item, order), one a second, beginning at 100."""
    item, basket = (np.array(column, np.int32) for column in (zip(*lines, strict=True) if lines else ((), ())))
    return item, 100 + np.arange(len(lines), dtype=np.int64), basket


@pytest.mark.parametrize("form", FORMS)
def test_by_hand(form: Any) -> None:
    """Item 3 is in the orders 7 and 2, item 1 twice in order 9."""
    items, starts, time, n_later, began = form(*columns([(3, 7), (1, 9), (1, 9), (3, 2)]))
    assert items.tolist() == [1, 3]
    assert starts.tolist() == [0, 1, 3]
    assert time.tolist() == [101, 100, 103]
    assert n_later.tolist() == [1, 2, 0]
    assert began.tolist() == [100, 101, 103]


@given(LINES)
@example([])
@example([(0, 1), (0, 2), (0, 1)])
@example([(0, 1), (1, 2), (2, 1), (0, 2), (0, 1)])
def test_an_item_counts_once_per_order(lines: list[Line]) -> None:
    item, time, basket = columns(lines)
    first = {(line, order): n for n, (line, order) in reversed(list(enumerate(lines)))}
    by_item = {each: sorted(n for (line, _), n in first.items() if line == each) for each, _ in lines}
    stretch = np.cumsum([n == 0 or lines[n - 1][1] != order for n, (_, order) in enumerate(lines)])
    began = {order: n for n, (_, order) in reversed(list(enumerate(lines)))}
    for form in FORMS:
        items, starts, times, n_later, orders = form(item, time, basket)
        assert items.tolist() == sorted(by_item)
        found = [times[start:stop].tolist() for start, stop in itertools.pairwise(starts)]
        assert found == [[100 + n for n in by_item[each]] for each in sorted(by_item)]
        expected = [int(stretch[-1] - stretch[n]) for each in sorted(by_item) for n in by_item[each]]
        assert n_later.tolist() == expected
        assert orders.tolist() == sorted(100 + n for n in began.values())
        assert [each.dtype for each in (items, starts, times, n_later, orders)] == [np.int32] + [np.int64] * 4


@given(LINES, st.permutations(range(6)))
def test_the_numbers_of_the_orders_do_not_matter(lines: list[Line], numbers: list[int]) -> None:
    renamed = [(item, numbers[order]) for item, order in lines]
    for form in FORMS:
        for one, other in zip(form(*columns(lines)), form(*columns(renamed)), strict=True):
            np.testing.assert_array_equal(one, other)


@given(LINES, st.integers(0, 2**32 - 1))
@example([], 0)
def test_both_forms_rate_items_alike(lines: list[Line], seed: int) -> None:
    rng = np.random.default_rng(seed)
    item, time, basket = columns(lines)
    items, starts, times, n_later, _ = group_purchases(item, time * DAY_S // 3, basket)
    curves, height, interval = (rng.uniform(0.1, 9, shape).astype(np.float32) for shape in ((3, 8), 5, 5))
    steps, orders = np.array([0, 1, 1, 2, 3]), np.array([4, 5, 6, 7])
    now = int(times.max(initial=0)) + int(rng.integers(0, 4)) * DAY_S // 2
    curve_of = rng.integers(0, 3, 5).astype(np.int32)
    asked = (items, starts, times, n_later, now, steps, orders, curves, curve_of, height, interval, 2.0)
    expected = np.zeros((2, len(items)))
    for place, of_item in enumerate(items.tolist()):
        own = slice(starts[place], starts[place + 1])
        for when, later in zip(times[own].tolist(), n_later[own].tolist(), strict=True):
            day, order = steps[min((now - when) // (DAY_S // 2), 4)], orders[min(later, 3)]
            expected[0, place] += height[of_item] * (curves[curve_of[of_item], day] + curves[curve_of[of_item], order])
        days = (times[own][-1] - times[own][0]) / DAY_S
        expected[1, place] = (days + 2 * interval[of_item]) / (len(times[own]) - 1 + 2)
    for form in (rate_items, rate_items.py_func, rate_items_numpy):  # type: ignore[attr-defined]
        found = form(*asked)
        np.testing.assert_allclose(np.stack(found), expected, rtol=1e-6)
        assert [each.dtype for each in found] == [np.float32] * 2
