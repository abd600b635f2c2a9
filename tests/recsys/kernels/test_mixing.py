"""The parts of the sources: the compiled loop beside its NumPy form."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.kernels.mixing import (
    largest_parts,
    largest_parts_numpy,
    mix_parts,
    mix_parts_numpy,
    mix_scores,
    mix_scores_numpy,
    top_gains,
    top_gains_numpy,
)


@pytest.mark.parametrize("again", [-1, 0, 2])
@pytest.mark.parametrize("size", [[], [0], [1], [4, 0, 7], [0, 0]], ids=str)
@pytest.mark.parametrize("zero", [0.0, 0.5, 1.0])
def test_both_forms_are_equal(again: int, size: list[int], zero: float) -> None:
    rng = np.random.default_rng(7)
    sizes, n = np.array(size, np.int64), sum(size)
    scores = (rng.random((3, n)) * (rng.random((3, n)) >= zero)).astype(np.float32)
    weights = rng.random((3, len(sizes))) * (rng.random((3, len(sizes))) > 0.3)
    asked = (scores, weights, sizes, again, 0.3, 0.4, 0.7)
    expected = mix_parts_numpy(*asked)
    np.testing.assert_allclose(mix_parts(*asked), expected, rtol=1e-12)
    np.testing.assert_allclose(mix_parts.py_func(*asked), expected, rtol=1e-12)  # type: ignore[attr-defined]
    if again >= 0 and n:
        assert expected[again].sum() <= 0.4 * weights[again].sum() + 1e-9


@pytest.mark.parametrize("again", [-1, 0, 2])
@pytest.mark.parametrize("size", [[], [0], [1], [4, 0, 7], [0, 0]], ids=str)
def test_sums_of_parts_are_equal(again: int, size: list[int]) -> None:
    rng = np.random.default_rng(8)
    sizes, n = np.array(size, np.int64), sum(size)
    scores = (rng.random((3, n)) * (rng.random((3, n)) >= 0.4)).astype(np.float32)
    weights = rng.random((3, len(sizes))) * (rng.random((3, len(sizes))) > 0.3)
    asked = (scores, weights, sizes, again, 0.3, 0.4, 0.7, rng.random(n))
    expected = mix_scores_numpy(*asked)
    np.testing.assert_allclose(mix_scores(*asked), expected, rtol=1e-12)
    np.testing.assert_allclose(mix_scores.py_func(*asked), expected, rtol=1e-12)  # type: ignore[attr-defined]


@pytest.mark.parametrize("k", [1, 3, 20])
@pytest.mark.parametrize("seed", range(6))
def test_gains_of_the_best_are_equal(k: int, seed: int) -> None:
    """Scores have many ties, also between hits and others, and some candidates are not listed."""
    rng = np.random.default_rng(seed)
    sizes = np.array([0, 1, 5, 40, 2], np.int64)
    score = rng.integers(-1, 6, sizes.sum()).astype(np.float64)
    is_hit, gain = rng.random(len(score)) < 0.4, 1 / np.arange(1, k + 1)
    asked = (score, sizes, is_hit, gain, 1e-6)
    expected = top_gains_numpy(*asked)
    np.testing.assert_allclose(top_gains(*asked), expected, rtol=1e-12)
    np.testing.assert_allclose(top_gains.py_func(*asked), expected, rtol=1e-12)  # type: ignore[attr-defined]


def test_a_hit_is_behind_the_others_of_its_score() -> None:
    score, hits = np.array([1.0, 1.0, 0.0]), np.array([True, False, True])
    assert top_gains(score, np.array([3]), hits, np.array([1.0, 0.5]), 1e-6).tolist() == [0.5]


@pytest.mark.parametrize(("n_sources", "n"), [(0, 0), (1, 0), (1, 3), (4, 50)])
def test_the_first_of_the_largest_parts_is_found(n_sources: int, n: int) -> None:
    parts = np.random.default_rng(n).choice([0.0, 0.5, 1.0], (n_sources, n))
    expected = [max(range(n_sources), key=lambda source: (parts[source, idx], -source)) for idx in range(n)]
    for form in (largest_parts, largest_parts.py_func, largest_parts_numpy):  # type: ignore[attr-defined]
        found = form(parts)
        assert found.dtype == np.int64
        assert found.tolist() == expected
