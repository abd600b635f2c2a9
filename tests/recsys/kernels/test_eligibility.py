"""Rules about purchases: the compiled loops beside their NumPy forms and beside plain sentences."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.kernels.eligibility import is_no_second, is_no_second_numpy, resting_items, resting_items_numpy

DAY_S = 86_400
N_ITEMS = 8


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 40)), max_size=N_ITEMS), st.integers(0, 2**32 - 1))
def test_items_rest_for_their_time_or_half_of_the_own_interval(bought: list[tuple[int, int]], seed: int) -> None:
    """Of each item: how often it was bought, and how many days ago last."""
    rng = np.random.default_rng(seed)
    now, items = 100 * DAY_S, np.sort(rng.permutation(N_ITEMS)[: len(bought)]).astype(np.int32)
    time = [now - (last + 10 * back) * DAY_S for n, last in bought for back in range(n - 1, -1, -1)]
    starts = np.cumsum([0, *(n for n, _ in bought)])
    interval, rest = rng.uniform(1, 60, len(bought)).astype(np.float32), rng.uniform(0, 40, N_ITEMS).astype(np.float32)
    expected = [
        item
        for item, (n, last), days in zip(items.tolist(), bought, interval.tolist(), strict=True)
        if last < (min(rest[item], 0.5 * days) if n > 1 else rest[item])
    ]
    asked = (items, starts, np.array(time, np.int64), interval, rest, now, 0.5)
    for form in (resting_items, resting_items.py_func, resting_items_numpy):  # type: ignore[attr-defined]
        found = form(*asked)
        assert found.tolist() == expected
        assert found.dtype == np.int32


rows = st.lists(st.integers(0, N_ITEMS - 1), unique=True)


@given(
    rows, rows, st.lists(st.integers(-1, 2), min_size=N_ITEMS, max_size=N_ITEMS), st.lists(st.booleans(), min_size=3)
)
def test_no_second_of_a_type_that_is_bought_once(
    asked: list[int], own: list[int], types: list[int], durable: list[bool]
) -> None:
    has = {types[item] for item in own if types[item] >= 0 and durable[types[item]]}
    expected = [row in own or types[row] not in has for row in asked]
    arrays = (*(np.array(each, np.int32) for each in (asked, own, types)), np.array(durable, np.bool_))
    for form in (is_no_second, is_no_second.py_func, is_no_second_numpy):  # type: ignore[attr-defined]
        found = form(*arrays)
        assert found.tolist() == expected
        assert found.dtype == np.bool_
