"""Gamma-gamma: a hand-computed value, simulated buyers and degenerate shops."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.segments.gamma_gamma import GammaGamma, fit_gamma_gamma


def test_a_mean_is_shrunk_to_that_of_the_shop() -> None:
    model = GammaGamma(p=2.0, q=3.0, gamma=1.0, unit=10.0)
    # 10 · 2 · (1 + n·z/10) / (2·n + 2): the shop's mean is 10, and 4 orders of 30 give 10 · 2 · 13 / 10 = 26
    assert model.expected_price(np.array([0.0, 4.0]), np.array([0.0, 30.0])).tolist() == pytest.approx([10.0, 26.0])


def test_simulated_buyers_are_found_again() -> None:
    rng, n_users = np.random.default_rng(3), 5000
    n = rng.integers(1, 12, n_users)
    rate = rng.gamma(4.0, 1 / 15.0, n_users)
    mean = rng.gamma(6.0 * n, 1 / rate) / n
    model = fit_gamma_gamma(n.astype(np.float64), mean)
    later = rng.gamma(6.0, 1 / rate)
    predicted = model.expected_price(n.astype(np.float64), mean)
    assert predicted.mean() == pytest.approx(later.mean(), rel=0.05)
    assert np.abs(predicted - 6.0 / rate).mean() < np.abs(mean - 6.0 / rate).mean(), "closer than the plain mean"


@pytest.mark.parametrize("prices", [[], [0.0, 0.0]])
def test_without_prices_nothing_is_fitted(prices: list[float]) -> None:
    assert not fit_gamma_gamma(np.ones(len(prices)), np.array(prices)).is_fitted


@pytest.mark.parametrize("prices", [[5.0], [5.0, 5.0, 5.0], [1e-6, 1e9]])
def test_shops_of_a_few_orders_get_finite_prices(prices: list[float]) -> None:
    model = fit_gamma_gamma(np.ones(len(prices)), np.array(prices))
    found = model.expected_price(np.ones(len(prices)), np.array(prices))
    assert np.isfinite(found).all()
    assert (found > 0).all()
