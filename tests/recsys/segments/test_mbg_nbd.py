"""MBG/NBD: hand-computed values, the published formula, simulated buyers, and small shops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import hyp2f1

from recsys.segments.mbg_nbd import MBGNBD, BuyerCounts, _loss, count_orders, fit_mbg_nbd
from tests.recsys.segments.histories import stats_of

MODEL = MBGNBD(0.5, 2.0, 1.5, 3.0)


def _counts(*rows: tuple[float, float, float]) -> BuyerCounts:
    columns = np.array(rows, np.float64).reshape(-1, 3).T
    return BuyerCounts(*columns)


def simulate(n: int, model: MBGNBD, weeks: float, rng: np.random.Generator) -> tuple[BuyerCounts, list[list[float]]]:
    """Buyers of the model's own story, who all begin at 0, and the weeks of all their orders in twice the time."""
    counts, orders = [], []
    for rate, stop in zip(rng.gamma(model.r, 1 / model.alpha, n), rng.beta(model.a, model.b, n), strict=True):
        at, times = 0.0, [0.0]
        while at <= 2 * weeks and rng.random() >= stop:
            at += rng.exponential(1 / max(rate, 1e-9))
            times.append(at)
        times = [each for each in times if each <= 2 * weeks]
        seen = [each for each in times if each <= weeks]
        counts.append((len(seen) - 1, seen[-1], weeks))
        orders.append(times)
    return _counts(*counts), orders


def test_a_buyer_of_one_order_by_hand() -> None:
    # P(alive) = 1 / (1 + 1.5/3 · ((2 + 8)/(2 + 0))^0.5); no order in 6 weeks: ((2 + 8)/(2 + 14))^0.5
    one = _counts((0, 0, 8))
    alive = 1 / (1 + 0.5 * 5**0.5)
    assert MODEL.alive(one).tolist() == pytest.approx([alive])
    assert MODEL.orders_within(one, 6).tolist() == pytest.approx([alive * (1 - 0.625**0.5)])


@given(st.integers(0, 60), st.floats(0, 50), st.floats(0.1, 50), st.floats(0.5, 52))
def test_expected_orders_are_those_of_the_published_formula(
    repeats: int, last: float, silence: float, weeks: float
) -> None:
    r, alpha, a, b = MODEL.r, MODEL.alpha, MODEL.a, MODEL.b
    last = last if repeats else 0.0
    counts, x, known = _counts((repeats, last, last + silence)), repeats, last + silence
    z = weeks / (alpha + known + weeks)
    inner = ((alpha + known) / (alpha + known + weeks)) ** (r + x) * hyp2f1(r + x, b + x + 1, a + b + x, z)
    alive = 1 + a / (b + x) * ((alpha + known) / (alpha + last)) ** (r + x)
    published = (a + b + x) / (a - 1) * (1 - inner) / alive
    assert MODEL.expected_orders(counts, weeks).tolist() == pytest.approx([published], rel=1e-3, abs=1e-9)


@given(st.tuples(*[st.floats(-2, 2)] * 4))
def test_the_gradient_is_that_of_the_likelihood(logs: tuple[float, ...]) -> None:
    counts = _counts((0, 0, 8), (3, 4, 9), (7, 20, 21))
    at = np.array(logs)
    numeric = [(_loss(at + step, counts)[0] - _loss(at - step, counts)[0]) / 2e-5 for step in 1e-5 * np.eye(4)]
    assert _loss(at, counts)[1].tolist() == pytest.approx(numeric, abs=1e-5, rel=1e-4)


def test_the_parameters_of_simulated_buyers_predict_their_future() -> None:
    truth, weeks = MBGNBD(1.2, 4.0, 1.5, 6.0), 40.0
    counts, orders = simulate(4000, truth, weeks, np.random.default_rng(2))
    fitted = fit_mbg_nbd(counts)
    later = np.array([sum(weeks < each <= weeks + 8 for each in times) for times in orders])
    assert fitted.orders_within(counts, 8).mean() == pytest.approx((later > 0).mean(), rel=0.06)
    assert fitted.expected_orders(counts, 8).mean() == pytest.approx(later.mean(), rel=0.08)
    assert fitted.r / fitted.alpha == pytest.approx(truth.r / truth.alpha, rel=0.1)
    assert fitted.a / (fitted.a + fitted.b) == pytest.approx(truth.a / (truth.a + truth.b), rel=0.15)


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 300), st.floats(0, 1), st.floats(0.01, 600)), min_size=1, max_size=12))
def test_shops_of_a_few_buyers_get_probabilities(rows: list[tuple[int, float, float]]) -> None:
    counts = _counts(*((x, share * known if x else 0.0, known) for x, share, known in rows))
    model = fit_mbg_nbd(counts)
    assert model.is_fitted
    found = model.orders_within(counts, 4)
    assert ((found >= 0) & (found <= 1)).all()
    assert (model.expected_orders(counts, 52) >= 0).all()


def test_without_buyers_nothing_is_fitted() -> None:
    assert not fit_mbg_nbd(_counts()).is_fitted
    assert not fit_mbg_nbd(_counts((0, 0, 0))).is_fitted, "known for no time"


def test_orders_of_one_day_count_once() -> None:
    counts = count_orders(stats_of([[14.2, 14.1, 7, 0.5], [], [3]]))
    assert counts.repeats.tolist() == [2, 0]
    assert counts.last.tolist() == pytest.approx([13.7 / 7, 0])
    assert counts.known.tolist() == pytest.approx([14.2 / 7, 3 / 7])
