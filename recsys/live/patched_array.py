"""Large arrays of a bundle with some rows replaced and some rows appended, read without a copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from recsys.core.row_array import Numbers, RowArray


class RowSource(Protocol):
    """Source of rows that replace others."""

    def get(self, row: int) -> Numbers | None:
        """Return the row that replaces `row`, None if there is none."""


@dataclass(frozen=True)
class PatchedArray(RowArray):
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
        return (len(self.base) + len(self.extra), *self.base.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries."""
        return self.base.dtype

    def rows(self, rows: npt.NDArray[np.integer]) -> Numbers:
        """Read rows of both parts; see `RowArray`."""
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
