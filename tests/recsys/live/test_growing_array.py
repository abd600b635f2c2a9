from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.live import growing_array
from recsys.live.growing_array import GrowingArray, NewestFirst


@pytest.mark.parametrize("room", [0, 3, growing_array.ROOM])
def test_it_grows_with_the_default_and_keeps_its_rows(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing_array, "ROOM", room)
    base = np.arange(6, dtype=np.float32).reshape(3, 2)
    array = GrowingArray(base, 7)
    before = array.values
    for n in (3, 4, 2, 50):
        array.grow(n)
    array[4] = 1
    assert array.values.shape == (50, 2)
    np.testing.assert_array_equal(array.values[:3], base)
    assert set(array.values[5:].ravel().tolist()) == {7.0}
    assert array.values[4].tolist() == [1, 1]
    np.testing.assert_array_equal(before, base)
    array[0] = 9
    assert base[0, 0] == 0, "the source stays"


MOVES = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 4)), max_size=40)


@given(created=st.lists(st.integers(0, 4), min_size=1, max_size=8), moves=MOVES)
def test_the_newest_come_first_after_any_moves(created: Sequence[int], moves: Sequence[tuple[int, int]]) -> None:
    times = np.array(created, np.int64)
    known = np.flatnonzero(times > 0)
    newest = known[np.lexsort((known, -times[known]))].astype(np.int32)
    array = GrowingArray(times, 0)
    ordered = NewestFirst(newest, array)
    array.grow(12)
    for row, moment in moves:
        ordered.move(row, moment)
    now = dict(enumerate([*created, *[0] * (12 - len(created))])) | dict(moves)
    expected = sorted((row for row, moment in now.items() if moment > 0), key=lambda row: (-now[row], row))
    assert ordered.values.tolist() == expected
