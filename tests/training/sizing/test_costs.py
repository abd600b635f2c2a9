from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.errors import DataError
from training.sizing.costs import SIZES, Curve, fit, measured_costs

SHOPS = [(2e5, 3e4, 6e4), (2e6, 3e4, 6e4), (6e5, 1e4, 6e4), (6e5, 1e5, 6e4), (6e5, 3e4, 2e4), (2e7, 1e6, 2e6)]


def points(*factors: float) -> list[dict[str, float]]:
    fixed, *others = factors
    return [
        {**dict(zip(SIZES, shop, strict=True)), "s": fixed + sum(a * b for a, b in zip(others, shop, strict=True))}
        for shop in SHOPS
    ]


@given(st.tuples(st.floats(1, 100), *(st.floats(1e-6, 1e-3) for _ in SIZES)))
def test_a_sum_is_found_again(factors: tuple[float, ...]) -> None:
    curve = fit(points(*factors), "s")
    assert (curve.fixed, curve.per_event, curve.per_item, curve.per_user) == pytest.approx(factors, rel=1e-3)
    assert curve.error < 1e-3


def test_a_cost_grows_with_the_named_sizes_alone() -> None:
    curve = fit(points(2, 1e-5, 1e-4, 1e-5), "s", ["items"])
    assert (curve.per_event, curve.per_user) == (0, 0)
    assert curve.per_item > 1e-4, "items grow with the others in these shops"
    assert curve.largest == {"items": SHOPS[-1][1]}


def test_no_cost_falls_with_size() -> None:
    measured = [{**point, "s": 100 - point["events"] / 1e6} for point in points(0, 0, 0, 0)]
    curve = fit(measured, "s")
    assert min(curve.fixed, curve.per_event, curve.per_item, curve.per_user) >= 0
    assert curve.error > 0.01, "the error says how badly it fits"


def test_points_without_the_cost_are_left_out() -> None:
    some = points(1, 1e-5, 0, 0)
    curve = fit([*some, {"events": 1e9, "items": 1e8, "users": 1e8}], "s")
    assert curve.largest == dict(zip(SIZES, SHOPS[-1], strict=True))
    with pytest.raises(DataError, match="make curves"):
        fit(some, "other")


def test_a_shop_is_beyond_what_was_measured_on_its_largest_axis() -> None:
    curve = Curve(1, 0, 0, 0, 0, {"events": 100.0, "items": 10.0, "users": 10.0})
    assert curve.beyond({"events": 50, "items": 10, "users": 1}) == 1
    assert curve.beyond({"events": 200, "items": 70, "users": 1}) == 7


def test_the_costs_of_this_release_are_right_within_their_error() -> None:
    costs = measured_costs()
    assert {"training, s", "training, MB", "bundle, MB", "server, MB", "for_you, ms"} <= costs.curves.keys()
    for name, curve in costs.curves.items():
        assert curve.error < 1, name
        assert curve.at({"events": 1e6, "items": 5e4, "users": 1e5}) > 0
    assert all(value > 0 for value in costs.constants.values())
