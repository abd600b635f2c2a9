"""Power under daily looks, compared with simulations of the same rule."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.experiments.effects import MetricMoments, compare_variants
from recsys.experiments.power import SequentialPlan, daily_power, days_needed, rate_variation
from recsys.experiments.sequences import anytime_p

N_SIMULATIONS = 10_000


def simulated_power(plan: SequentialPlan, rate: float, effect: float, n_days: int) -> float:
    """Share of experiments over real counts of shoppers and orders that find the effect by the last day."""
    rng = np.random.default_rng(7)
    moments = []
    for shoppers, each in zip(plan.shoppers_per_day, (rate, rate * (1 + effect)), strict=True):
        n = np.broadcast_to(np.arange(1.0, n_days + 1) * shoppers, (N_SIMULATIONS, n_days))
        buyers = rng.binomial(int(shoppers), each, (N_SIMULATIONS, n_days)).cumsum(axis=1)
        mean = np.stack([buyers / n, np.ones_like(n), np.zeros_like(n), np.ones_like(n)], axis=2)
        covariance = np.zeros((N_SIMULATIONS, n_days, 4, 4))
        covariance[..., 0, 0] = mean[..., 0] * (1 - mean[..., 0]) * n / (n - 1)
        moments.append(MetricMoments(n, mean, covariance))
    found = compare_variants(*moments)
    alpha = plan.alpha / plan.n_comparisons
    p_values = anytime_p(found.log_ratio, found.log_ratio_error, np.log1p(plan.minimum_effect))
    is_late = np.minimum(moments[0].n, moments[1].n) >= plan.min_shoppers
    is_right = (found.log_ratio > 0) == (effect > 0) if effect else True
    return float(((p_values < alpha) & is_right & is_late).any(axis=1).mean())


@pytest.mark.parametrize(
    ("shoppers", "rate", "effect", "n_days"),
    [((500.0, 500.0), 0.1, 0.1, 28), ((900.0, 100.0), 0.2, 0.15, 21), ((400.0, 400.0), 0.3, -0.05, 28)],
)
def test_stated_power_is_that_of_simulated_experiments(
    shoppers: tuple[float, float], rate: float, effect: float, n_days: int
) -> None:
    plan = SequentialPlan(shoppers, rate_variation(rate), minimum_effect=0.1, min_shoppers=1000, is_rate=True)
    stated = daily_power(plan, effect, n_days)[-1]
    assert 0.2 < stated < 0.98
    assert stated == pytest.approx(simulated_power(plan, rate, effect, n_days), abs=0.02)


def test_without_an_effect_the_power_is_the_rate_of_false_claims() -> None:
    plan = SequentialPlan((500, 500), rate_variation(0.1), minimum_effect=0.1)
    stated = daily_power(plan, 0.0, 28)[-1]
    assert stated == pytest.approx(simulated_power(plan, 0.1, 0.0, 28), abs=0.01)
    assert stated < 0.05


def test_power_grows_with_days_effect_and_cuped_and_falls_with_comparisons() -> None:
    plan = SequentialPlan((300, 300), 3.0, minimum_effect=0.1)
    daily = daily_power(plan, 0.1, 30)
    assert (np.diff(daily) >= 0).all()
    base = daily[-1]
    assert daily_power(plan, 0.15, 30)[-1] > base
    assert daily_power(SequentialPlan((300, 300), 3.0, 0.1, variance_reduction=0.4), 0.1, 30)[-1] > base
    assert daily_power(SequentialPlan((300, 300), 3.0, 0.1, n_comparisons=3), 0.1, 30)[-1] < base


def test_days_needed_is_the_first_day_with_the_power() -> None:
    plan = SequentialPlan((800, 800), 3.0, minimum_effect=0.1)
    days = days_needed(plan, 0.1, 0.8, 120)
    assert days is not None
    power = daily_power(plan, 0.1, days)
    assert power[-1] >= 0.8 > power[-2]
    assert days_needed(plan, 0.001, 0.8, 60) is None


def test_no_look_is_made_before_the_variants_have_their_shoppers() -> None:
    plan = SequentialPlan((10, 10), 1.0, minimum_effect=0.1, min_shoppers=100)
    assert daily_power(plan, 5.0, 9).tolist() == [0.0] * 9
    assert daily_power(plan, 5.0, 10)[-1] > 0.9
