"""Confidence sequences and p-values under repeated looks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from recsys.experiments.effects import compare_variants
from recsys.experiments.sequences import anytime_p, e_value, half_width, holm, sample_ratio_p
from tests.recsys.experiments.simulated_shop import SimulatedShop, daily_moments, simulated_shop

N_SIMULATIONS = 2000
MIN_SHOPPERS = 100
HIGHEST_RATE = 0.06
METRICS = ("ctr", "conversion", "revenue_per_shopper", "average_order")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.fixture(scope="module")
def shop() -> SimulatedShop:
    return simulated_shop(1500, np.random.default_rng(13))


def upper_bound(n_false: int) -> float:
    """The upper end of the one-sided exact 95 % interval of a rate."""
    return float(stats.beta.ppf(0.95, n_false + 1, N_SIMULATIONS - n_false))


def looks(
    shop: SimulatedShop, metric: str, first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The p-value at each daily look of each simulation; 1 while a variant has too few shoppers."""
    control, treatment = (daily_moments(shop, metric, chosen) for chosen in (first, second))
    effect = compare_variants(control, treatment)
    p_values = anytime_p(effect.log_ratio, effect.log_ratio_error, np.log(1.05))
    is_early = np.minimum(control.n, treatment.n) < MIN_SHOPPERS
    return np.where(is_early | np.isnan(p_values), 1.0, p_values)


@pytest.mark.parametrize("metric", METRICS)
def test_daily_looks_at_equal_variants_rarely_find_a_difference(shop: SimulatedShop, metric: str) -> None:
    """2,000 random assignments of the same shoppers, each looked at on 28 days."""
    treated = np.random.default_rng(1).random((N_SIMULATIONS, len(shop.first_day))) < 0.5
    p_values = looks(shop, metric, (~treated).astype(float), treated.astype(float))
    assert upper_bound(int((p_values < 0.05).any(axis=1).sum())) <= HIGHEST_RATE


def test_a_test_for_one_look_would_find_differences_far_too_often(shop: SimulatedShop) -> None:
    """The same looks by Welch's test: the simulation can fail."""
    treated = np.random.default_rng(1).random((N_SIMULATIONS, len(shop.first_day))) < 0.5
    groups = [daily_moments(shop, "ctr", chosen.astype(float)) for chosen in (~treated, treated)]
    with np.errstate(divide="ignore", invalid="ignore"):
        p_values = compare_variants(*groups).p_value()
    is_late = np.minimum(groups[0].n, groups[1].n) >= MIN_SHOPPERS
    assert ((p_values < 0.05) & is_late).any(axis=1).mean() > 0.12


def test_three_equal_variants_rarely_beat_the_control(shop: SimulatedShop) -> None:
    """Holm's adjustment keeps the probability of any false claim."""
    drawn = np.random.default_rng(2).integers(0, 4, (N_SIMULATIONS, len(shop.first_day)))
    control = (drawn == 0).astype(float)
    smallest = np.min([looks(shop, "ctr", control, (drawn == k).astype(float)) for k in (1, 2, 3)], axis=0)
    assert upper_bound(int((smallest * 3 < 0.05).any(axis=1).sum())) <= HIGHEST_RATE


def test_sequence_and_p_value_agree(rng: np.random.Generator) -> None:
    estimate, error = rng.normal(0, 3, 1000), rng.uniform(0.1, 2, 1000)
    excludes = np.abs(estimate) > half_width(error, 0.05, 0.7)
    np.testing.assert_array_equal(anytime_p(estimate, error, 0.7) < 0.05, excludes)


def test_a_sequence_is_wider_than_an_interval_for_one_look_and_narrows() -> None:
    errors = np.array([1.0, 0.5, 0.1, 0.01])
    widths = half_width(errors, 0.05, 0.1)
    assert (widths > stats.norm.isf(0.025) * errors).all()
    assert (np.diff(widths) < 0).all()


def test_evidence_is_one_on_average_without_an_effect(rng: np.random.Generator) -> None:
    assert e_value(rng.normal(0, 1, 200_000), 1.0, 0.5).mean() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([0.03], (0.03,)),
        ([0.01, 0.04], (0.02, 0.04)),
        ([0.5, 0.9, 0.001], (1.0, 1.0, 0.003)),
        ([], ()),
    ],
)
def test_holm(p_values: list[float], adjusted: tuple[float, ...]) -> None:
    assert holm(p_values) == pytest.approx(adjusted)


def test_holm_keeps_what_is_unknown() -> None:
    first, second = holm([0.01, float("nan")])
    assert first == pytest.approx(0.02)
    assert np.isnan(second)


def test_right_shares_rarely_look_wrong_at_any_daily_look(rng: np.random.Generator) -> None:
    shares = np.array([0.5, 0.3, 0.2])
    counts = rng.multinomial(200, shares, (2000, 40)).cumsum(axis=1)
    assert (sample_ratio_p(counts, shares) < 0.05).any(axis=1).mean() < 0.05


def test_lost_shoppers_are_noticed(rng: np.random.Generator) -> None:
    """A variant that loses 6 % of its shoppers is noticed among 40,000."""
    counts = rng.multinomial(1000, [0.515, 0.485], (200, 40)).cumsum(axis=1)
    assert (sample_ratio_p(counts, [0.5, 0.5])[:, -1] < 0.001).mean() > 0.9
