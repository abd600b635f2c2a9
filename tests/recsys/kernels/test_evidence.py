"""The strongest list of each item: the compiled loop beside its NumPy form and beside a search of all entries."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.kernels.evidence import _strongest_loop, strongest, strongest_numpy
from recsys.kernels.scratch import NONE, positions_table

N_ITEMS = 9
value = st.sampled_from([0.25, 0.5, 1.0, 2.0])


@pytest.mark.parametrize("dtype", [np.int32, np.int16])
@given(st.integers(0, 4), st.integers(1, 6), st.data())
def test_the_first_of_the_largest_entries_is_found(
    dtype: npt.DTypeLike, n_lists: int, width: int, data: st.DataObject
) -> None:
    size = n_lists * width
    entries = data.draw(st.lists(st.integers(-1, N_ITEMS - 1), min_size=size, max_size=size))
    near = np.array(entries, dtype).reshape(n_lists, width)
    score = np.array(data.draw(st.lists(value, min_size=size, max_size=size)), np.float32).reshape(n_lists, width)
    lists = np.array(data.draw(st.permutations(range(n_lists))), np.int32)
    weight = np.array(data.draw(st.lists(value, min_size=n_lists, max_size=n_lists)), np.float32)
    rows = np.array(data.draw(st.lists(st.integers(0, N_ITEMS - 1), unique=True)), np.int32)
    expected = []
    for row in rows:
        scores = [(score[lists[n], c] * weight[n], -n, -c) for n in range(n_lists) for c in range(width)]
        has = [entry for entry in scores if near[lists[-entry[1]], -entry[2]] == row]
        expected.append((-max(has)[1], -max(has)[2]) if has else (-1, -1))
    asked = (near, score, lists, weight, rows)
    for found in (
        strongest(*asked, N_ITEMS),  # type: ignore[arg-type]
        strongest_numpy(*asked, positions_table(N_ITEMS)),  # type: ignore[arg-type]
        _strongest_loop(*asked, positions_table(N_ITEMS)),
    ):
        assert list(zip(*(each.tolist() for each in found), strict=True)) == expected
        assert [each.dtype for each in found] == [np.int32] * 2
    assert (positions_table(N_ITEMS) == NONE).all()
