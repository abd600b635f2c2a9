"""Arrays with one entry per item that grow in place: a new row costs the same in a catalog of any size."""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

ROOM: Final = 65_536
"""Rows beyond the first ones for which address space is reserved; pages that are not written take no memory."""

S = TypeVar("S", bound=np.generic)


class GrowingArray(Generic[S]):
    """A copy of an array that grows, and whose rows change in place.

    Views of fewer rows stay valid when it grows.

    Args:
        values: (n, …), copied.
        default: value of new rows.
    """

    def __init__(self, values: npt.NDArray[S], default: Any) -> None:
        self._default = default
        self._n = len(values)
        self._buffer = np.empty((2 * self._n + ROOM, *values.shape[1:]), values.dtype)
        self._buffer[: self._n] = values

    @property
    def values(self) -> npt.NDArray[S]:
        """The rows, (n, …); a view, which later changes of its rows alter."""
        return self._buffer[: self._n]

    def __setitem__(self, rows: Any, values: Any) -> None:
        self.values[rows] = values

    def grow(self, n: int) -> None:
        """Add rows with the default up to a number of rows."""
        if n > len(self._buffer):
            larger = np.empty((2 * n + ROOM, *self._buffer.shape[1:]), self._buffer.dtype)
            larger[: self._n] = self.values
            self._buffer = larger
        self._buffer[self._n : n] = self._default
        self._n = max(n, self._n)


class NewestFirst:
    """Items whose creation is known, the newest first; a new item costs few moves, as most are the newest.

    Args:
        newest: int32, the newest first, equal ones by row.
        created_at: seconds since 1970 by row; 0 where it is not known. Later changes are made with `move`.
    """

    def __init__(self, newest: npt.NDArray[np.int32], created_at: GrowingArray[np.int64]) -> None:
        self._oldest_first = GrowingArray(np.ascontiguousarray(newest[::-1]), 0)
        self._created_at = created_at
        self._n = len(newest)

    @property
    def values(self) -> npt.NDArray[np.int32]:
        """The items, int32 (n,)."""
        return self._oldest_first.values[: self._n][::-1]

    def move(self, row: int, created_at: int) -> None:
        """Set the creation of an item, in seconds since 1970; 0 if it is not known."""
        known = int(self._created_at.values[row])
        if known == created_at:
            return
        if known > 0:
            place = self._place(known, row)
            rows = self._oldest_first.values
            rows[place : self._n - 1] = rows[place + 1 : self._n].copy()
            self._n -= 1
        self._created_at[row] = created_at
        if created_at > 0:
            place = self._place(created_at, row)
            self._oldest_first.grow(self._n + 1)
            rows = self._oldest_first.values
            rows[place + 1 : self._n + 1] = rows[place : self._n].copy()
            rows[place] = row
            self._n += 1

    def _place(self, created_at: int, row: int) -> int:
        """Return the number of items that are older, or as old with a higher row."""
        rows, created = self._oldest_first.values, self._created_at.values
        low, high = 0, self._n
        while low < high:
            middle = (low + high) // 2
            other = int(rows[middle])
            if (int(created[other]), -other) < (created_at, -row):
                low = middle + 1
            else:
                high = middle
        return low
