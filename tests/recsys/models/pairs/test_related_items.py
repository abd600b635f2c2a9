"""Lists of related items."""

from __future__ import annotations

import numpy as np

from recsys.models.pairs.related_items import empty_lists, keep


def test_a_kept_list_is_padded_and_can_be_shortened() -> None:
    lists = empty_lists(2, 3)
    keep(lists, 1, np.array([7, 5]), np.array([0.5, 0.25]), np.array([2, 0]))
    assert lists.item_idx.tolist() == [[-1, -1, -1], [7, 5, -1]]
    assert lists.score.tolist() == [[0, 0, 0], [0.5, 0.25, 0]]
    first = lists.first(1)
    assert (first.item_idx.tolist(), first.n_together.tolist()) == ([[-1], [7]], [[0], [2]])
