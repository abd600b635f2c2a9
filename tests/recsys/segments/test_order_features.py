"""Features of purchase histories, by hand, and equal for one user and for many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.segments.order_features import FEATURES, order_features
from tests.recsys.segments.histories import stats_of

AGES = st.lists(st.lists(st.floats(0, 500), max_size=6), min_size=1, max_size=5)


def test_the_features_of_a_buyer_by_hand() -> None:
    found = dict(zip(FEATURES, order_features(stats_of([[34, 20, 6]], [[2]], [[10, 20, 30]]))[0], strict=True))
    assert np.expm1(found["days since the last order"]) == pytest.approx(6)
    assert np.expm1(found["days since the last visit"]) == pytest.approx(2)
    assert np.expm1(found["days since the first order"]) == pytest.approx(34)
    assert np.expm1(found["orders of 28 days"]) == pytest.approx(2)
    assert np.expm1(found["orders, half-life 14 days"]) == pytest.approx(
        0.5 ** (34 / 14) + 0.5 ** (20 / 14) + 0.5 ** (6 / 14)
    )
    assert np.exp(found["mean gap"]) == pytest.approx((14 + 14 + 28) / 3)
    assert np.expm1(found["longest gap"]) == pytest.approx(14)
    assert np.exp(found["recency / longest gap"]) == pytest.approx(7 / 15)
    assert np.expm1(found["mean order"]) == pytest.approx(20)


@given(AGES)
def test_a_user_has_the_same_features_alone(ages: list[list[float]]) -> None:
    together = order_features(stats_of(ages))
    alone = [order_features(stats_of([each])) for each in ages]
    np.testing.assert_array_equal(together, np.concatenate(alone))
    assert np.isfinite(together).all()
