"""Effects of variants, compared with the package tea-tasting and with simulations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from recsys.experiments.effects import EffectEstimate, compare_variants, metric_columns, moments_of, pooled

Floats = npt.NDArray[np.float64]

# control, treatment, difference with interval, lift with interval, p-value, as computed by tea-tasting 1.14.0 on the
# table of `shoppers` with `Mean` and `RatioOfMeans`.
TEA_TASTING = {
    "ctr": (
        *(0.12950971322849214, 0.12854030501089325, -0.0009694082175988883, -0.03984666226258383, 0.03790784582738605),
        *(-0.007485216308745657, -0.26575769205584554, 0.34163556796923467, 0.9609248925960783),
    ),
    "ctr_cuped": (
        *(0.1295136563419778, 0.12853561005546724, -0.0009780462865105755, -0.03978956449778435, 0.0378334719247632),
        *(-0.0075516846187098086, -0.2654386834892666, 0.3408733029692135, 0.9605101012015584),
    ),
    "conversion": (
        *(0.45622119815668205, 0.453551912568306, -0.002669285588376036, -0.1011776030208858, 0.09583903184413373),
        *(-0.005850858309874751, -0.19947053337142284, 0.23459854649144463, 0.9575395104810716),
    ),
    "revenue": (
        *(18.429723502304146, 18.71516393442623, 0.28544043212208337, -4.584550842404246, 5.155431706648413),
        *(0.015488047451520215, -0.21859550316359944, 0.31969546974952, 0.9083148111174758),
    ),
    "revenue_cuped": (
        *(18.421481809036848, 18.724936871251387, 0.3034550622145389, -4.559176048261928, 5.1660861726910055),
        *(0.016472891017142555, -0.21752434095184703, 0.3204463630595369, 0.9024104061593148),
    ),
    "average_order": (
        *(26.840604026845636, 27.619959677419356, 0.77935565057372, -2.647440177453133, 4.206151478600573),
        *(0.029036442316805466, -0.09240859374707489, 0.16673206943183883, 0.6549897699242384),
    ),
}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def shoppers() -> tuple[npt.NDArray[np.bool_], dict[str, Floats]]:
    """400 shoppers by arithmetic, the same on every machine: who is in the treatment, and the columns by metric."""
    i = np.arange(400)
    views = 1 + i * 31 % 9
    clicks = np.minimum(views, (i * 17 % 5) * (i % 3) % 4)
    orders = (i * i % 11 < 4) * (1 + i % 2)
    before = (i * 53 % 101) / 4.0
    revenue = orders * (5 + i * 29 % 37) + before * 0.5 * (orders > 0)
    views_before = 1 + i * 13 % 7
    clicks_before = np.minimum(views_before, i * 17 % 5 % 3)
    return i * 7919 % 13 % 2 == 1, {
        "ctr": metric_columns(clicks, views),
        "ctr_cuped": metric_columns(clicks, views, clicks_before, views_before),
        "conversion": metric_columns(orders > 0),
        "revenue": metric_columns(revenue),
        "revenue_cuped": metric_columns(revenue, None, before),
        "average_order": metric_columns(revenue, orders),
    }


def estimate(columns: Floats, treated: npt.NDArray[np.bool_]) -> EffectEstimate:
    return compare_variants(moments_of(columns[~treated]), moments_of(columns[treated]))


@pytest.mark.parametrize("metric", TEA_TASTING)
def test_results_equal_those_of_tea_tasting(metric: str) -> None:
    treated, columns = shoppers()
    effect = estimate(columns[metric], treated)
    found = (
        *(effect.control, effect.treatment, effect.difference, *effect.difference_interval()),
        *(effect.lift, *effect.lift_interval(), effect.p_value()),
    )
    assert np.array(found, float) == pytest.approx(TEA_TASTING[metric], rel=1e-9, abs=1e-9)


def test_pooled_moments_are_those_of_all_shoppers() -> None:
    treated, columns = shoppers()
    both = pooled(moments_of(columns["ctr_cuped"][~treated]), moments_of(columns["ctr_cuped"][treated]))
    whole = moments_of(columns["ctr_cuped"])
    np.testing.assert_allclose(both.mean, whole.mean)
    np.testing.assert_allclose(both.covariance, whole.covariance)
    assert both.n == 400


def test_cuped_removes_the_variance_that_the_covariate_explains(rng: np.random.Generator) -> None:
    before = rng.normal(10, 3, 20_000)
    after = before + rng.normal(0, 1, 20_000)
    treated = rng.random(20_000) < 0.5
    plain, adjusted = (estimate(metric_columns(after, None, x), treated) for x in (None, before))
    assert adjusted.variance_reduction == pytest.approx(0.9, abs=0.01)
    assert adjusted.difference_error == pytest.approx(plain.difference_error * np.sqrt(0.1), rel=0.03)
    assert plain.variance_reduction == 0


def test_a_planted_lift_is_found_within_its_interval(rng: np.random.Generator) -> None:
    views = rng.poisson(5, 40_000) + 1
    treated = rng.random(40_000) < 0.5
    clicks = rng.binomial(views, np.where(treated, 0.11, 0.10))
    effect = estimate(metric_columns(clicks, views), treated)
    low, high = effect.lift_interval()
    assert low < 0.1 < high
    assert low > 0


def test_a_metric_without_positive_values_has_no_lift() -> None:
    columns = metric_columns(np.zeros(10))
    effect = estimate(columns, np.arange(10) < 5)
    assert np.isnan(effect.log_ratio)
    assert effect.difference == 0


def test_many_looks_are_computed_at_once() -> None:
    treated, columns = shoppers()
    control, treatment = (moments_of(columns["revenue_cuped"][chosen]) for chosen in (~treated, treated))
    stacked = [
        type(each)(*(np.stack([part, part]) for part in (each.n, each.mean, each.covariance)))
        for each in (control, treatment)
    ]
    assert compare_variants(*stacked).p_value().tolist() == [compare_variants(control, treatment).p_value()] * 2
