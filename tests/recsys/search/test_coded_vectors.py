from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.search.coded_vectors import CodedVectors


def by_length(vectors: np.ndarray) -> np.ndarray:
    return vectors[np.argsort(-np.linalg.norm(vectors, axis=1), kind="stable")].astype(np.float32)


@settings(max_examples=60)
@given(
    n=st.integers(1, 700),
    k=st.integers(1, 40),
    share=st.sampled_from([None, 0.05, 0.5, 1.0]),
    spread=st.floats(0, 3),
    size=st.sampled_from([1e-12, 1.0, 1e6]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_nearest_are_never_left_out(
    n: int, k: int, share: float | None, spread: float, size: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = by_length(size * rng.standard_normal((n, 8)) * np.exp(spread * rng.standard_normal((n, 1))))
    row = rng.permutation(n)
    query = rng.standard_normal(8).astype(np.float32)
    allowed = None if share is None else rng.random(n) < share
    near = CodedVectors.of(vectors, row, -1).near(query, k, allowed)
    assert near is not None
    assert near.dtype == np.int32
    assert len(set(near.tolist())) == len(near)
    score = np.full(n, -np.inf)
    score[row] = vectors.astype(np.float64) @ query
    if allowed is not None:
        assert allowed[near].all()
        score[~allowed] = -np.inf
    best = np.argsort(-score, kind="stable")[:k]
    assert set(best[np.isfinite(score[best])].tolist()) <= set(near.tolist())


def test_few_others_are_kept() -> None:
    """Codes err by less than a hundredth of a length."""
    vectors = by_length(np.random.default_rng(1).standard_normal((5000, 64)))
    near = CodedVectors.of(vectors, np.arange(5000), -1).near(vectors[7], 50, None)
    assert near is not None
    assert 50 <= len(near) <= 100


def test_vectors_without_a_code_may_be_the_nearest() -> None:
    vectors = np.array([[4, 0], [0, 3], [2, 0], [0, 1]], np.float32)
    query = np.array([1, 0], np.float32)
    near = CodedVectors.of(vectors, np.arange(4), 0.9).near(query, 2, None)
    assert near is not None
    assert near.tolist() == [0, 2]
    assert CodedVectors.of(vectors, np.arange(4), 2.1).near(query, 2, None) is None
    assert CodedVectors.of(vectors, np.arange(4), 0.9).near(query, 5, None) is None


def test_a_query_of_nothing_finds_everything_or_less() -> None:
    vectors = np.array([[4, 0], [0, 3]], np.float32)
    near = CodedVectors.of(vectors, np.arange(2), -1).near(np.zeros(2, np.float32), 1, None)
    assert near is not None
    assert near.tolist() == [0, 1]
