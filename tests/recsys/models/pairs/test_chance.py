from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recsys.models.pairs.chance import cautious_lift, is_no_chance, lowest_mean


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0.01, 1))
def test_significant_tests_equal_a_loop(p_values: list[float], false_share: float) -> None:
    n_tests = len(p_values) + 3
    limits = [p for p in p_values if p * n_tests <= false_share * sum(other <= p for other in p_values)]
    expected = [p <= max(limits, default=-1) for p in p_values]
    assert is_no_chance(np.array(p_values), n_tests, false_share).tolist() == expected


@given(st.floats(0.5, 500), st.floats(1e-9, 0.5))
def test_the_lower_end_is_that_of_a_poisson_mean(count: float, error_rate: float) -> None:
    low = float(lowest_mean(np.array([count]), error_rate)[0])
    assert low == pytest.approx(stats.chi2.ppf(error_rate, 2 * count) / 2, rel=1e-6)


def test_a_cautious_lift_is_the_quantile_of_its_posterior() -> None:
    for count, expected in ((5.0, 1e-4), (40.0, 3.0), (2.5, 0.5)):
        found = float(cautious_lift(np.array([count]), np.array([expected]))[0])
        assert found == pytest.approx(stats.gamma.ppf(0.05, count + 1) / (expected + 1))


@given(st.floats(1, 1e6), st.floats(1e-12, 1e6))
def test_few_baskets_never_have_a_large_lift(count: float, expected: float) -> None:
    lift = float(cautious_lift(np.array([count]), np.array([expected]))[0])
    assert 0 < lift < count + 1
    assert lift < (count + 1) / (expected + 1)
    more = float(cautious_lift(np.array([2 * count]), np.array([2 * expected]))[0])
    assert more > lift or count < expected, "twice the baskets at the same lift are more evidence"
