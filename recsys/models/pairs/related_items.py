"""Lists of related items, one per item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.ids import NO_ITEM

BY_USER_ONLY: Final = -1
"""In the place of the number of baskets with both items: only users who bought both, at different times."""


@dataclass(frozen=True)
class RelatedItems:
    """Precomputed lists, one row per item, best first.

    Attributes:
        item_idx: int32 (n_items, list_length), -1 past the end of a list.
        score: float32 (n_items, list_length), 0 past the end.
        n_together: int32 (n_items, list_length), baskets that contain both items; 0 for an item that is listed because
            of its type, -1 for one that only the same users bought.
    """

    item_idx: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]
    n_together: npt.NDArray[np.int32]

    def first(self, n: int) -> RelatedItems:
        """Return the first `n` items of every list."""
        return RelatedItems(self.item_idx[:, :n], self.score[:, :n], self.n_together[:, :n])


def empty_lists(n_items: int, length: int) -> RelatedItems:
    """Return lists without items, to be filled by `keep` and not to be changed after."""
    shape = (n_items, length)
    return RelatedItems(np.full(shape, NO_ITEM, np.int32), np.zeros(shape, np.float32), np.zeros(shape, np.int32))


def keep(
    lists: RelatedItems,
    item: int,
    ordered: npt.NDArray[np.integer],
    score: npt.NDArray[np.floating],
    n_together: npt.NDArray[np.integer],
) -> None:
    """Write the list of one item.

    Args:
        lists: of all items.
        item: row of the item.
        ordered: integer (n,), rows, best first, n at most the length of a list.
        score: (n,), descending.
        n_together: integer (n,).
    """
    lists.item_idx[item, : len(ordered)] = ordered
    lists.score[item, : len(ordered)] = score
    lists.n_together[item, : len(ordered)] = n_together


def keep_many(
    lists: RelatedItems,
    items: npt.NDArray[np.integer],
    starts: npt.NDArray[np.integer],
    ordered: npt.NDArray[np.integer],
    score: npt.NDArray[np.floating],
    n_together: npt.NDArray[np.integer],
) -> None:
    """Write the lists of some items, given one after the other.

    Args:
        lists: of all items.
        items: integer (m,), rows of the items.
        starts: integer (m + 1,), where each list begins; none is longer than the lists.
        ordered: integer (n,), rows, best first.
        score: (n,), descending within each list.
        n_together: integer (n,).
    """
    size = np.diff(starts)
    item, place = np.repeat(items, size), np.arange(len(ordered)) - np.repeat(starts[:-1], size)
    lists.item_idx[item, place] = ordered
    lists.score[item, place] = score
    lists.n_together[item, place] = n_together
