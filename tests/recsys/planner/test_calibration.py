from __future__ import annotations

import msgspec
import numpy as np
import pytest
from scipy.optimize import minimize

from recsys.planner.calibration import (
    MAX_PROBABILITY,
    N_FEATURES,
    RIDGE,
    Calibration,
    ListCurve,
    calibration_error,
    features,
    fit_curve,
    fit_logistic,
)


def test_logistic_regression_is_the_minimum_of_its_loss() -> None:
    rng = np.random.default_rng(0)
    x = np.hstack([np.ones((2000, 1)), rng.normal(size=(2000, 3))])
    truth = np.array([-2.0, 1.0, 0.5, 0.0])
    y = rng.random(2000) < 1 / (1 + np.exp(-x @ truth))

    def loss(w: np.ndarray) -> float:
        return float(np.logaddexp(0, x @ w).sum() - (x @ w)[y].sum() + RIDGE / 2 * (w[1:] ** 2).sum())

    best = minimize(loss, np.zeros(4), tol=1e-10).x
    assert fit_logistic(x, y) == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize("y", [[], [False] * 50, [True] * 50])
def test_one_kind_of_outcome_gives_finite_weights(y: list[bool]) -> None:
    weights = fit_logistic(np.ones((len(y), N_FEATURES)), np.array(y, np.bool_))
    assert np.isfinite(weights).all()


def test_the_curve_by_hand() -> None:
    raw = np.repeat([0.3, 0.1, 0.2, 0.4], 100)
    bought = np.repeat([False, False, True, True], 100)
    curve = fit_curve((0.0,), raw, bought)
    # blocks: {.1: 0}, {.2, .3: 1/2}, {.4: 1}, each shrunk by one message of the rate 1/2
    assert curve.raw == pytest.approx([0.1, 0.25, 0.4])
    assert curve.probability == pytest.approx([0.5 / 101, 0.5, 100.5 / 101])
    assert (curve.messages, curve.rate) == (400, 0.5)


@pytest.mark.parametrize("n_bought", [0, 1, 20])
def test_a_few_purchases_change_all_odds_by_one_factor(n_bought: int) -> None:
    raw = np.random.default_rng(0).uniform(0.01, 0.3, 1000)
    curve = fit_curve((0.0,), raw, np.arange(1000) < n_bought)
    p = Calibration(("a",), (curve,), 7).message_probability(raw[:, None])[:, 0]
    assert p.mean() == pytest.approx((n_bought + 0.5) / 1001, rel=0.02)
    assert (np.diff(p[np.argsort(raw)]) > 0).all(), "the order stays"
    assert p.min() > 0
    odds = p / (1 - p) / (raw / (1 - raw))
    assert odds == pytest.approx(np.full(1000, odds[0]), rel=0.05)


def test_the_curve_corrects_probabilities_that_are_too_high() -> None:
    rng = np.random.default_rng(0)
    raw = rng.random(20_000)
    bought = rng.random(20_000) < raw**2
    curve = fit_curve((0.0,), raw, bought)
    calibration = Calibration(("a",), (curve,), 7)
    fresh = rng.random(20_000)
    p = calibration.message_probability(fresh[:, None])[:, 0]
    assert np.abs(p - fresh**2).mean() < 0.02
    assert calibration_error(p, rng.random(20_000) < fresh**2) < 0.02
    assert calibration_error(fresh, rng.random(20_000) < fresh**2) > 0.1


def test_items_of_each_list_have_its_weights() -> None:
    score = np.array([[[0.5, 0.1], [0.5, 0.0]]])
    price = np.array([[[1.0, 4.0], [1.0, 1e9]]])
    x = features(score, price, np.array([3]), np.array([2.0]))
    assert x.shape == (1, 2, 2, N_FEATURES)
    logs = np.log([0.1, 2, 4, 3, 4, 1000])
    assert x[0, 0, 1].tolist() == pytest.approx([1, logs[0], logs[0] ** 2 / 10, *logs[1:5]])
    assert x[0, 1, 1, -1] == pytest.approx(logs[5])
    curves = (ListCurve((-1.0, 0, 0, 0, 0, 0, 0)), ListCurve((50.0, 0, 0, 0, 0, 0, 0)))
    p = Calibration(("a", "b"), curves, 7).item_probability(x)
    assert p[0, 0].tolist() == pytest.approx([1 / (1 + np.e)] * 2)
    assert p[0, 1].tolist() == [MAX_PROBABILITY] * 2


def test_nothing_was_learned_from_nothing() -> None:
    curve = fit_curve((0.5,), np.empty(0), np.empty(0, np.bool_))
    assert curve == ListCurve((0.5,))
    assert calibration_error(np.empty(0), np.empty(0, np.bool_)) == 0


def test_it_is_the_same_after_json() -> None:
    calibration = Calibration(("a",), (fit_curve((0.1, 0.2), np.array([0.1, 0.9]), np.array([False, True])),), 7)
    assert msgspec.json.decode(msgspec.json.encode(calibration), type=Calibration) == calibration
