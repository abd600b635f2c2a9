from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.live.patched_array import PatchedArray

BASE = np.arange(12, dtype=np.int32).reshape(4, 3)
EXTRA = 100 + np.arange(6, dtype=np.int32).reshape(2, 3)
OTHERS = {1: np.array([7, 7, 7], np.int32), 5: np.array([8, 8, 9], np.int32)}


def whole() -> Any:
    both = np.concatenate([BASE, EXTRA])
    for row, other in OTHERS.items():
        both[row] = other
    return both


@pytest.mark.parametrize(
    "key",
    [
        np.array([0, 5, 1, 1]),
        np.array([], np.int64),
        3,
        5,
        (np.array([0, 1]), slice(None, 2)),
        (slice(None), slice(1, None)),
        (np.array([4, 1]), 2),
        (slice(None), 1),
        (1, 2),
        (np.array([0, 4, 5]), np.array([2, 1, 0])),
        np.array([[0, 1], [4, 5]]),
        slice(None),
    ],
)
def test_it_is_read_as_one_array(key: Any) -> None:
    spliced = PatchedArray.array(BASE, EXTRA, OTHERS)
    np.testing.assert_array_equal(spliced[key], whole()[key])


def test_it_has_the_shape_of_one_array_and_becomes_one() -> None:
    spliced = PatchedArray.array(BASE, EXTRA, OTHERS)
    assert spliced.shape == (6, 3)
    assert len(spliced) == 6
    np.testing.assert_array_equal(np.asarray(spliced), whole())
    assert BASE[1].tolist() == [3, 4, 5], "the base is not changed"


@given(st.lists(st.integers(0, 5), max_size=9))
def test_any_rows_are_those_of_one_array(rows: list[int]) -> None:
    np.testing.assert_array_equal(PatchedArray.array(BASE, EXTRA)[np.array(rows, int)], np.vstack([BASE, EXTRA])[rows])
