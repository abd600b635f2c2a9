from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.models.list_packing import TOLERANCE, pack_lists
from recsys.models.packed_lists import PackedLists, counts_of

i4, f4 = np.int32, np.float32
Table = tuple[npt.NDArray[i4], npt.NDArray[f4], npt.NDArray[i4]]


def lists_by_type(rng: np.random.Generator, n_items: int, n_types: int, width: int, own_share: float) -> Table:
    """Lists as the fit makes them: pairs of the item, and the list of its type times a factor of the item."""
    of_type = rng.random((n_types, n_items)) ** 3
    type_of = np.arange(n_items) % n_types
    idx, score, counts = (
        np.full((n_items, width), -1, i4),
        np.zeros((n_items, width), f4),
        np.zeros((n_items, width), i4),
    )
    for item in range(n_items):
        value = of_type[type_of[item]] * rng.uniform(0.1, 1)
        both = np.where(rng.random(n_items) < own_share, rng.integers(-1, 50_000, n_items), 0)
        value = (value + np.where(both != 0, rng.random(n_items), 0)) * (rng.random(n_items) < 0.95)
        value[item] = 0
        best = np.lexsort((np.arange(n_items), -value))[:width]
        best = best[value[best] > 0]
        idx[item, : len(best)], score[item, : len(best)], counts[item, : len(best)] = best, value[best], both[best]
    return idx, score, counts


def assert_unpacks_to(packed: PackedLists, table: Table) -> None:
    idx, score, entry = packed.unpack(np.arange(len(table[0])))
    np.testing.assert_array_equal(idx, table[0])
    np.testing.assert_allclose(score, table[1], rtol=2 * TOLERANCE)
    np.testing.assert_array_equal(counts_of(packed, entry), table[2])


@pytest.mark.parametrize("own_share", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("width", [1, 4, 30])
def test_lists_are_the_same_after_unpacking_and_those_of_a_type_are_stored_once(width: int, own_share: float) -> None:
    table = lists_by_type(np.random.default_rng(width), 40, 4, width, own_share)
    packed = pack_lists(*table, np.arange(40) % 4)
    assert_unpacks_to(packed, table)
    n_entries = int((table[0] >= 0).sum())
    if own_share < 1 and width == 30:
        assert len(packed.item_idx) < 0.6 * n_entries
    if own_share == 1:
        assert (packed.shared == -1).all()


def test_lists_of_no_group_are_stored_bit_for_bit() -> None:
    table = lists_by_type(np.random.default_rng(3), 20, 2, 6, 0.2)
    packed = pack_lists(*table, np.full(20, -1))
    assert len(packed.item_idx) == (table[0] >= 0).sum()
    np.testing.assert_array_equal(packed.unpack(np.arange(20))[1], table[1])


@given(st.integers(0, 12), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_any_lists_are_the_same_after_unpacking(n_items: int, width: int, seed: int) -> None:
    """Lists with nothing in common, with equal scores, and without any entry."""
    rng = np.random.default_rng(seed)
    table = (
        np.full((n_items, width), -1, i4),
        np.zeros((n_items, width), f4),
        np.zeros((n_items, width), i4),
    )
    for item in range(n_items):
        n = min(int(rng.integers(0, width + 1)), n_items)
        score = np.sort(rng.choice([0.25, 0.5, 1, 2], n))[::-1]
        chosen = rng.permutation(n_items)[:n]
        table[0][item, :n] = chosen[np.lexsort((chosen, -score))] if rng.random() < 0.5 else chosen
        table[1][item, :n], table[2][item, :n] = score, rng.integers(-1, 2, n)
    assert_unpacks_to(pack_lists(*table, rng.integers(-1, 2, n_items)), table)


def test_counts_that_need_four_bytes_have_them() -> None:
    idx, score = np.array([[1], [0]], i4), np.ones((2, 1), f4)
    for most, dtype in ((32_767, np.int16), (32_768, np.int32)):
        packed = pack_lists(idx, score, np.array([[most], [-1]], i4), np.zeros(2, i4))
        assert packed.n_together.dtype == dtype
        assert_unpacks_to(packed, (idx, score, np.array([[most], [-1]], i4)))
