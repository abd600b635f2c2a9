from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from recsys.core.row_array import RowArray

WHOLE = np.arange(12, dtype=np.int32).reshape(4, 3)


@dataclass(frozen=True)
class Table(RowArray):
    """Rows of `WHOLE`."""

    @property
    def shape(self) -> tuple[int, ...]:
        return WHOLE.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return WHOLE.dtype

    def rows(self, rows: npt.NDArray[np.integer]) -> npt.NDArray[Any]:
        return WHOLE[rows]


@pytest.mark.parametrize(
    "key",
    [3, slice(1, 3), np.array([2, 0]), np.array([[1], [2]]), (slice(None), slice(2)), (np.array([1, 3]), 2), (2, 1)],
)
def test_rows_and_then_columns_are_read_as_from_an_array(key: Any) -> None:
    np.testing.assert_array_equal(Table()[key], WHOLE[key])


def test_it_has_the_length_of_an_array_and_becomes_one() -> None:
    assert len(Table()) == 4
    np.testing.assert_array_equal(np.asarray(Table()), WHOLE)
    assert np.asarray(Table(), np.float64).dtype == np.float64
