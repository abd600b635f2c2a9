"""Lists of related items."""

from __future__ import annotations

import numpy as np

from recsys.models.pairs.related_items import RelatedItems, empty_lists, keep


def test_a_kept_list_is_padded_and_can_be_shortened() -> None:
    lists = empty_lists(2, 3)
    keep(lists, 1, np.array([7, 5]), np.array([0.5, 0.25]), np.array([2, 0]))
    assert lists.item_idx.tolist() == [[-1, -1, -1], [7, 5, -1]]
    assert lists.score.tolist() == [[0, 0, 0], [0.5, 0.25, 0]]
    first = lists.first(1)
    assert (first.item_idx.tolist(), first.n_together.tolist()) == ([[-1], [7]], [[0], [2]])


def test_packed_lists_are_read_as_arrays_are() -> None:
    lists = empty_lists(4, 3)
    for item in range(4):
        others = np.array([other for other in range(4) if other != item])
        keep(lists, item, others, np.array([4.0, 2.0, 1.0]) / (item + 1), np.array([0, 0, item]))
    packed = lists.packed(np.zeros(4, np.int32))
    assert packed.lists is packed.lists
    rows = np.array([2, 0])
    for name in ("item_idx", "score", "n_together"):
        np.testing.assert_array_equal(getattr(packed, name)[rows], getattr(lists, name)[rows])
        np.testing.assert_array_equal(getattr(packed.rows(rows), name), getattr(lists.rows(rows), name))
    for one, other in zip(packed.scored(rows), lists.scored(rows), strict=True):
        np.testing.assert_array_equal(one, other)
    again = RelatedItems.of(lists.lists)
    np.testing.assert_array_equal(np.asarray(again.score), lists.score)
