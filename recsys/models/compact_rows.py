"""Rows of numbers in half of the bytes or fewer, read as an array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from recsys.core.row_array import Numbers, RowArray
from recsys.kernels.compact_rows import decode_rows

LARGEST: Final = 32_767
"""Code of the largest number of a row."""


@dataclass(frozen=True)
class CompactRows(RowArray):
    """Rows of single-precision numbers as integers times a factor of each row; equal integers are stored once.

    A number differs from the original by at most `0.5 / LARGEST` of the largest of its row. The order of the numbers of
    a row stays, and equal rows stay equal: items without events, and variants of one product, share their rows.

    Attributes:
        code: int16 (n_distinct, width), the distinct rows of integers.
        place: int32 (n_rows,), row of each row in `code`.
        scale: float32 (n_rows,), factor of each row.
    """

    code: npt.NDArray[np.int16]
    place: npt.NDArray[np.int32]
    scale: npt.NDArray[np.float32]

    @classmethod
    def array(cls, values: npt.NDArray[np.float32]) -> Numbers:
        """Encode an array, float32 (n_rows, width), finite; the result is typed as an array."""
        scale = np.abs(values).max(axis=1, initial=0) / np.float32(LARGEST)
        code = np.rint(values / np.where(scale > 0, scale, 1)[:, None]).astype(np.int16)
        first, place = _distinct(code)
        return cast(Numbers, cls(code[first], place, scale))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape, as of an array."""
        return (len(self.place), self.code.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries."""
        return np.dtype(np.float32)

    def rows(self, rows: npt.NDArray[np.integer]) -> Numbers:
        """Decode rows; see `RowArray`."""
        wanted = np.ascontiguousarray(rows.ravel(), np.int32)
        decoded: Numbers = decode_rows(self.code, self.place, self.scale, wanted)
        return decoded.reshape(*rows.shape, self.code.shape[1])


def _distinct(code: npt.NDArray[np.int16]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Return the first row of each distinct content, in order, and the place of each row's content among them."""
    if not code.size:
        return np.arange(min(len(code), 1)), np.zeros(len(code), np.int32)
    contents = code.view(np.dtype((np.void, code.itemsize * code.shape[1]))).ravel()
    _, first, content = np.unique(contents, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order))
    return first[order], rank[content]
