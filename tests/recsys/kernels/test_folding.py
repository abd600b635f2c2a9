"""The factors of one user: conjugate gradients beside the direct solution."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.kernels.folding import fold_user, fold_user_numpy
from recsys.models.collaborative.als import ALSConfig, ALSModel

RNG = np.random.default_rng(3)
N_FACTORS = 24
FACTORS = RNG.normal(0, 0.3, (500, N_FACTORS)).astype(np.float32)
GRAM = FACTORS.T @ FACTORS + 5 * np.eye(N_FACTORS, dtype=np.float32)
INVERSE = np.linalg.inv(GRAM.astype(np.float64)).astype(np.float32)


@given(
    st.integers(1, 300),
    st.sampled_from([1e-38, 1e-3, 1.0, 30.0]),
    st.floats(-1, 1),
    st.integers(0, 2**32 - 1),
)
def test_the_solution_is_that_of_the_normal_equations(n: int, size: float, least: float, seed: int) -> None:
    """For weights of any size and sign, those that have all but decayed away included."""
    rng = np.random.default_rng(seed)
    y = FACTORS[rng.choice(500, n, replace=False)]
    weight = (size * rng.uniform(least, 2, n)).astype(np.float32)
    exact, is_finite = fold_user_numpy(y, weight, GRAM, INVERSE, 3.0)
    found, is_exact = fold_user(y, weight, GRAM, INVERSE, 3.0)
    assert is_finite
    assert is_exact
    assert found.dtype == exact.dtype == np.float32
    assert np.abs(found - exact).max() <= 1e-5 * max(np.abs(exact).max(), 1e-30)


def test_hand_computed_solution() -> None:
    """One factor: `x = Σ c·p·y / (G + Σ α|w|·y²)`."""
    y, weight = np.array([[2], [1]], np.float32), np.array([0.5, -1], np.float32)
    gram, inverse = np.array([[6]], np.float32), np.array([[1 / 6]], np.float32)
    for form in (fold_user, fold_user_numpy):
        found, is_exact = form(y, weight, gram, inverse, 2.0)
        assert is_exact
        np.testing.assert_allclose(found, 2 * 2 / (6 + 4 + 2), rtol=1e-6)


def test_what_does_not_converge_is_solved_directly() -> None:
    """Weights far beyond those of events: one item outweighs all others by nine orders of magnitude."""
    rng = np.random.default_rng(4)
    y = np.vstack([FACTORS[:100], 1e3 * rng.standard_normal((30, N_FACTORS))]).astype(np.float32)
    weight = np.exp(rng.uniform(-20, 20, 130)).astype(np.float32)
    _, is_exact = fold_user(y, weight, GRAM, INVERSE, 3.0)
    model = ALSModel(y, np.asfortranarray(GRAM), 3.0, 45.0, ALSConfig().event_weights.as_array())
    expected, _ = fold_user_numpy(y, weight, GRAM, INVERSE, 3.0)
    found = model.fold_in(np.arange(130, dtype=np.int32), weight)
    assert np.isfinite(found).all()
    if not is_exact:
        np.testing.assert_array_equal(found, expected)
