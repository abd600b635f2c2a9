"""Large arrays of a bundle with some rows replaced and some rows appended, read without a copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]


class RowSource(Protocol):
    """Source of rows that replace others."""

    def get(self, row: int) -> Numbers | None:
        """Return the row that replaces `row`, None if there is none."""


@dataclass(frozen=True)
class PatchedArray:
    """A read-only array with patches, indexed by rows and then by columns.

    Attributes:
        base: (n, …).
        extra: (m, …), rows n to n + m.
        others: source of rows that replace those of `base` and `extra`; None for none.
    """

    base: Numbers
    extra: Numbers
    others: RowSource | None = None

    @classmethod
    def array(cls, base: Numbers, extra: Numbers, others: RowSource | None = None) -> Numbers:
        """Build a patched array, typed as an array; both parts have the same dtype and width."""
        return cast(Numbers, cls(base, extra, others))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape, as of an array."""
        return (len(self), *self.base.shape[1:])

    def __len__(self) -> int:
        return len(self.base) + len(self.extra)

    def __getitem__(self, key: Any) -> Numbers:
        rows, *columns = key if isinstance(key, tuple) else (key,)
        if isinstance(rows, slice):
            rows = np.arange(len(self))[rows]
        if not columns:
            return self._rows(np.asarray(rows))
        if isinstance(columns[0], slice):
            return self._rows(np.asarray(rows))[..., columns[0]]
        rows, column = np.broadcast_arrays(rows, columns[0])
        return np.take_along_axis(self._rows(rows), column[..., None], axis=-1)[..., 0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Numbers:
        return np.asarray(self[:], dtype)

    def _rows(self, rows: Numbers) -> Numbers:
        n = len(self.base)
        is_extra = rows >= n
        if not is_extra.any():
            found = self.base[rows]
        else:
            found = np.empty((*rows.shape, *self.base.shape[1:]), self.base.dtype)
            found[~is_extra], found[is_extra] = self.base[rows[~is_extra]], self.extra[rows[is_extra] - n]
        if self.others is not None:
            found = np.array(found)
            for position, row in zip(np.ndindex(rows.shape), rows.ravel().tolist(), strict=True):
                other = self.others.get(row)
                if other is not None:
                    found[position] = other
        return found
