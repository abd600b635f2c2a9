from __future__ import annotations

import numpy as np
import pytest

from recsys.models.packed_lists import PackedColumn, PackedLists, counts_of

LISTS = PackedLists(
    starts=np.array([0, 1, 2, 4]),
    item_idx=np.array([2, 1, 0, 1], np.int32),
    score=np.array([0.75, 0, 4, 2], np.float32),
    n_together=np.array([9, 0, 0, 0], np.int16),
    shared=np.array([2, 2, -1], np.int32),
    scale=np.array([0.25, 0.5, 1], np.float32),
    size=np.array([3, 1, 2], np.int32),
    n_items=2,
    width=3,
)
"""Two items that share the list of items 0 and 1; the second hides item 1."""


def test_a_column_is_read_by_rows() -> None:
    idx, score, counts = (PackedColumn.array(LISTS, name) for name in ("item_idx", "score", "n_together"))
    assert np.asarray(idx).tolist() == [[0, 2, 1], [0, -1, -1]]
    assert np.asarray(score).tolist() == [[1, 0.75, 0.5], [2, 0, 0]]
    assert np.asarray(counts).tolist() == [[0, 9, 0], [0, 0, 0]]
    assert (idx.shape, idx.dtype, score.dtype, counts.dtype) == ((2, 3), np.int32, np.float32, np.int32)
    assert idx[1].tolist() == [0, -1, -1]
    assert idx[np.array([[1], [0]]), 1].tolist() == [[-1], [2]]


def test_first_items_share_the_entries() -> None:
    first = LISTS.first(2)
    assert np.asarray(PackedColumn.array(first, "item_idx")).tolist() == [[0, 2], [0, -1]]
    assert first.item_idx is LISTS.item_idx
    assert LISTS.first(9).width == 3


def test_lists_without_counts_have_none() -> None:
    without = PackedLists(**{**vars(LISTS), "n_together": np.empty(0, np.int16)})
    _, _, entry = without.unpack(np.array([0]))
    assert counts_of(without, entry).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("rows", [[], [0], [1, 0, 1]])
def test_a_batch_equals_single_lists(rows: list[int]) -> None:
    together = LISTS.unpack(np.array(rows, np.int64))
    for n, row in enumerate(rows):
        for whole, alone in zip(together, LISTS.unpack(np.array([row])), strict=True):
            assert whole[n].tolist() == alone[0].tolist()
