"""Lists of related items, one per item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.ids import NO_ITEM
from recsys.kernels.candidates import sum_lists
from recsys.kernels.evidence import strongest
from recsys.models.list_packing import pack_lists
from recsys.models.packed_lists import PackedColumn, PackedLists

BY_USER_ONLY: Final = -1
"""In the place of the number of baskets with both items: only users who bought both, at different times."""


@dataclass(frozen=True)
class RelatedItems:
    """Precomputed lists, one row per item, best first: arrays, or columns of packed lists, which are read by rows.

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

    def equals(self, other: RelatedItems) -> bool:
        """Return whether other lists are the same, number by number."""
        pairs = ((self.item_idx, other.item_idx), (self.score, other.score), (self.n_together, other.n_together))
        return all(np.array_equal(one, another) for one, another in pairs)

    @classmethod
    def of(cls, lists: PackedLists) -> RelatedItems:
        """Read packed lists by rows."""
        return cls(
            PackedColumn.array(lists, "item_idx"),
            PackedColumn.array(lists, "score"),
            PackedColumn.array(lists, "n_together"),
        )

    def sums(
        self,
        rows: npt.NDArray[np.integer],
        factor: npt.NDArray[np.float32],
        allowed: npt.NDArray[np.bool_] | None,
        n_items: int,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return the items of some lists, and the sums of their scores times the lists' factors.

        Args:
            rows: integer (n,), the lists.
            factor: float32 (n,), of each of them.
            allowed: bool (n_items,), the only items that count; None for all.
            n_items: number of items of the catalog.

        Returns:
            Distinct rows, int32, in any order, and sums, float32, > 0.
        """
        packed = self._packed
        if packed is not None:
            return packed.sums(rows, factor, allowed, n_items)
        return sum_lists(self.item_idx[rows], self.score[rows], factor, allowed, n_items)

    def strongest(
        self,
        rows: npt.NDArray[np.integer],
        weight: npt.NDArray[np.float32],
        listed: npt.NDArray[np.int32],
        n_items: int,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Return which of some lists has the largest weighted score for each listed item.

        Args:
            rows: integer (n,), the lists.
            weight: float32 (n,), of each of them.
            listed: int32 (m,), distinct.
            n_items: number of items of the catalog.

        Returns:
            Positions in `rows`, int32 (m,), -1 where no list has the item; `n_together` of each entry, int32 (m,), 0
            where no list has it.
        """
        packed = self._packed
        if packed is not None:
            return packed.strongest(rows, weight, listed, n_items)
        lists = np.arange(len(rows), dtype=np.int32)
        where, column = strongest(self.item_idx[rows], self.score[rows], lists, weight, listed, n_items)
        if not len(rows):
            return where, np.zeros(len(listed), np.int32)
        return where, np.where(where < 0, 0, self.n_together[rows[where], column]).astype(np.int32)

    @property
    def lists(self) -> PackedLists:
        """The packed lists; arrays are packed list by list."""
        packed = self._packed
        if packed is not None:
            return packed
        return pack_lists(self.item_idx, self.score, self.n_together, np.full(len(self.item_idx), NO_ITEM))

    @property
    def _packed(self) -> PackedLists | None:
        column: object = self.item_idx
        return column.lists if isinstance(column, PackedColumn) else None

    def packed(self, group: npt.NDArray[np.integer]) -> RelatedItems:
        """Return the same lists in fewer bytes.

        Args:
            group: integer (n_items,), items whose lists may be alike; -1 for none.
        """
        return RelatedItems.of(pack_lists(self.item_idx, self.score, self.n_together, group))


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
