from __future__ import annotations

import pytest

from benchmarks.sizing import LARGE, PER_SHOP, curve_points, fit_lists, spark_points
from training.sizing.costs import fit


def test_points_of_the_curves_have_their_sizes() -> None:
    values = {"events": 1e5, "items": 1e4, "users": 1e4, "training, s": 50.0}
    results = [{"part": "scale", "name": "a", "values": values}, {"part": "exponents", "name": "b", "values": {}}]
    assert list(curve_points(results)) == [values]
    curve = fit([values, LARGE], "training, s")
    assert curve.largest == {"events": 2e7, "items": 1e6, "users": 2e6}
    assert {name for name in PER_SHOP if name in LARGE} == {"training, s", "training, MB", "bundle, MB"}


def test_trainings_on_spark_have_the_sizes_of_their_shop() -> None:
    used = {"processor, s": 1000.0, "s": 900.0}
    results = [
        {"part": "training", "name": "spark, 5,000,000 events", "values": used},
        {"part": "training", "name": "local, 5,000,000 events", "values": used},
        {"part": "stages, s", "name": "spark, 5,000,000 events", "values": {}},
    ]
    (point,) = spark_points(results)
    assert point == pytest.approx({"events": 5e6, "items": 2.5e5, "users": 5e5, "spark, s": 1000.0})


def test_lists_are_those_of_users_with_ten_events_and_grow_with_the_catalog_alone() -> None:
    usual = [{"events": 1e6, "items": items, "users": 1e5, "ms": 2 + items * 1e-5} for items in (1e4, 1e5)]
    new = {"events": 1e6, "items": 1e4, "users": 1e6, "ms": 0.1}
    curve = fit_lists([*usual, new], "ms")
    assert (curve.fixed, curve.per_event, curve.per_item, curve.per_user) == pytest.approx((2, 0, 1e-5, 0))
