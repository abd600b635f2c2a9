"""Rows from integers: the compiled loop beside its NumPy form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.kernels.compact_rows import decode_rows, decode_rows_numpy

FORMS = [decode_rows, decode_rows.py_func, decode_rows_numpy]  # type: ignore[attr-defined]


@pytest.mark.parametrize("decode", FORMS)
def test_a_row_is_its_integers_times_its_factor(decode: Any) -> None:
    code, place = np.array([[2, -4], [6, 0]], np.int16), np.array([1, 0, 1], np.int32)
    decoded = decode(code, place, np.array([0.5, 0.25, 2], np.float32), np.array([2, 1, 0, 2], np.int32))
    assert decoded.dtype == np.float32
    assert decoded.tolist() == [[12, 0], [0.5, -1], [3, 0], [12, 0]]


@given(st.integers(1, 5), st.integers(0, 4), st.lists(st.integers(0, 3), max_size=6), st.integers(0, 2**32 - 1))
def test_all_forms_are_equal_bit_for_bit(n_distinct: int, width: int, wanted: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    code = rng.integers(-32_767, 32_768, (n_distinct, width)).astype(np.int16)
    place, scale = rng.integers(0, n_distinct, 4).astype(np.int32), rng.random(4).astype(np.float32)
    first, *others = (each(code, place, scale, np.array(wanted, np.int32)) for each in FORMS)
    for other in others:
        assert first.tobytes() == other.tobytes()
        assert first.shape == other.shape == (len(wanted), width)
