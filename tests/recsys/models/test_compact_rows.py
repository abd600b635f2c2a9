from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from recsys.models.compact_rows import LARGEST, CompactRows

number = st.floats(-1e6, 1e6, width=32)
tables = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=6), elements=number)


def compact(values: npt.NDArray[np.float32]) -> CompactRows:
    rows: Any = CompactRows.array(values)
    assert isinstance(rows, CompactRows)
    return rows


def test_numbers_are_integers_times_the_factor_of_their_row() -> None:
    rows = compact(np.array([[1, -0.5, 0], [0, 0, 0]], np.float32))
    assert rows.code.tolist() == [[LARGEST, -16_384, 0], [0, 0, 0]]
    np.testing.assert_allclose(rows.scale, [1 / LARGEST, 0], rtol=1e-7)


@given(tables)
def test_a_number_differs_by_half_a_unit_of_its_row(values: npt.NDArray[np.float32]) -> None:
    rows = compact(values)
    assert (rows.shape, rows.dtype) == (values.shape, values.dtype)
    unit = np.abs(values).max(axis=1, initial=0, keepdims=True) / LARGEST
    # Single precision adds its rounding, and the smallest numbers have fewer digits.
    assert (np.abs(np.asarray(rows) - values) <= 0.501 * unit + 1e-41 * LARGEST).all()


@given(tables)
def test_the_order_in_a_row_stays_and_equal_rows_stay_equal(values: npt.NDArray[np.float32]) -> None:
    values = np.sort(np.vstack([values, values]), axis=1)
    decoded = np.asarray(compact(values))
    assert (np.diff(decoded, axis=1) >= 0).all()
    np.testing.assert_array_equal(decoded[: len(values) // 2], decoded[len(values) // 2 :])


def test_rows_that_are_equal_up_to_a_factor_are_stored_once_in_their_order() -> None:
    rows = compact(np.array([[2, 1], [0, 0], [4, 2], [0, 0], [1, 2]], np.float32))
    assert len(rows.code) == 3
    assert rows.place.tolist() == [0, 1, 0, 1, 2]


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_nothing_stays_nothing(shape: tuple[int, int]) -> None:
    assert np.asarray(compact(np.zeros(shape, np.float32))).shape == shape


@pytest.mark.parametrize("key", [1, np.array([2, 0]), np.array([[1], [2]]), (slice(None), slice(2)), (2, 1)])
def test_it_is_read_as_an_array_is(key: Any) -> None:
    rows = compact(np.arange(12, dtype=np.float32).reshape(4, 3))
    np.testing.assert_array_equal(rows[key], np.asarray(rows)[key])
    assert rows[key].dtype == np.float32
