"""The factors of one user, from the items of the history: an exact solution by conjugate gradients."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from recsys.kernels.compiled import compiled, reordered_part

Factors = npt.NDArray[np.float32]

RESIDUAL: Final = 3e-7
"""Length of what is left of the right side, relative to the right side, at which a solution is exact."""

MAX_STEPS: Final = 40
"""Steps after which the system is solved directly; six are usual."""


def fold_user_numpy(
    y: Factors, weight: npt.NDArray[np.float32], gram: Factors, inverse: Factors, alpha: float
) -> tuple[Factors, bool]:
    """Return the solution `x` of `(G + Yᵀ(C − I)Y)x = YᵀCp` for one user, and whether it is exact.

    Args:
        y: float32 (n, n_factors), factors of the user's items.
        weight: float32 (n,), `c = 1 + α|w|` and `p = [w > 0]`.
        gram: float32 (n_factors, n_factors), G, symmetric.
        inverse: float32 (n_factors, n_factors), of `gram`; not used.
        alpha: α.
    """
    extra = alpha * np.abs(weight.astype(np.float64))
    exact = y.astype(np.float64)
    solution = np.linalg.solve(gram + (exact * extra[:, None]).T @ exact, np.where(weight > 0, 1 + extra, 0) @ exact)
    return solution.astype(np.float32), bool(np.isfinite(solution).all())


@reordered_part
def _multiply(matrix: Any, vector: Any, product: Any) -> None:
    """Write the product of a square matrix and a vector."""
    for row in range(len(vector)):
        total = np.float32(0)
        for column in range(len(vector)):
            total += matrix[row, column] * vector[column]
        product[row] = total


@reordered_part
def _dot(one: Any, other: Any) -> Any:
    total = np.float32(0)
    for idx in range(len(one)):
        total += one[idx] * other[idx]
    return total


@reordered_part
def _add(total: Any, factor: Any, vector: Any) -> None:
    for idx in range(len(total)):
        total[idx] += factor * vector[idx]


@compiled("f4:: f4: f4:: f4:: f8", otherwise=fold_user_numpy, reorders=True)
def fold_user(y: Any, weight: Any, gram: Any, inverse: Any, alpha: Any) -> Any:
    """Compute `fold_user_numpy` by conjugate gradients, preconditioned with the inverse of G.

    One user changes few directions of G, so that few steps are needed (Hestenes & Stiefel, 1952).
    """
    n, n_factors = y.shape
    extra = np.empty(n, np.float32)
    solution, left = np.zeros(n_factors, np.float32), np.zeros(n_factors, np.float32)
    for idx in range(n):
        extra[idx] = alpha * abs(weight[idx])
        if weight[idx] > 0:
            _add(left, np.float32(1) + extra[idx], y[idx])
    enough = np.float32(RESIDUAL * RESIDUAL) * _dot(left, left)
    direction, near = np.zeros(n_factors, np.float32), np.empty(n_factors, np.float32)
    product, before = np.empty(n_factors, np.float32), np.float32(1)
    for _ in range(MAX_STEPS):
        if _dot(left, left) <= enough:
            break
        _multiply(inverse, left, near)
        progress = _dot(left, near)
        for idx in range(n_factors):
            direction[idx] = near[idx] + progress / before * direction[idx]
        _multiply(gram, direction, product)
        for idx in range(n):
            _add(product, extra[idx] * _dot(y[idx], direction), y[idx])
        step = progress / _dot(direction, product)
        _add(solution, step, direction)
        _add(left, -step, product)
        before = progress
    return solution, _dot(left, left) <= enough
