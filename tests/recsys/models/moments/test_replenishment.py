from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from recsys.data.catalog import read_catalog
from recsys.data.dataset import DAY_S, PURCHASE, Dataset
from recsys.data.history import HistoryConfig, build_history
from recsys.models.moments.replenishment import (
    N_FEATURES,
    NO_REPLENISHMENT,
    ReplenishmentConfig,
    features,
    fit_replenishment,
    own_gaps,
)
from recsys.models.temporal.repeat import PurchaseStats, RepeatConfig, RepeatModel, fit_repeat, purchase_stats
from tests.shop import at, dataset_of

NOW = 1_700_000_000


def planted(seed: int = 0) -> Dataset:
    """200 users who buy soap every 10 ± 1 days, and rice every 30 ± 3 days."""
    rng, rows = np.random.default_rng(seed), []
    for user in range(200):
        for item, mean, spread in (("soap", 10, 1), ("rice", 30, 3)):
            days = np.cumsum(np.maximum(rng.normal(mean, spread, 210 // mean), 1)) - rng.uniform(0, mean)
            rows += [
                {"user_id": f"u{user}", "item_id": item, "timestamp": at(round(NOW - day * DAY_S))}
                for day in days
                if day > 0
            ]
    return dataset_of(rows, [{"item_id": "soap", "category": ["A", "S"]}, {"item_id": "rice", "category": ["A", "R"]}])


DATASET = planted()
REPEAT = fit_repeat(DATASET, read_catalog(DATASET.catalog), RepeatConfig())
HISTORY = build_history(DATASET, HistoryConfig())


MODEL = fit_replenishment(HISTORY, REPEAT, PURCHASE, DATASET.end, ReplenishmentConfig())


def own_of(user: int, now: int, repeat: RepeatModel = REPEAT) -> PurchaseStats:
    return purchase_stats(repeat, HISTORY.of(user, now), now)


def test_the_probability_is_that_of_a_purchase_within_the_horizon() -> None:
    """At moments that the model has not seen, the mean probability is the share of purchases."""
    moments = [DATASET.end - round(days * DAY_S) for days in (45, 52, 61)]
    expected, bought = [], []
    for moment in moments:
        for user in range(200):
            own = own_of(user, moment)
            expected += MODEL.probability(REPEAT, own, moment).tolist()
            later = HISTORY.of(user, moment + 7 * DAY_S)
            bought += np.isin(own.item_idx, later.item_idx[later.timestamp > moment]).tolist()
    probability, label = np.array(expected), np.array(bought)
    assert MODEL.is_fitted
    assert probability.mean() == pytest.approx(label.mean(), abs=0.05)
    assert label[probability > 0.7].mean() > 0.75
    assert label[probability < 0.3].mean() < 0.25


def test_it_rises_until_the_item_is_due() -> None:
    last = own_of(0, DATASET.end)
    soap = DATASET.items.row("soap")
    position = int(np.flatnonzero(last.item_idx == soap)[0])
    days = [
        float(MODEL.probability(REPEAT, own_of(0, moment), moment)[position])
        for moment in (int(last.last[position]) + round(day * DAY_S) for day in (0.2, 4, 8))
    ]
    assert days[0] < days[1] <= days[2] + 0.05


def test_the_variation_of_the_gaps_is_found() -> None:
    assert MODEL.variation == pytest.approx(0.1, abs=0.03)
    own = own_of(3, DATASET.end)
    by_item = dict(zip(own.item_idx.tolist(), MODEL.spread_days(own).tolist(), strict=True))
    assert by_item[DATASET.items.row("soap")] == pytest.approx(1, abs=0.4)


def test_the_spread_by_hand() -> None:
    """Gaps of 8 and 12 days around 10, and three gaps' worth of half an interval."""
    own = PurchaseStats(
        np.array([0], np.int32),
        np.ones(1, np.float32),
        np.array([10.0], np.float32),
        np.array([0, 3]),
        np.array([NOW - 20 * DAY_S, NOW - 12 * DAY_S, NOW]),
        np.array([NOW]),
    )
    position, gap = own_gaps(own)
    assert (position.tolist(), gap.tolist()) == ([0, 0], [8.0, 12.0])
    expected = np.sqrt((4 + 4 + 3 * 25) / 5)
    assert NO_REPLENISHMENT.spread_days(own).tolist() == pytest.approx([expected])


def test_without_enough_to_learn_from_the_normal_distribution_of_the_gap_decides() -> None:
    model = fit_replenishment(HISTORY, REPEAT, PURCHASE, DATASET.end, ReplenishmentConfig(min_bought=10**6))
    assert not model.is_fitted
    own = own_of(5, DATASET.end)
    elapsed, spread = (DATASET.end - own.last) / DAY_S, np.maximum(model.spread_days(own), 0.5)
    before, after = (norm.cdf((days - own.interval_days) / spread) for days in (elapsed, elapsed + 7))
    expected = REPEAT.repeat_probability(own) * (after - before) / np.maximum(1 - before, 1e-9)
    np.testing.assert_allclose(model.probability(REPEAT, own, DATASET.end), expected, rtol=1e-9)


def test_the_learned_probability_is_the_logistic_of_the_features() -> None:
    own = own_of(7, DATASET.end)
    table = features(own, DATASET.end)
    assert table.shape == (len(own.item_idx), N_FEATURES)
    assert (table[:, 0] == 1).all()
    expected = expit(table @ MODEL.coefficients)
    np.testing.assert_array_equal(MODEL.probability(REPEAT, own, DATASET.end), expected)


def test_an_empty_shop_has_no_model_and_an_empty_history_no_features() -> None:
    empty = dataset_of()
    model = fit_replenishment(build_history(empty, HistoryConfig()), REPEAT, PURCHASE, 0, ReplenishmentConfig())
    assert (model.is_fitted, model.variation) == (False, NO_REPLENISHMENT.variation)
    own = purchase_stats(REPEAT, HISTORY.of(-1, NOW), NOW)
    assert features(own, NOW).shape == (0, N_FEATURES)
    assert MODEL.probability(REPEAT, own, NOW).shape == model.spread_days(own).shape == (0,)
