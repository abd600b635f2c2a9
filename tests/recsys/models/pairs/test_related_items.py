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
    weight, allowed = np.array([1.0, 0.5], np.float32), np.array([True, True, False, True])
    for mask in (None, allowed):
        found, summed = packed.sums(rows, weight, mask, 4)
        also_found, also_summed = lists.sums(rows, weight, mask, 4)
        assert dict(zip(found.tolist(), summed.tolist(), strict=True)) == dict(
            zip(also_found.tolist(), also_summed.tolist(), strict=True)
        )
        assert set(found.tolist()) == {0, 1, 2, 3} - ({2} if mask is allowed else set())
    listed = np.array([3, 2, 1], np.int32)
    for none in (rows, rows[:0]):
        where, n_together = packed.strongest(none, weight[: len(none)], listed, 4)
        also_where, also_together = lists.strongest(none, weight[: len(none)], listed, 4)
        assert (where.tolist(), n_together.tolist()) == (also_where.tolist(), also_together.tolist())
    assert (where.tolist(), n_together.tolist()) == ([-1, -1, -1], [0, 0, 0])
    again = RelatedItems.of(lists.lists)
    np.testing.assert_array_equal(np.asarray(again.score), lists.score)
