"""The rows of a sparse matrix in alternating least squares: exact solutions for few entries, sums for many."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.kernels.compiled import compiled, part, reordered_part

Factors = npt.NDArray[np.float32]


def add_entries_numpy(
    starts: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int32],
    base: npt.NDArray[np.float32],
    slope: npt.NDArray[np.float32],
    factors: Factors,
    rows: Factors,
    total: Factors,
) -> None:
    """Add `Σ_j (base_ij + slope_ij · y_j·x_i) y_j` over the entries j of each row i to its total.

    Args:
        starts: int64 (n_rows + 1,), where the entries of each row begin.
        columns: int32 (n,), the column of each entry.
        base: float32 (n,).
        slope: float32 (n,).
        factors: float32 (n_columns, n_factors), y.
        rows: float32 (n_rows, n_factors), x.
        total: float32 (n_rows, n_factors), changed.
    """
    row = np.repeat(np.arange(len(rows)), np.diff(starts))
    of_entry = factors[columns[starts[0] : starts[-1]]]
    span = slice(starts[0], starts[-1])
    weight = base[span] + slope[span] * np.einsum("ij,ij->i", of_entry, rows[row])
    np.add.at(total, row, weight[:, None] * of_entry)


@reordered_part
def _product(one: Any, other: Any) -> Any:
    total = np.float32(0)
    for idx in range(len(one)):
        total += one[idx] * other[idx]
    return total


@reordered_part
def _add_multiple(total: Any, factor: Any, vector: Any) -> None:
    for idx in range(len(total)):
        total[idx] += factor * vector[idx]


@compiled("i8: i4: f4: f4: f4:: f4:: f4::!", otherwise=add_entries_numpy, reorders=True)
def add_entries(starts: Any, columns: Any, base: Any, slope: Any, factors: Any, rows: Any, total: Any) -> None:
    """Compute `add_entries_numpy` entry by entry."""
    for row in range(len(rows)):
        for entry in range(starts[row], starts[row + 1]):
            of_entry = factors[columns[entry]]
            _add_multiple(total[row], base[entry] + slope[entry] * _product(of_entry, rows[row]), of_entry)


def solve_few_numpy(
    starts: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int32],
    target: npt.NDArray[np.float32],
    extra: npt.NDArray[np.float32],
    factors: Factors,
    projected: Factors,
    rows: Factors,
) -> None:
    """Write the solution of `(G + Σ_j e_j y_j y_jᵀ) x = Σ_j t_j y_j` for rows with few entries j.

    With `b = yG⁻¹`, `K = b yᵀ` among the columns of the row and `E = diag e`, Woodbury's identity gives
    `x = bᵀ(t − √E (I + √E K √E)⁻¹ √E K t)`: a system of as many unknowns as the row has entries.

    Args:
        starts: int64 (n_rows + 1,), where the entries of each row begin.
        columns: int32 (n,), the column of each entry.
        target: float32 (n,), t.
        extra: float32 (n,), e, > 0.
        factors: float32 (n_columns, n_factors), y.
        projected: float32 (n_columns, n_factors), b.
        rows: float32 (n_rows, n_factors), written.
    """
    for row in range(len(rows)):
        span = slice(starts[row], starts[row + 1])
        y, b = (each[columns[span]].astype(np.float64) for each in (factors, projected))
        inner, root = b @ y.T, np.sqrt(extra[span].astype(np.float64))
        system = np.eye(len(root)) + root[:, None] * inner * root
        rows[row] = (target[span] - root * np.linalg.solve(system, root * (inner @ target[span]))) @ b


@part
def solve_in_place(system: Any, right: Any, n: int) -> None:
    """Solve a symmetric, positive definite system by Cholesky factors, which replace its lower half."""
    for column in range(n):
        for row in range(column, n):
            total = system[row, column]
            for idx in range(column):
                total -= system[row, idx] * system[column, idx]
            system[row, column] = np.sqrt(total) if row == column else total / system[column, column]
    for row in range(n):
        for idx in range(row):
            right[row] -= system[row, idx] * right[idx]
        right[row] /= system[row, row]
    for row in range(n - 1, -1, -1):
        for idx in range(row + 1, n):
            right[row] -= system[idx, row] * right[idx]
        right[row] /= system[row, row]


@compiled("i8: i4: f4: f4: f4:: f4:: f4::!", otherwise=solve_few_numpy, reorders=True)
def solve_few(starts: Any, columns: Any, target: Any, extra: Any, factors: Any, projected: Any, rows: Any) -> None:
    """Compute `solve_few_numpy` row by row, in tables that all rows share."""
    width = 0
    for row in range(len(rows)):
        width = max(width, starts[row + 1] - starts[row])
    system, right, root = np.empty((width, width)), np.empty(width), np.empty(width)
    for row in range(len(rows)):
        first, n = starts[row], starts[row + 1] - starts[row]
        right[:n] = 0
        for one in range(n):
            root[one] = np.sqrt(extra[first + one])
            for other in range(one + 1):
                inner = _product(projected[columns[first + one]], factors[columns[first + other]])
                system[one, other] = root[one] * inner * root[other]
                right[one] += inner * target[first + other]
                if other < one:
                    right[other] += inner * target[first + one]
            system[one, one] += 1.0
        for one in range(n):
            right[one] *= root[one]
        solve_in_place(system, right, n)
        rows[row, :] = 0
        for one in range(n):
            factor = np.float32(target[first + one] - root[one] * right[one])
            _add_multiple(rows[row], factor, projected[columns[first + one]])
