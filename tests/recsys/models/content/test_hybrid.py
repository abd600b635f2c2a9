from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.models.content.hybrid import HybridConfig, complete_factors, impute_factors

HALF_PRECISION = 3e-3


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 0, length, 1)).astype(np.float32)


def test_a_cold_item_gets_the_factors_of_similar_items() -> None:
    """Cosines 1 and ½ to the fourth power: the cold third item's factors are `(1·f₀ + f₁/16) / (1 + 1/16)`."""
    content = np.array([[1, 0], [0.5, np.sqrt(0.75)], [1, 0]], np.float32)
    factors = np.array([[1, 0], [0, 1], [0, 0]], np.float32)
    n_buyers = np.array([1000, 1000, 0], np.int32)
    vectors = complete_factors(factors, content, n_buyers, HybridConfig())
    np.testing.assert_allclose(vectors[2], np.array([16, 1]) / 17, atol=HALF_PRECISION)
    np.testing.assert_array_equal(vectors[:2], factors[:2])


def _random(seed: int, n_items: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    content = _unit(rng.standard_normal((n_items, 5)) * (rng.random((n_items, 1)) > 0.1))
    n_buyers = rng.integers(0, 30, n_items).astype(np.int32)
    factors = rng.standard_normal((n_items, 4)).astype(np.float32)
    factors[n_buyers == 0] = 0
    return factors, content, n_buyers


@given(st.integers(0, 10_000), st.integers(1, 25))
def test_factors_equal_the_formula_item_by_item(seed: int, n_items: int) -> None:
    factors, content, n_buyers = _random(seed, n_items)
    config = HybridConfig(n_neighbors=n_items)
    before = factors.copy(), content.copy(), n_buyers.copy()
    vectors = complete_factors(factors, content, n_buyers, config)
    k, warm = config.warm_buyers, [j for j in range(n_items) if n_buyers[j] >= config.warm_buyers]
    for i in range(n_items):
        expected = factors[i].astype(np.float64)
        if n_buyers[i] < 4 * k and content[i].any() and warm:
            weight = {j: max(float(content[i] @ content[j]), 0.0) ** config.similarity_power for j in warm if j != i}
            total = max(sum(weight.values()), 1e-9)
            lent = sum((w * factors[j].astype(np.float64) for j, w in weight.items()), np.zeros(4)) / total
            expected = (n_buyers[i] * expected + k * lent) / (n_buyers[i] + k)
        np.testing.assert_allclose(vectors[i], expected, atol=2e-2)
    for old, new in zip(before, (factors, content, n_buyers), strict=True):
        np.testing.assert_array_equal(old, new)


@given(st.integers(0, 10_000), st.integers(1, 25))
def test_a_new_item_gets_the_vector_of_one_without_buyers(seed: int, n_items: int) -> None:
    factors, content, n_buyers = _random(seed, n_items)
    config = HybridConfig(n_neighbors=5)
    fitted = complete_factors(factors, content, n_buyers, config)
    cold = np.flatnonzero((n_buyers == 0) & (np.linalg.norm(content, axis=1) > 0))
    lent = impute_factors(factors, content, n_buyers, content[cold], config)
    assert lent.shape == (len(cold), factors.shape[1])
    np.testing.assert_allclose(lent, fitted[cold], atol=1e-6)
