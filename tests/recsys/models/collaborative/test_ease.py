from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from recsys.core.ids import NO_ITEM
from recsys.models.collaborative.ease import EASEConfig, EASEModel, fit_ease, solve_ease


def _counts(rows: list[list[int]]) -> sparse.csr_matrix:
    return sparse.csr_matrix(np.array(rows, np.float32))


def test_two_items_by_hand() -> None:
    """`G = [[2l²+λl², 2l²], [2l², 2l²+λl²]]` with `l = ln 2`, so that `B₀₁ = G₀₁ / G₀₀ = 2 / (2+λ)`."""
    model = fit_ease(_counts([[1, 1], [1, 1]]), EASEConfig(regularization=1.0))
    np.testing.assert_allclose(model.weight, np.full((2, 1), 2 / 3), rtol=1e-6)
    rows, score = model.score(np.array([0], np.int32), np.array([3]))
    assert rows.tolist() == [1]
    np.testing.assert_allclose(score, [np.log(4) * 2 / 3], rtol=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_scores_equal_a_dense_regression(seed: int) -> None:
    """Each column is a ridge regression on the others: solved here one by one."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(0.8, (12, 6)).astype(np.float32)
    model = fit_ease(sparse.csr_matrix(counts), EASEConfig(regularization=2.0))
    x = np.log1p(counts)
    known = np.flatnonzero((counts > 0).sum(axis=0) > 1)
    weights = np.zeros((6, 6))
    penalty = 2.0 * np.square(x[:, known][x[:, known] > 0]).mean() if len(known) else 0.0
    for item in known:
        others = known[known != item]
        gram = x[:, others].T @ x[:, others] + penalty * np.eye(len(others))
        weights[others, item] = np.linalg.solve(gram, x[:, others].T @ x[:, item])
    for history in counts:
        own = np.flatnonzero(history)
        expected = x[0] * 0 + np.log1p(history) @ weights
        rows, score = model.score(own.astype(np.int32), history[own])
        found = np.zeros(6)
        found[rows] = score
        np.testing.assert_allclose(found, np.maximum(expected, 0), atol=1e-4)


@given(st.integers(0, 2**32 - 1))
def test_content_is_a_further_part_of_the_regression(seed: int) -> None:
    """Each column is a ridge regression on the others, over users and features, which have a third of the squares."""
    rng = np.random.default_rng(seed)
    x = np.log1p(rng.poisson(2.0, (12, 5)).astype(np.float32))
    features = rng.random((5, 3)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    bought = sparse.csr_matrix(np.expm1(x))
    config = EASEConfig(regularization=2.0, content_weight=1 / 3)
    model = fit_ease(bought, config, sparse.csr_matrix(features))
    assert (model.row_of >= 0).all()
    length, penalty = np.linalg.norm(x, axis=0), 2.0 * np.square(x[x > 0]).mean()
    rows = np.vstack([x, np.sqrt(1 / 3) * (features * length[:, None]).T])
    for item in range(5):
        others = np.delete(np.arange(5), item)
        gram = rows[:, others].T @ rows[:, others] + penalty * np.eye(4)
        expected = np.linalg.solve(gram, rows[:, others].T @ rows[:, item])
        found = [model.weight[other][model.neighbor[other] == item].sum() for other in others]
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_content_relates_items_that_share_no_buyer() -> None:
    """Users of the items 0 and 1 never meet; only these two are alike."""
    counts = _counts([[1, 0, 1, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 1, 0, 1]])
    features = sparse.csr_matrix(np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32))
    config = EASEConfig(regularization=1.0)

    def found(model: EASEModel) -> list[int]:
        return sorted(model.score(np.array([0], np.int32), np.ones(1))[0].tolist())

    assert found(fit_ease(counts, config)) == [2]
    assert found(fit_ease(counts, config, features)) == [1, 2]
    assert found(fit_ease(counts, replace(config, content_weight=0.0), features)) == [2]


@given(st.floats(0.1, 10.0))
def test_the_penalty_counts_in_squares_of_an_entry(scale: float) -> None:
    """A shop whose entries are all larger by one factor has the same weights."""
    x = np.array([[1.0, 1.0, 0.0], [1.0, 0.5, 1.0], [0.0, 1.0, 1.0]])
    one, other = (fit_ease(sparse.csr_matrix(np.expm1(x * by)), EASEConfig()) for by in (1.0, scale))
    np.testing.assert_allclose(one.weight, other.weight, rtol=1e-4)


def test_items_without_content_have_the_weights_of_their_purchases() -> None:
    counts = _counts([[1, 1, 0], [1, 1, 1], [0, 1, 1]])
    nothing = sparse.csr_matrix((3, 4), dtype=np.float32)
    with_content, without = fit_ease(counts, EASEConfig(), nothing), fit_ease(counts, EASEConfig())
    np.testing.assert_array_equal(with_content.weight, without.weight)


def test_only_best_sellers_and_only_the_largest_weights_are_kept() -> None:
    counts = np.zeros((20, 5), np.float32)
    for item, n in enumerate((20, 15, 10, 5, 1)):
        counts[:n, item] = 1
    model = fit_ease(sparse.csr_matrix(counts), EASEConfig(n_items=3, n_neighbors=1))
    assert model.row_of.tolist() == [0, 1, 2, NO_ITEM, NO_ITEM]
    assert model.neighbor.shape == (3, 1)
    assert model.score(np.array([3, 4], np.int32), np.ones(2))[0].tolist() == []


def test_without_purchases_there_are_no_scores() -> None:
    model: EASEModel = fit_ease(sparse.csr_matrix((4, 3), dtype=np.float32), EASEConfig())
    assert len(model.score(np.array([0, 2], np.int32), np.ones(2))[0]) == 0


@given(st.integers(0, 2**32 - 1))
def test_the_solution_minimizes_the_penalized_error(seed: int) -> None:
    """No small change of the weights off the diagonal lowers the loss."""
    rng = np.random.default_rng(seed)
    x = rng.poisson(0.8, (8, 4)).astype(np.float64)
    weights = solve_ease(x.T @ x, 1.5)

    def loss(candidate: np.ndarray) -> float:
        return float(np.square(x - x @ candidate).sum() + 1.5 * np.square(candidate).sum())

    assert not np.diag(weights).any()
    for _ in range(10):
        step = 1e-3 * rng.standard_normal((4, 4))
        np.fill_diagonal(step, 0)
        assert loss(weights + step) >= loss(weights)
