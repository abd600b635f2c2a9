"""Alternating least squares: exact for rows of few entries, by a few steps of conjugate gradients for the others."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.core.blas_threads import one_blas_thread
from recsys.kernels.factorization import Factors, add_entries, solve_few

N_STEPS: Final = 3
"""Steps of conjugate gradients per row and iteration; the next iteration goes on from there."""

FEW: Final = 4
"""A row is solved exactly if its entries are at most this part of the factors: that takes less than the steps."""

BLOCK_ROWS: Final = 256
"""Rows whose products with the Gram matrix are one product of matrices; they stay in the cache."""

BLOCK_ENTRIES: Final = 2048
"""Entries of a block, about: the factors of their columns stay in the cache from step to step."""

SOLVED: Final = 1e-20
"""Square of the length of a residual from which on a row is left as it is."""

START_SCALE: Final = 0.01


class Entries(NamedTuple):
    """A weighted matrix, row by row.

    Attributes:
        starts: int64 (n_rows + 1,), where the entries of each row begin.
        columns: int32 (n,), their columns.
        target: float32 (n,), confidence of the entries that are liked, 0 of the others.
        extra: float32 (n,), confidence of every entry above 1.
    """

    starts: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int32]
    target: npt.NDArray[np.float32]
    extra: npt.NDArray[np.float32]

    @classmethod
    def of(cls, weight: sparse.csr_matrix, alpha: float) -> Entries:
        """Read a matrix of weights w: the confidence is `1 + α|w|`, an entry is liked if `w > 0`."""
        extra = (alpha * np.abs(weight.data)).astype(np.float32)
        target = np.where(weight.data > 0, 1 + extra, 0).astype(np.float32)
        return cls(weight.indptr.astype(np.int64), weight.indices.astype(np.int32), target, extra)

    def of_rows(self, rows: npt.NDArray[np.int64]) -> Entries:
        """Return the entries of some rows."""
        size = self.starts[rows + 1] - self.starts[rows]
        starts = np.concatenate([[0], np.cumsum(size)])
        place = np.arange(starts[-1]) + np.repeat(self.starts[rows] - starts[:-1], size)
        return Entries(starts, self.columns[place], self.target[place], self.extra[place])


def factorize(
    weight: sparse.csr_matrix,
    n_factors: int,
    alpha: float,
    regularization: float,
    n_iterations: int,
    rng: np.random.Generator,
    n_threads: int = 0,
    start: Factors | None = None,
) -> tuple[Factors, Factors]:
    """Minimize `Σ c_ui (p_ui − x_u·y_i)² + λ (Σ|x_u|² + Σ|y_i|²)` over all pairs of users and items.

    The confidence is `c = 1 + α|w|` and the preference `p = [w > 0]`; both are 1 and 0 for pairs without an entry. The
    factors of rows and columns without entries are zero. Blocks of rows are independent, so the result does not depend
    on the number of threads.

    Args:
        weight: float32 CSR (n_users, n_items), without stored zeros.
        n_factors: length of the factors.
        alpha: α, > 0.
        regularization: λ, > 0.
        n_iterations: each solves for users, then for items.
        rng: source of the first factors.
        n_threads: threads; 0 for one per core.
        start: float32 (n_items, n_factors), factors of the items to begin with; random ones if None.

    Returns:
        Factors of the users and of the items, float32.

    Reference:
        Hu, Koren & Volinsky (2008), Collaborative Filtering for Implicit Feedback Datasets, ICDM; Takács, Pilászy &
        Tikk (2011), Applications of the Conjugate Gradient Method for Implicit Feedback Collaborative Filtering,
        RecSys. Deviation: rows are solved in blocks, whose products with the Gram matrix are matrix products.
    """
    by_user, by_item = Entries.of(weight, alpha), Entries.of(weight.T.tocsr(), alpha)
    users, items = (first_factors(np.diff(entries.starts), n_factors, rng) for entries in (by_user, by_item))
    if start is not None:
        items = np.where((np.diff(by_item.starts) > 0)[:, None], start, np.float32(0))
    with one_blas_thread(), ThreadPoolExecutor(n_threads or len(os.sched_getaffinity(0))) as pool:
        for _ in range(n_iterations):
            solve_rows(by_user, users, items, regularization, pool)
            solve_rows(by_item, items, users, regularization, pool)
    return users, items


def first_factors(n_entries: npt.NDArray[np.int64], n_factors: int, rng: np.random.Generator) -> Factors:
    """Draw the factors of rows to begin with, float32 (n_rows, n_factors); zero for rows without entries."""
    factors = rng.random((len(n_entries), n_factors), np.float32) * np.float32(START_SCALE)
    factors[n_entries == 0] = 0
    return factors


def solve_rows(
    entries: Entries, factors: Factors, others: Factors, regularization: float, pool: ThreadPoolExecutor
) -> None:
    """Improve the factors of all rows with entries, while those of the columns stay."""
    gram = gram_of(others, regularization)
    few, many = few_and_many(np.diff(entries.starts), others.shape[1])
    n_entries = np.diff(entries.starts)
    projected = project(others, gram) if len(few) else others[:0]

    def solve_exactly(block: npt.NDArray[np.int64]) -> None:
        factors[block] = solve_few_rows(entries.of_rows(block), others, projected)

    def improve(block: npt.NDArray[np.int64]) -> None:
        factors[block] = solve_block(entries.of_rows(block), factors[block], others, gram)

    for solve, rows in ((solve_exactly, few), (improve, many)):
        for _ in pool.map(solve, _blocks(rows, n_entries[rows])):
            pass


def gram_of(others: Factors, regularization: float) -> Factors:
    """Return `YᵀY + λI`, float32 (n_factors, n_factors)."""
    found: Factors = others.T @ others + np.float32(regularization) * np.eye(others.shape[1], dtype=np.float32)
    return found


def few_and_many(
    n_entries: npt.NDArray[np.int64], n_factors: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the rows that are solved exactly, and those that are improved; rows without entries are in neither."""
    is_few = n_entries <= n_factors // FEW
    return np.flatnonzero(is_few & (n_entries > 0)), np.flatnonzero(~is_few)


