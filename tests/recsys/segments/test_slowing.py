"""The alarm for users who order less often: planted halves are found, constant rates are not."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.segments.config import SlowingConfig
from recsys.segments.slowing import is_slowing
from tests.recsys.segments.histories import poisson_ages, stats_of

CONFIG = SlowingConfig()


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        (list(range(240, 59, -6)), 1.0),  # 31 orders in 180 days, none in the last 60
        (list(range(240, 0, -6)), 0.0),
        ([200, 150, 100], 0.0),  # three orders: nothing in 60 days is no surprise
        ([10, 5], np.nan),  # nothing to compare with
        ([], np.nan),
    ],
)
def test_an_alarm_needs_half_the_rate_and_evidence(ages: list[float], expected: float) -> None:
    assert is_slowing(stats_of([ages]), CONFIG).tolist() == pytest.approx([expected], nan_ok=True)


def test_a_planted_change_is_found_and_a_planted_nothing_is_not() -> None:
    rng, n = np.random.default_rng(1), 2000
    rates = rng.uniform(0.1, 0.3, n)
    constant = poisson_ages(n, rates, 240, rng)
    slowed = [ages[(ages >= 60) | (rng.random(len(ages)) < 0.2)] for ages in constant]
    assert np.nanmean(is_slowing(stats_of(constant), CONFIG)) <= CONFIG.max_p_value
    assert np.nanmean(is_slowing(stats_of(slowed), CONFIG)) > 0.8


def test_a_buyer_known_for_less_than_six_months_is_compared_with_those_days() -> None:
    every_two_days = [age for age in range(100, 0, -2) if age >= 60]
    assert is_slowing(stats_of([every_two_days]), CONFIG).tolist() == [1.0]
