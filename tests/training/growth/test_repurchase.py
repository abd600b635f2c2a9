from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.growth.test_cohorts import MONDAY, days_of
from training.growth.periods import Observation
from training.growth.repurchase import repurchase, returned_by


def test_planted_returns() -> None:
    """Of eight, four return after ten days; the others are followed for 20 and more days, and nobody returns."""
    visits = days_of(*((f"u{n}", n) for n in range(8)), *((f"u{n}", n + 10) for n in range(4)), ("u0", 20))
    found = repurchase(visits, Observation(MONDAY, MONDAY + timedelta(days=28)))
    assert (found.n_people, found.rate.value, found.median_days) == (8, 0.5, 10)
    assert found.days == (10,)
    assert found.within[7].value == 0
    assert found.within[14].value == 0.5
    assert 30 not in found.within, "nobody was followed for so long"


def test_who_has_just_come_does_not_lower_the_curve() -> None:
    """Everyone returns after ten days, and nine of ten came less than ten days before the end."""
    visits = days_of(("old", 0), ("old", 10), *((f"u{n}", 21) for n in range(9)))
    found = repurchase(visits, Observation(MONDAY, MONDAY + timedelta(days=28)))
    assert found.rate.value == 0.1
    assert found.curve[-1].value == 1


def test_nobody() -> None:
    found = repurchase(days_of(), Observation(MONDAY, MONDAY + timedelta(days=28)))
    assert (found.n_people, found.days, found.within, found.median_days) == (0, (), {}, None)


WAITED = st.lists(st.tuples(st.integers(1, 20), st.booleans()), min_size=1, max_size=40)


@settings(max_examples=80)
@given(WAITED)
def test_the_curve_is_the_product_of_those_who_stay(waited: list[tuple[int, bool]]) -> None:
    days = np.array([day for day, _ in waited])
    is_again = np.array([again for _, again in waited])
    at, curve = returned_by(days, is_again)
    left = 1.0
    for day, share in zip(at, curve, strict=True):
        at_risk = sum(each >= day for each, _ in waited)
        left *= 1 - sum(each == day and again for each, again in waited) / at_risk
        assert share.value == pytest.approx(1 - left)
        assert -1e-12 <= share.low <= share.value + 1e-12
        assert share.value <= share.high + 1e-12 <= 1 + 2e-12
    assert list(at) == sorted({day for day, again in waited if again})


def test_without_censoring_the_curve_is_the_share() -> None:
    days, curve = returned_by(np.array([1, 2, 2, 9]), np.ones(4, np.bool_))
    assert days.tolist() == [1, 2, 9]
    assert [share.value for share in curve] == [0.25, 0.75, 1.0]


def test_greenwood_by_hand() -> None:
    """S = .75, Σ d ÷ n(n − d) = 1 ÷ 12: log(−log S) ± 1.96 · √(1 ÷ 12) ÷ |log S|."""
    _, (share,) = returned_by(np.array([3, 5, 5, 5]), np.array([True, False, False, False]))
    width = 1.959964 * (1 / 12) ** 0.5 / -np.log(0.75)
    assert share.low == pytest.approx(1 - 0.75 ** np.exp(-width))
    assert share.high == pytest.approx(1 - 0.75 ** np.exp(width))
