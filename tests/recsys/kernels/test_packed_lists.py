"""Packed lists: the compiled merge beside its NumPy form, on many inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.kernels import packed_lists
from recsys.kernels.packed_lists import unpack_loop, unpack_numpy
from recsys.kernels.scratch import NONE, marks_table, positions_table

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


def forms(name: str) -> list[Callable[..., Any]]:
    """The loop as it is compiled, the same loop as Python runs it, and the NumPy form."""
    loop = getattr(packed_lists, name)
    return [loop, loop.py_func, getattr(packed_lists, f"{name}_numpy")]


@given(packed(), st.data())
def test_lists_are_summed_and_searched_as_if_they_were_unpacked(
    case: tuple[Packed, list[list[tuple[int, float, int]]]], data: st.DataObject
) -> None:
    arrays, expected = case
    width = max(map(len, expected), default=0)
    wanted = data.draw(st.lists(st.sampled_from(range(len(expected))), max_size=5)) if expected else []
    weight = data.draw(st.lists(value, min_size=len(wanted), max_size=len(wanted)))
    mask = data.draw(st.none() | st.lists(st.booleans(), min_size=N_ITEMS, max_size=N_ITEMS))
    listed = data.draw(st.permutations(range(N_ITEMS)))[:4]
    sums: dict[int, float] = {}
    best: dict[int, tuple[int, int, float]] = {}
    for idx, (each, factor) in enumerate(zip(wanted, weight, strict=True)):
        for item, score, entry in expected[each]:
            if mask is None or mask[item]:
                sums[item] = sums.get(item, 0) + score * factor
            if item not in best or score * factor > best[item][2]:
                best[item] = idx, entry, score * factor
    asked = (*arrays, np.array(wanted, i4), width, np.array(weight, f4))
    tables = positions_table(N_ITEMS), marks_table(N_ITEMS)
    for sum_ in forms("sum_packed"):
        summed = sum_(*asked, np.array([] if mask is None else mask, np.bool_), *tables)
        assert [each.dtype for each in summed] == [i4, f4]
        assert dict(zip(*(each.tolist() for each in summed), strict=True)) == sums
    for strongest in forms("strongest_packed"):
        where, entry = strongest(*asked, np.array(listed, i4), *tables)
        assert (where.dtype, entry.dtype) == (i4, np.int64)
        found = list(zip(where.tolist(), entry.tolist(), strict=True))
        assert found == [best[item][:2] if item in best else (-1, -1) for item in listed]
    assert all((table == NONE).all() for table in tables)


def test_an_entry_of_zero_hides_the_item_of_the_shared_list() -> None:
    starts, score = np.array([0, 2, 5]), np.array([0.75, 0, 4, 2, 1], f4)
    arrays = (starts, np.array([3, 1, 0, 1, 2], i4), score, np.array([1, -1], i4), np.array([0.5, 1], f4))
    for unpack in FORMS:
        found = unpack(*arrays, np.array([3, 3], i4), np.array([0], i4), 4, positions_table(N_ITEMS))
        assert found[0].tolist() == [[0, 3, 2, -1]]
        assert found[1].tolist() == [[2, 0.75, 0.5, 0]]
        assert found[2].tolist() == [[-1, 0, -1, -1]]
