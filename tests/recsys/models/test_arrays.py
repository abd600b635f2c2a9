"""Shared array functions: by hand, against loops, and by their properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from recsys.models.arrays import count_distinct_users, normalize_rows, shrink

FLOATS = st.floats(-100, 100, width=32)


@given(arrays.arrays(np.float32, st.tuples(st.integers(0, 6), st.integers(1, 4)), elements=FLOATS))
def test_rows_have_length_one_and_keep_their_direction_or_are_zero(vectors: np.ndarray) -> None:
    unit = normalize_rows(vectors)
    length = np.linalg.norm(vectors, axis=1)
    assert unit.dtype == np.float32
    assert unit.shape == vectors.shape
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), length > 1e-6, atol=1e-5)
    np.testing.assert_allclose(
        unit * length[:, None], np.where(length[:, None] > 1e-6, vectors, 0), rtol=1e-3, atol=1e-4
    )


def test_a_rate_by_hand() -> None:
    """Two of four, and a prior of one tenth that is worth six observations."""
    assert shrink(2, 4, 0.1, 6.0) == pytest.approx((2 + 0.6) / 10)


@given(st.integers(0, 50), st.integers(0, 50), st.floats(0, 1), st.floats(0.01, 100))
def test_a_rate_lies_between_the_observed_and_the_prior_one(hits: int, misses: int, prior: float, kappa: float) -> None:
    total = hits + misses
    rate = float(shrink(hits, total, prior, kappa))
    observed = hits / total if total else prior
    assert min(observed, prior) - 1e-9 <= rate <= max(observed, prior) + 1e-9
    if not total:
        assert rate == pytest.approx(prior)


PURCHASES = st.lists(st.tuples(st.integers(-2, 5), st.integers(0, 3)), max_size=30)


@given(PURCHASES)
def test_distinct_users_equal_sets_of_users(purchases: list[tuple[int, int]]) -> None:
    users = np.array([user for user, _ in purchases], np.int64)
    items = np.array([item for _, item in purchases], np.int32)
    expected = [len({user for user, item in purchases if item == each}) for each in range(4)]
    assert count_distinct_users(users, items, 4).tolist() == expected


def test_no_items_have_no_users() -> None:
    nothing = np.empty(0, np.int32)
    assert count_distinct_users(nothing, nothing, 0).tolist() == []
