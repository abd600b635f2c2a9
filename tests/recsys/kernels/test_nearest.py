"""The scan of codes and the products of halves: the compiled loops beside their NumPy forms, and their bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.kernels.compiled import IS_COMPILED
from recsys.kernels.nearest import BLOCK, best_products, best_products_numpy, scan_codes, scan_codes_numpy
from recsys.search.coded_vectors import CodedVectors

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.skipif(not IS_COMPILED, reason="nothing is compiled")
@given(st.integers(0, 3 * BLOCK), st.integers(1, 20), st.sampled_from([None, 0.0, 0.2, 1.0]), st.floats(0, 3), seeds)
def test_both_forms_keep_the_same_vectors(n: int, k: int, share: float | None, spread: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = (rng.standard_normal((n, 5)) * np.exp(spread * rng.standard_normal((n, 1)))).astype(np.float32)
    vectors = vectors[np.argsort(-np.linalg.norm(vectors, axis=1), kind="stable")]
    coded = CodedVectors.of(vectors, rng.permutation(n), -1 if seed % 2 else 0.1)
    query = rng.standard_normal(5).astype(np.float32)
    allowed = np.empty(0, np.bool_) if share is None else rng.random(n) < share
    asked = (coded.code, coded.scale, coded.error, coded.length, coded.row, query, k, allowed)
    expected, was_complete = scan_codes_numpy(*asked)
    for loop in (scan_codes, scan_codes.py_func):  # type: ignore[attr-defined]
        found, is_complete = loop(*asked)
        np.testing.assert_array_equal(found, expected)
        assert (found.dtype, is_complete) == (np.int32, was_complete)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 50), seeds)
def test_halves_are_multiplied_as_numbers_of_single_precision(n: int, n_factors: int, k: int, seed: int) -> None:
    """Of every size that a half can have, those below the normal ones included."""
    rng = np.random.default_rng(seed)
    exponent = rng.integers(-24, 15, (n, n_factors))
    vectors = (rng.uniform(-1, 1, (n, n_factors)) * np.exp2(exponent)).astype(np.float16)
    rows, query = rng.permutation(n).astype(np.int32)[: n // 2], rng.standard_normal(n_factors).astype(np.float32)
    exact = vectors.astype(np.float64) @ query
    size = np.abs(vectors.astype(np.float64)) @ np.abs(query)
    for form in (best_products, best_products_numpy):
        found, best = form(vectors.view(np.int16), rows, query, k)
        assert (found.dtype, best.dtype) == (np.float32, np.int32)
        assert len(best) == len(found) == min(k, len(rows))
        assert set(best.tolist()) <= set(rows.tolist())
        assert (np.abs(found - exact[best]) <= 1e-6 * size[best]).all()
        assert (np.diff(found) <= 0).all()
        left_out = np.setdiff1d(rows, best)
        assert not len(best) or (exact[left_out] <= found[-1] + 1e-6 * size[left_out]).all()


def test_equal_products_are_ordered_by_row() -> None:
    vectors = np.array([[-1, 0], [0, 0], [2, 0], [0, 0], [2, 1], [-0.0, 0]], np.float16)
    rows, query = np.array([5, 4, 3, 2, 1, 0], np.int32), np.array([1, 0], np.float32)
    for form in (best_products, best_products_numpy):
        found, best = form(vectors.view(np.int16), rows, query, 9)
        assert best.tolist() == [2, 4, 1, 3, 5, 0]
        assert found.tolist() == [2, 2, 0, 0, 0, -1]