def project(others: Factors, gram: Factors) -> Factors:
    """Return `Y G⁻¹`, which exact solutions need."""
    found: Factors = others @ np.linalg.inv(gram.astype(np.float64)).astype(np.float32)
    return found


def solve_few_rows(entries: Entries, others: Factors, projected: Factors) -> Factors:
    """Return the exact solutions of rows with few entries, float32 (n_rows, n_factors)."""
    found = np.empty((len(entries.starts) - 1, others.shape[1]), np.float32)
    solve_few(*entries, others, projected, found)
    return found


def _blocks(rows: npt.NDArray[np.int64], n_entries: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """Split rows into blocks of at most `BLOCK_ROWS` rows, and about `BLOCK_ENTRIES` entries."""
    size = np.maximum(n_entries / BLOCK_ENTRIES, 1 / BLOCK_ROWS)
    block = (np.cumsum(size) - size / 2).astype(np.int64)
    return np.split(rows, np.flatnonzero(np.diff(block)) + 1) if len(rows) else []


def solve_block(entries: Entries, rows: Factors, others: Factors, gram: Factors) -> Factors:
    """Take `N_STEPS` steps towards the solution of `(G + Σ_j e_j y_j y_jᵀ) x = Σ_j t_j y_j` for each row.

    Args:
        entries: of the rows: e is their `extra`, t their `target`.
        rows: float32 (n_rows, n_factors), where to begin.
        others: float32 (n_columns, n_factors), y.
        gram: float32 (n_factors, n_factors), G, symmetric.
    """
    nothing = np.zeros_like(entries.extra)

    def first(at: Factors) -> Factors:
        return added(entries, entries.target, -entries.extra, others, at)

    def product(at: Factors) -> Factors:
        return added(entries, nothing, entries.extra, others, at)

    return take_steps(rows, gram, first, product)


def added(
    entries: Entries, base: npt.NDArray[np.float32], slope: npt.NDArray[np.float32], others: Factors, rows: Factors
) -> Factors:
    """Return `Σ_j (base_j + slope_j · y_j·x) y_j` over the entries j of each row x; sums over columns can be added."""
    total = np.zeros_like(rows)
    add_entries(entries.starts, entries.columns, base, slope, others, rows, total)
    return total


def take_steps(
    rows: Factors, gram: Factors, first: Callable[[Factors], Factors], product: Callable[[Factors], Factors]
) -> Factors:
    """Take `N_STEPS` steps of conjugate gradients; see `solve_block`.

    Args:
        rows: float32 (n_rows, n_factors), where to begin.
        gram: float32 (n_factors, n_factors), G, symmetric.
        first: returns `Σ_j (t_j − e_j y_j·x) y_j` of all rows.
        product: returns `Σ_j e_j (y_j·d) y_j` of a direction d for each row.
    """
    left = first(rows) - rows @ gram
    square = _dots(left, left)
    direction: Factors = left.copy()
    for _ in range(N_STEPS):
        image = product(direction) + direction @ gram
        step = _ratio(square, _dots(direction, image), square > SOLVED)
        rows = rows + step * direction
        left -= step * image
        before, square = square, _dots(left, left)
        direction = left + _ratio(square, before, before > SOLVED) * direction
    return rows


def _dots(one: Factors, other: Factors) -> Factors:
    """Return the inner products of the rows of two arrays, (n_rows, 1)."""
    found: Factors = np.einsum("ij,ij->i", one, other)[:, None]
    return found


def _ratio(above: Factors, below: Factors, where: npt.NDArray[np.bool_]) -> Factors:
    """Return the quotients of some rows, 0 for the others, and where the divisor is 0."""
    kept = where & (below > 0)
    found: Factors = np.where(kept, above / np.where(kept, below, np.float32(1)), np.float32(0))
    return found
