"""The scan of codes and the products of halves: the compiled loops beside their NumPy forms, and their bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.kernels.compiled import IS_COMPILED
from recsys.kernels.nearest import half_products, half_products_numpy, scan_codes, scan_codes_numpy
from recsys.search.coded_vectors import CodedVectors

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.skipif(not IS_COMPILED, reason="nothing is compiled")
@given(st.integers(0, 90), st.integers(1, 20), st.sampled_from([None, 0.0, 0.2, 1.0]), st.floats(0, 3), seeds)
def test_both_forms_keep_the_same_vectors(n: int, k: int, share: float | None, spread: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = (rng.standard_normal((n, 5)) * np.exp(spread * rng.standard_normal((n, 1)))).astype(np.float32)
    vectors = vectors[np.argsort(-np.linalg.norm(vectors, axis=1), kind="stable")]
    coded = CodedVectors.of(vectors, rng.permutation(n), -1 if seed % 2 else 0.1)
    query = rng.integers(-8191, 8192, 5).astype(np.int16)
    unit = float(rng.uniform(1e-4, 1))
    length = unit * float(np.linalg.norm(query.astype(np.float64)))
    allowed = np.empty(0, np.bool_) if share is None else rng.random(n) < share
    asked = (coded.code, coded.scale, coded.error, coded.length, coded.row, query, unit, 0.01, length, k, allowed)
    expected, was_complete = scan_codes_numpy(*asked)
    for loop in (scan_codes, scan_codes.py_func):  # type: ignore[attr-defined]
        found, is_complete = loop(*asked)
        np.testing.assert_array_equal(found, expected)
        assert (found.dtype, is_complete) == (np.int32, was_complete)


@given(st.integers(1, 40), st.integers(1, 9), seeds)
def test_halves_are_multiplied_as_numbers_of_single_precision(n: int, n_factors: int, seed: int) -> None:
    """Of every size that a half can have, those below the normal ones included."""
    rng = np.random.default_rng(seed)
    exponent = rng.integers(-24, 15, (n, n_factors))
    vectors = (rng.uniform(-1, 1, (n, n_factors)) * np.exp2(exponent)).astype(np.float16)
    rows, query = rng.permutation(n).astype(np.int32)[: n // 2], rng.standard_normal(n_factors).astype(np.float32)
    exact = vectors[rows].astype(np.float64) @ query
    size = np.abs(vectors[rows].astype(np.float64)) @ np.abs(query)
    for form in (half_products, half_products_numpy):
        found = form(vectors.view(np.int16), rows, query)
        assert found.dtype == np.float32
        assert (np.abs(found - exact) <= 1e-6 * size).all()
