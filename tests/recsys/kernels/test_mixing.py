"""The parts of the sources: the compiled loop beside its NumPy form."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.kernels.mixing import mix_parts, mix_parts_numpy


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
