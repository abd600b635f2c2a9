"""Lists of items in few bytes: what the lists of a group have in common is stored once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from recsys.core.row_array import Numbers, RowArray
from recsys.kernels.history import EVERY
from recsys.kernels.packed_lists import Unpacked, strongest_packed, sum_packed, unpack_loop
from recsys.kernels.scratch import marks_table, positions_table


@dataclass(frozen=True)
class PackedLists:
    """Lists of items, one per item, and lists that groups of them share.

    A list consists of its own entries and of those of a shared list, with their scores times a factor, ordered by
    score. Most items of a catalog sell little: their lists are those of their product type, but for a few entries.

    Attributes:
        starts: int64 (n_lists + 1,), where the own entries of each list begin; shared lists follow those of the items.
        item_idx: int32 (n_entries,).
        score: float32 (n_entries,), descending in each list; an own entry of 0 hides the item of the shared list.
        n_together: int16 or int32 (n_entries,), see `RelatedItems`; 0 for entries of shared lists; empty if all are 0.
        shared: int32 (n_lists,), the list that an item's list shares, -1 for none.
        scale: float32 (n_lists,), factor of its scores.
        size: int32 (n_lists,), entries of each list.
        n_items: number of items.
        width: most entries that a list may have.
    """

    starts: npt.NDArray[np.int64]
    item_idx: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]
    n_together: npt.NDArray[np.signedinteger]
    shared: npt.NDArray[np.int32]
    scale: npt.NDArray[np.float32]
    size: npt.NDArray[np.int32]
    n_items: int
    width: int

    def first(self, n: int) -> PackedLists:
        """Return the first `n` items of every list; the entries are shared."""
        return replace(self, width=min(n, self.width), size=np.minimum(self.size, np.int32(n)))

    def unpack(self, rows: npt.NDArray[np.integer]) -> Unpacked:
        """Return the lists of some items; see `recsys.kernels.packed_lists.unpack_numpy`.

        Args:
            rows: integer (m,).
        """
        found: Unpacked = unpack_loop(*self._of(rows, positions_table(self.n_items)))
        return found

    def sums(
        self,
        rows: npt.NDArray[np.integer],
        factor: npt.NDArray[np.float32],
        allowed: npt.NDArray[np.bool_] | None,
        n_items: int,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return the sums of the lists of some items; see `RelatedItems.sums`."""
        tables = positions_table(n_items), marks_table(n_items)
        found: tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]] = sum_packed(
            *self._of(rows, factor, EVERY if allowed is None else allowed, *tables)
        )
        return found

    def strongest(
        self,
        rows: npt.NDArray[np.integer],
        weight: npt.NDArray[np.float32],
        listed: npt.NDArray[np.int32],
        n_items: int,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Return which of some lists has the largest score for each listed item; see `RelatedItems.strongest`."""
        tables = positions_table(n_items), marks_table(n_items)
        where, entry = strongest_packed(*self._of(rows, weight, listed, *tables))
        return where, counts_of(self, entry)

    def _of(self, rows: npt.NDArray[np.integer], *others: Any) -> tuple[Any, ...]:
        """Return the arguments of kernels that say which lists they read, and their others."""
        lists = (self.starts, self.item_idx, self.score, self.shared, self.scale, self.size)
        return (*lists, np.ascontiguousarray(rows, np.int32), self.width, *others)


Column = Literal["item_idx", "score", "n_together"]


@dataclass(frozen=True)
class PackedColumn(RowArray):
    """One column of packed lists as an array with a row per item, see `RelatedItems`.

    Attributes:
        lists: the lists.
        name: of the column.
    """

    lists: PackedLists
    name: Column

    @classmethod
    def array(cls, lists: PackedLists, name: Column) -> Numbers:
        """Build a column, typed as an array."""
        return cast(Numbers, cls(lists, name))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape, as of an array."""
        return (self.lists.n_items, self.lists.width)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries."""
        return np.dtype(np.float32 if self.name == "score" else np.int32)

    def rows(self, rows: npt.NDArray[np.integer]) -> Numbers:
        """Unpack the lists of some items; see `RowArray`."""
        item_idx, score, entry = self.lists.unpack(rows.ravel())
        if self.name == "n_together":
            found: Numbers = counts_of(self.lists, entry)
        else:
            found = score if self.name == "score" else item_idx
        return found.reshape(*rows.shape, self.lists.width)


def counts_of(lists: PackedLists, entry: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Return `n_together` of unpacked entries, int32; 0 for those of shared lists and past the end."""
    if not len(lists.n_together):
        return np.zeros(entry.shape, np.int32)
    counts = lists.n_together[entry].astype(np.int32, copy=False)
    counts[entry < 0] = 0
    return counts
