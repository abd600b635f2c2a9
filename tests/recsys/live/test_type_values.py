from __future__ import annotations

import numpy as np
import pytest

from recsys.live.type_values import MIN_SHARE, TypeMeans, TypeShares

TYPES = np.array([0, 0, 2, -1, 2, 2], np.int32)
VALUES = np.array([1.0, 3.0, 4.0, 100.0, 5.0, 9.0], np.float32)


def test_the_mean_of_a_type_by_hand() -> None:
    means = TypeMeans(VALUES, TYPES)
    assert means.of(0) == pytest.approx(2.0)
    assert means.of(2) == pytest.approx(6.0)
    for type_ in (-1, 1, 3, 99):
        assert means.of(type_) == pytest.approx(VALUES.mean())
    assert TypeMeans(np.stack([VALUES, -VALUES], 1), TYPES).of(0).tolist() == [2.0, -2.0]
    assert TypeMeans(VALUES, TYPES, 7.0).of(1) == 7.0
    assert TypeMeans(VALUES[:0], TYPES[:0]).of(0) == 1.0


def test_the_expected_share_is_the_median_of_the_type() -> None:
    shares = TypeShares(VALUES, TYPES)
    assert shares.expected(2) == 5.0
    assert shares.expected(0) == 3.0
    assert shares.expected(-1) == 0.0
    assert shares.expected(5) == MIN_SHARE
    assert shares.within(2.0, 2) == pytest.approx(2 / 20)
    assert shares.within(2.0, 5) == 1.0
    assert shares.within(2.0, -1) == 0.0
