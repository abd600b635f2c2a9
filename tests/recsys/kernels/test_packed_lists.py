"""Packed lists: the compiled merge beside its NumPy form, on many inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.kernels.packed_lists import unpack_loop, unpack_numpy
from recsys.kernels.scratch import NONE, positions_table

N_ITEMS = 9
i4, f4 = np.int32, np.float32
FORMS: list[Callable[..., Any]] = [unpack_loop, unpack_loop.py_func, unpack_numpy]  # type: ignore[attr-defined]
value = st.sampled_from([0.25, 0.5, 1.0, 2.0])

Packed = tuple[npt.NDArray[Any], ...]


def own_entries(draw: st.DrawFn) -> tuple[list[int], list[float]]:
    """Distinct items, by score and then by item."""
    pairs = draw(st.dictionaries(st.integers(0, N_ITEMS - 1), value, max_size=5))
    ordered = sorted(pairs, key=lambda item: (-pairs[item], item))
    return ordered, [pairs[item] for item in ordered]


@st.composite
def packed(draw: st.DrawFn) -> tuple[Packed, list[list[tuple[int, float, int]]]]:
    """A shared list and lists that may share it, and what these consist of."""
    shared, shared_score = own_entries(draw)
    n_lists = draw(st.integers(0, 4))
    idx, score, starts, expected = [], [], [0], []
    uses, scale, size = [], [], []
    for _ in range(n_lists):
        own, own_score = own_entries(draw)
        use, factor = draw(st.booleans()), draw(value)
        hidden = draw(st.lists(st.integers(0, N_ITEMS - 1), unique=True, max_size=2)) if use else []
        hidden = [item for item in hidden if item not in own]
        whole = [(-s, item, starts[-1] + n) for n, (item, s) in enumerate(zip(own, own_score, strict=True))]
        if use:
            lent = zip(shared, shared_score, strict=True)
            whole += [(-s * factor, item, -1) for item, s in lent if item not in own + hidden]
        length = draw(st.integers(0, len(whole)))
        expected.append([(item, -negative, entry) for negative, item, entry in sorted(whole)[:length]])
        idx += own + hidden
        score += own_score + [0.0] * len(hidden)
        starts.append(len(idx))
        uses.append(n_lists if use else -1)
        scale.append(factor)
        size.append(length)
    arrays = (
        np.array([*starts, len(idx) + len(shared)], np.int64),
        np.array(idx + shared, i4),
        np.array(score + shared_score, f4),
        np.array([*uses, -1], i4),
        np.array([*scale, 1], f4),
        np.array([*size, len(shared)], i4),
    )
    return arrays, expected


@pytest.mark.parametrize("unpack", FORMS)
@given(packed(), st.data())
def test_own_entries_are_merged_with_those_of_the_shared_list(
    unpack: Callable[..., Any], case: tuple[Packed, list[list[tuple[int, float, int]]]], data: st.DataObject
) -> None:
    arrays, expected = case
    width = max(map(len, expected), default=0) + 1
    wanted = data.draw(st.lists(st.sampled_from(range(len(expected))), max_size=5)) if expected else []
    rows, scores, entry = unpack(*arrays, np.array(wanted, i4), width, positions_table(N_ITEMS))
    for n, each in enumerate(wanted):
        found = list(zip(rows[n].tolist(), scores[n].tolist(), entry[n].tolist(), strict=True))
        assert found == expected[each] + [(-1, 0.0, -1)] * (width - len(expected[each]))
    assert (positions_table(N_ITEMS) == NONE).all()


def test_an_entry_of_zero_hides_the_item_of_the_shared_list() -> None:
    starts, score = np.array([0, 2, 5]), np.array([0.75, 0, 4, 2, 1], f4)
    arrays = (starts, np.array([3, 1, 0, 1, 2], i4), score, np.array([1, -1], i4), np.array([0.5, 1], f4))
    for unpack in FORMS:
        found = unpack(*arrays, np.array([3, 3], i4), np.array([0], i4), 4, positions_table(N_ITEMS))
        assert found[0].tolist() == [[0, 3, 2, -1]]
        assert found[1].tolist() == [[2, 0.75, 0.5, 0]]
        assert found[2].tolist() == [[-1, 0, -1, -1]]
