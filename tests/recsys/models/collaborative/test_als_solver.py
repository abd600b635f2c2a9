"""Factors by alternating least squares: the objective, each row's equations, and what must not matter."""

from __future__ import annotations

import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_limits

from recsys.models.collaborative import als_solver
from recsys.models.collaborative.als import N_WARM_ITERATIONS
from recsys.models.collaborative.als_solver import Entries, factorize, solve_block

ALPHA, PENALTY, N_FACTORS = 3.0, 5.0, 12
Matrix = sparse.csr_matrix


def shop(n_users: int, n_items: int, n_each: int, seed: int) -> Matrix:
    """Weights of both signs; some items have many users, some none."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(n_users), n_each)
    item = (rng.random(len(user)) ** 2 * n_items * 0.9).astype(np.int64)
    dense = np.zeros((n_users, n_items), np.float32)
    dense[user, item] = rng.choice([-1.0, 0.5, 1.0, 3.0], len(user))
    return sparse.csr_matrix(dense)


def loss(weight: Matrix, users: np.ndarray, items: np.ndarray) -> float:
    """The objective, over all pairs."""
    w = weight.toarray().astype(np.float64)
    confidence, users, items = 1 + ALPHA * np.abs(w), users.astype(np.float64), items.astype(np.float64)
    miss = (confidence * ((w > 0) - users @ items.T) ** 2).sum()
    return float(miss + PENALTY * ((users**2).sum() + (items**2).sum()))


def fitted(weight: Matrix, n_iterations: int, seed: int = 0, n_threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    return factorize(weight, N_FACTORS, ALPHA, PENALTY, n_iterations, np.random.default_rng(seed), n_threads)


def exact(weight: Matrix, others: np.ndarray, row: int) -> np.ndarray:
    """One row's factors by its normal equations, in double precision."""
    w, y = weight[row].toarray().ravel().astype(np.float64), others.astype(np.float64)
    confidence = 1 + ALPHA * np.abs(w)
    return np.linalg.solve((y.T * confidence) @ y + PENALTY * np.eye(N_FACTORS), y.T @ (confidence * (w > 0)))


@pytest.mark.parametrize("n_each", [2, 30])
def test_the_objective_is_as_low_as_implicits(n_each: int) -> None:
    weight = shop(200, 80, n_each, 1)
    signed = weight.copy()
    signed.data = np.sign(weight.data) * (1 + ALPHA * np.abs(weight.data))
    with threadpool_limits(1, "blas"):
        peer = AlternatingLeastSquares(
            factors=N_FACTORS, regularization=PENALTY, iterations=15, num_threads=1, random_state=0
        )
        peer.fit(signed, show_progress=False)
    has_users = np.diff(weight.tocsc().indptr) > 0
    theirs = loss(weight, peer.user_factors, np.where(has_users[:, None], peer.item_factors, 0))
    assert loss(weight, *fitted(weight, 15)) <= 1.001 * theirs


def test_the_objective_falls_from_iteration_to_iteration() -> None:
    weight = shop(150, 60, 12, 2)
    losses = [loss(weight, *fitted(weight, n)) for n in range(1, 8)]
    assert losses == sorted(losses, reverse=True)


def test_a_few_sweeps_from_the_factors_of_nearly_the_same_matrix_are_enough() -> None:
    weight = shop(200, 80, 12, 5)
    earlier = weight.copy()
    earlier.data[np.random.default_rng(0).random(earlier.nnz) < 0.03] = 0
    earlier.eliminate_zeros()
    start = fitted(earlier, 15)[1]
    warm = factorize(weight, N_FACTORS, ALPHA, PENALTY, N_WARM_ITERATIONS, np.random.default_rng(0), 1, start)
    assert loss(weight, *warm) <= 1.002 * loss(weight, *fitted(weight, 15))
    assert loss(weight, *fitted(weight, N_WARM_ITERATIONS)) > 1.001 * loss(weight, *warm), "the start is what helps"


def test_rows_of_few_entries_are_solved_exactly() -> None:
    weight = shop(90, 70, 2, 3)
    users, items = fitted(weight, 4)
    by_item = weight.T.tocsr()
    few = np.flatnonzero((np.diff(by_item.indptr) > 0) & (np.diff(by_item.indptr) <= N_FACTORS // als_solver.FEW))
    assert len(few) > 10
    for row in few.tolist():
        np.testing.assert_allclose(items[row], exact(by_item, users, row), atol=1e-5, rtol=1e-4)


def test_steps_lead_to_the_solution_of_each_row() -> None:
    weight = shop(40, 30, 20, 4)
    _, items = fitted(weight, 3)
    rows = np.zeros((40, N_FACTORS), np.float32)
    gram = items.T @ items + np.float32(PENALTY) * np.eye(N_FACTORS, dtype=np.float32)
    entries = Entries.of(weight, ALPHA)
    for _ in range(8):
        rows = solve_block(entries, rows, items, gram)
    for row in range(40):
        np.testing.assert_allclose(rows[row], exact(weight, items, row), atol=1e-4, rtol=1e-3)


def test_threads_and_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = shop(120, 90, 9, 5)
    one = fitted(weight, 3)
    several = fitted(weight, 3, n_threads=3)
    assert [each.tobytes() for each in one] == [each.tobytes() for each in several]
    monkeypatch.setattr(als_solver, "BLOCK_ROWS", 7)
    for found, expected in zip(fitted(weight, 3), one, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)  # products of other shapes are rounded differently


def test_rows_without_entries_are_zero() -> None:
    weight = shop(20, 30, 3, 6)
    _, items = fitted(weight, 2)
    has_users = np.diff(weight.tocsc().indptr) > 0
    assert not has_users.all()
    assert not items[~has_users].any()
    is_liked = np.asarray((weight > 0).sum(axis=0)).ravel() > 0
    assert (np.abs(items[is_liked]).sum(axis=1) > 0).all()


def test_entries_of_some_rows() -> None:
    entries = Entries.of(sparse.csr_matrix(np.array([[0, 2, -1], [0, 0, 0], [4, 0, 0]], np.float32)), 0.5)
    found = entries.of_rows(np.array([2, 0]))
    assert [each.tolist() for each in found] == [[0, 1, 3], [0, 1, 2], [3.0, 2.0, 0.0], [2.0, 1.0, 0.5]]
