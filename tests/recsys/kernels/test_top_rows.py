"""The best entries of groups: the compiled loop beside its NumPy form, on many inputs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.kernels import top_rows
from recsys.kernels.top_rows import top_of_groups

FORMS = [top_rows.top_of_groups_loop, top_rows.top_of_groups_loop.py_func, top_rows.top_of_groups_numpy]
group = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0])), unique_by=lambda e: e[0]
)


@given(st.lists(group, max_size=4), st.integers(0, 8))
def test_the_best_of_each_group_come_first(groups: list[list[tuple[int, float]]], k: int) -> None:
    rows = np.array([row for each in groups for row, _ in each], np.int32)
    score = np.array([value for each in groups for _, value in each], np.float64)
    starts = np.cumsum([0, *map(len, groups)])
    expected = [sorted((-value, row) for row, value in each if value > 0)[:k] for each in groups]
    for form in FORMS:
        found, ends = form(score, rows, starts, k)
        got = [[(-score[place], rows[place]) for place in found[first:stop]] for first, stop in pairwise(ends)]
        assert got == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_contiguity_and_type_of_numbers(dtype: type[np.floating]) -> None:
    score = np.array([3.0, 1.0, 2.0, 9.0, 5.0], dtype)[::2]
    found, ends = top_of_groups(score, np.arange(3), np.array([0, 3], np.int32), 2)
    assert (found.tolist(), ends.tolist()) == ([2, 0], [0, 2])
