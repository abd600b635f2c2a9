"""Incidence matrices, against a set of pairs."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.incidence import incidence

PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), max_size=30)


@given(pairs=PAIRS)
def test_an_entry_is_one_where_the_pair_occurs(pairs: list[tuple[int, int]]) -> None:
    row, column = (np.array(values, np.int64) for values in (zip(*pairs, strict=True) if pairs else ((), ())))
    matrix = incidence(row, column, (5, 7))
    expected = np.zeros((5, 7))
    for pair in pairs:
        expected[pair] = 1
    np.testing.assert_array_equal(matrix.toarray(), expected)
    assert matrix.dtype == np.float32
    assert matrix.nnz == len(set(pairs)), "a pair that occurs twice is one entry"
    assert matrix.has_sorted_indices


def test_no_pairs_give_an_empty_matrix_of_the_shape() -> None:
    nothing = np.empty(0, np.int32)
    assert incidence(nothing, nothing, (0, 3)).shape == (0, 3)
