"""Incidence matrices: which row contains which column."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse


def incidence(
    row: npt.NDArray[np.integer], column: npt.NDArray[np.integer], shape: tuple[int, int]
) -> sparse.csr_matrix:
    """Build a matrix of ones from the coordinates of its entries.

    Args:
        row: integer (n,), in [0, shape[0]).
        column: integer (n,), in [0, shape[1]); a pair may occur several times.
        shape: numbers of rows and columns.

    Returns:
        float32 CSR of `shape`, 1 for every pair that occurs, with sorted columns.

    >>> incidence(np.array([0, 0, 1]), np.array([2, 2, 0]), (2, 3)).toarray().tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    matrix = sparse.csr_matrix((np.ones(len(row), np.float32), (row, column)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix
