from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.planner.asking import AskRule, fit_rule


def test_by_hand() -> None:
    # the frequent shoppers' last message is worth much, so the list adds little; those long gone add nothing
    last = np.repeat([5.0, 1.0, 0.0], 100)
    orders = np.repeat([8, 1, 0], 100)
    days = np.repeat([1.0, 20.0, 400.0], 100)
    gain = np.repeat([0.01, 0.5, 0.0], 100)
    rule = fit_rule(last, orders, days, gain, 1.01)
    assert rule.wants(last, orders, days).tolist() == [False] * 100 + [True] * 100 + [False] * 100
    strict = fit_rule(last, orders, days, gain, 0.5)
    assert strict.wants(last, orders, days).tolist() == [True] * 200 + [False] * 100
    assert rule.wants(np.array([0.0]), np.array([3]), np.array([10.0])).tolist() == [True], "a group without a past"


def test_nothing_is_skipped_unless_it_is_allowed() -> None:
    values = np.ones(5)
    assert fit_rule(values, values, values, values, 0.0).skipped == ()
    assert fit_rule(*(np.empty(0) for _ in range(4)), 1.0) == AskRule()
    assert AskRule().wants(values, values, values).all()


@given(st.integers(0, 10_000), st.floats(0, 50))
def test_the_past_loses_no_more_than_allowed(seed: int, allowed: float) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 200))
    last = np.where(rng.random(n) < 0.3, 0.0, rng.exponential(1, n))
    orders, days, gain = rng.integers(0, 10, n), rng.exponential(60, n), rng.exponential(1, n)
    rule = fit_rule(last, orders, days, gain, allowed)
    asked = rule.wants(last, orders, days)
    assert gain[~asked].sum() <= allowed + 1e-9
