"""Vectors as small integers, which tell which of them may be the nearest to a query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.kernels.history import EVERY
from recsys.kernels.nearest import BLOCK, TINY, scan_codes

VECTOR_UNITS: Final = 127
"""Largest number of a vector's code, int8."""

ROUNDING: Final = 1e-4
"""Relative margin of the bounds, for the rounding of single precision."""


@dataclass(frozen=True)
class CodedVectors:
    """The longest vectors of an index, each number in a byte; see `scan_codes` for the arrays."""

    code: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    error: npt.NDArray[np.float32]
    length: npt.NDArray[np.float32]
    row: npt.NDArray[np.int32]

    @classmethod
    def of(cls, vectors: npt.NDArray[np.float32], row: npt.NDArray[np.integer], length_left: float) -> CodedVectors:
        """Code vectors.

        Args:
            vectors: float32 (n, n_factors), by descending length.
            row: (n,), row of each in the whole index.
            length_left: length of the longest vector of the index that is not among them; negative if all are.
        """
        starts = np.arange(0, len(vectors), BLOCK)
        size = np.diff(np.append(starts, len(vectors)))

        def largest(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            found: npt.NDArray[np.float32] = np.maximum.reduceat(values, starts) if len(starts) else values
            return found

        scale = np.maximum(largest(np.abs(vectors).max(axis=1, initial=0)), np.float32(TINY)) / np.float32(VECTOR_UNITS)
        each = np.repeat(scale, size)[:, None]
        code = np.rint(vectors / each).astype(np.int8)
        length = np.linalg.norm(vectors, axis=1)
        error = largest(np.linalg.norm(vectors - code * each, axis=1)) + np.float32(ROUNDING) * largest(length)
        lengths = np.append(
            largest(length) * (1 + ROUNDING), length_left * (1 + ROUNDING) if length_left >= 0 else -np.inf
        )
        return cls(
            code, scale.astype(np.float32), error.astype(np.float32), lengths.astype(np.float32), row.astype(np.int32)
        )

    def near(
        self, query: npt.NDArray[np.float32], k: int, allowed: npt.NDArray[np.bool_] | None
    ) -> npt.NDArray[np.int32] | None:
        """Return the rows that may be among the k nearest to a query, int32; None if vectors without a code may be.

        Args:
            query: float32 (n_factors,).
            k: >= 1.
            allowed: bool (n_items,), the only rows that count; None for all.
        """
        near, is_complete = scan_codes(
            self.code,
            self.scale,
            self.error,
            self.length,
            self.row,
            query,
            k,
            EVERY if allowed is None else allowed,
        )
        return near if is_complete or np.isneginf(self.length[-1]) else None
