"""Who orders again: planted churn is found, planted nothing is not, and the choice is that of the shop's own past."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from recsys.core.metrics import auc
from recsys.segments.churn import ChurnModel, fit_churn, past_moment
from recsys.segments.config import ChurnConfig
from recsys.segments.order_stats import OrderStats
from recsys.segments.visits import Visits
from tests.recsys.segments.histories import NOW, poisson_ages, visits_of

CONFIG = ChurnConfig()
DAYS = 300.0
Ages = list[npt.NDArray[np.float64]]


def _fit(visits: Visits, seed: int = 0) -> ChurnModel:
    return fit_churn(visits, np.full(visits.n_users, np.nan), NOW, CONFIG, np.random.default_rng(seed))


def _stats(visits: Visits) -> OrderStats:
    return OrderStats(visits, np.full(visits.n_users, np.nan), NOW)


def stopped_shop(n: int, rng: np.random.Generator) -> tuple[Ages, npt.NDArray[np.bool_]]:
    """Users who order at their own rate; half of them stop at a random moment and never come back."""
    ages = poisson_ages(n, rng.uniform(0.08, 0.3, n), DAYS, rng)
    stopped = np.arange(n) % 2 == 0
    until = np.where(stopped, rng.uniform(0, DAYS - 60, n), 0)
    return [each[each >= stop] for each, stop in zip(ages, until, strict=True)], stopped & (until > 28)


def test_users_who_stopped_are_found() -> None:
    ages, has_stopped = stopped_shop(1500, np.random.default_rng(7))
    visits = visits_of(ages)
    model, stats = _fit(visits), _stats(visits)
    churn, buyers = 1 - model.repeat_probability(stats), stats.n_orders > 0
    assert model.serves in ("mbg_nbd", "logistic")
    assert auc(churn[buyers & has_stopped], churn[buyers & ~has_stopped]) > 0.95
    assert np.nanmean(churn[has_stopped]) > 0.8
    assert np.nanmean(churn[~has_stopped]) < 0.3
    assert model.evaluation.calibration_error < 0.05


def test_a_sample_of_the_users_teaches_the_same() -> None:
    ages, has_stopped = stopped_shop(1500, np.random.default_rng(7))
    visits = visits_of(ages)
    config, nothing = ChurnConfig(max_users=400), np.full(visits.n_users, np.nan)
    model = fit_churn(visits, nothing, NOW, config, np.random.default_rng(0))
    stats = _stats(visits)
    churn, buyers = 1 - model.repeat_probability(stats), stats.n_orders > 0
    assert model.evaluation.n_buyers <= 400
    assert auc(churn[buyers & has_stopped], churn[buyers & ~has_stopped]) > 0.93


def test_equal_users_of_whom_nobody_stopped_are_not_told_apart() -> None:
    rng = np.random.default_rng(8)
    visits = visits_of(poisson_ages(1500, np.full(1500, 0.1), DAYS, rng))
    model = _fit(visits)
    repeat = model.repeat_probability(_stats(visits))
    truth = 1 - np.exp(-0.1 * CONFIG.horizon_days)
    assert repeat.mean() == pytest.approx(truth, abs=0.02)
    assert repeat.std() < 0.06
    serving = model.evaluation.names.index(model.serves)
    assert model.evaluation.auc_low[serving] < 0.55
    assert model.evaluation.gain_low[serving] <= 0.03


def test_the_choice_does_not_see_the_window_it_is_judged_on() -> None:
    """Later orders change who churned, and nothing about what was predicted before."""
    ages, _ = stopped_shop(600, np.random.default_rng(9))
    visits = visits_of(ages)
    horizon = int(CONFIG.horizon_days * 86_400)
    cut = past_moment(visits, np.full(visits.n_users, np.nan), NOW - horizon, CONFIG.horizon_days)
    assert (cut.stats.visits.at <= NOW - horizon).all()
    later = [user for user, each in enumerate(ages) if ((each < 28) & (each >= 0)).any()]
    buyers = np.flatnonzero(cut.stats.n_orders > 0)
    assert set(buyers[cut.has_ordered]) == set(later) & set(buyers.tolist())


@pytest.mark.parametrize("n_users", [1, 10, 49])
def test_a_small_shop_is_served_by_the_rates_alone(n_users: int) -> None:
    visits = visits_of([[float(age) for age in range(200, user, -20)] for user in range(n_users)])
    model = _fit(visits)
    assert (model.serves, model.evaluation.names, model.logistic.is_fitted) == ("mbg_nbd", (), False)
    repeat = model.repeat_probability(_stats(visits))
    assert ((repeat > 0) & (repeat < 1)).all()


@pytest.mark.parametrize("ages", [[], [[]], [[], [], []]])
def test_without_orders_nothing_is_predicted(ages: list[list[float]]) -> None:
    visits = visits_of(ages)
    model = _fit(visits)
    assert model.serves == ""
    assert np.isnan(model.repeat_probability(_stats(visits))).all()
    assert np.isnan(model.lifetime_value(_stats(visits))).all()


def test_orders_of_one_moment_and_of_a_short_past_are_normal() -> None:
    for ages in ([[0.0]] * 80, [[float(user % 30)] for user in range(300)]):
        visits = visits_of(ages)
        model = _fit(visits)
        repeat = model.repeat_probability(_stats(visits))
        assert np.isnan(repeat).all() or ((repeat >= 0) & (repeat <= 1)).all()


def test_lifetime_value_is_expected_orders_times_their_price() -> None:
    rng = np.random.default_rng(10)
    ages = poisson_ages(400, np.full(400, 0.1), DAYS, rng)
    price = np.where(np.arange(400) % 2, 10.0, 40.0)
    visits = visits_of(ages, prices=[[each] * len(found) for each, found in zip(price, ages, strict=True)])
    value = _fit(visits).lifetime_value(_stats(visits))
    assert np.nanmean(value[1::2]) == pytest.approx(0.1 * 365 * 10, rel=0.15)
    assert np.nanmean(value[::2]) == pytest.approx(0.1 * 365 * 40, rel=0.15)
    assert np.isnan(_fit(visits_of(ages)).lifetime_value(_stats(visits_of(ages)))).all(), "no price is known"


def test_the_same_seed_gives_the_same_model() -> None:
    visits = visits_of(stopped_shop(300, np.random.default_rng(11))[0])
    assert _fit(visits).to_dict() == _fit(visits).to_dict()
