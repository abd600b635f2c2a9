from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given

from recsys.data.catalog import read_catalog
from recsys.data.dataset import PURCHASE, Dataset
from recsys.data.history import HistoryConfig, build_history
from recsys.fitting.engine import Engine
from recsys.models.temporal.repeat import PurchaseStats, RepeatConfig, RepeatModel, fit_repeat, purchase_stats
from tests.recsys.small_shops import CATALOG, shops
from tests.shop import DAY_S, WEEKLY_ITEM, WEEKLY_SHOPPERS, at, dataset_of, moment


def _fit(dataset: Dataset, config: RepeatConfig | None = None) -> RepeatModel:
    return fit_repeat(dataset, read_catalog(dataset.catalog), config or RepeatConfig())


def _own(dataset: Dataset, user: int, now: int, model: RepeatModel) -> PurchaseStats:
    return purchase_stats(model, build_history(dataset, HistoryConfig()).of(user, now).of_type(PURCHASE), now)


def test_hand_computed_intervals_and_rates() -> None:
    """u bought a1 on days 0, 10 and 14, v once: the gaps are 10 and 4 days, one of two buyers came back.

    With nothing else sold the shop's mean gap is 7 days and its rate ½, and every shrinkage pulls to those.
    """
    rows = [{"user_id": "u", "item_id": "a1", "timestamp": at(moment(day))} for day in (0, 10, 14)]
    rows += [{"user_id": "v", "item_id": "a1", "timestamp": at(moment(3))}]
    model = _fit(dataset_of(rows, CATALOG))
    np.testing.assert_allclose(model.interval_days, 7.0, rtol=1e-6)
    np.testing.assert_allclose(model.repeat_rate, 0.5, rtol=1e-6)
    assert model.repeat_share == 1.0


def test_hand_computed_score_of_own_items() -> None:
    rows = [{"user_id": "u", "item_id": "a1", "timestamp": at(moment(day))} for day in (0, 21)]
    dataset = dataset_of(rows, CATALOG)
    model, now = _fit(dataset), moment(28)
    own = _own(dataset, 0, now, model)
    assert own.item_idx.tolist() == [0]
    assert own.n_baskets.tolist() == [2]
    assert own.last.tolist() == [moment(21)]
    rate = model.kernels.rate(np.zeros(2, np.int32), np.array([28, 7]) * DAY_S, np.array([1, 0]))
    np.testing.assert_allclose(own.score, [rate.sum()], rtol=1e-6)
    np.testing.assert_allclose(own.interval_days, 21.0, rtol=1e-6)
    np.testing.assert_allclose(own.elapsed(now), 7 / 21, rtol=1e-6)
    k = model.config.personal_shrinkage
    np.testing.assert_allclose(model.repeat_probability(own), (1 + k * model.repeat_rate[0]) / (1 + k), rtol=1e-6)


def test_two_lines_of_one_basket_are_one_purchase() -> None:
    twice = {"user_id": "u", "item_id": "a1", "basket_id": "one", "timestamp": at(moment(3))}
    rows = [twice, twice, {**twice, "basket_id": "two", "timestamp": at(moment(9))}]
    dataset = dataset_of(rows, CATALOG)
    model = _fit(dataset)
    own = _own(dataset, 0, moment(10), model)
    assert own.n_baskets.tolist() == [2]
    rate = model.kernels.rate(np.zeros(2, np.int32), np.array([7, 1]) * DAY_S, np.array([1, 0]))
    np.testing.assert_allclose(own.score, [rate.sum()], rtol=1e-6)


@given(shops())
def test_equals_counting_one_by_one(dataset: Dataset) -> None:
    config = RepeatConfig()
    model, catalog = _fit(dataset, config), read_catalog(dataset.catalog)
    bought: dict[tuple[int, int], list[float]] = defaultdict(list)
    for user, item, when in zip(
        dataset.events.user_idx, dataset.events.item_idx, dataset.events.timestamp, strict=True
    ):
        if user >= 0:
            bought[user, item].append(when / DAY_S)
    n_items = len(dataset.items)
    gap_sum, n_gaps, n_buyers, n_again = np.zeros((4, n_items))
    for (_, item), days in bought.items():
        gaps = [gap for gap in np.diff(sorted(days)) if gap >= 0.5]
        gap_sum[item] += sum(gaps)
        n_gaps[item] += len(gaps)
        n_buyers[item] += 1
        n_again[item] += bool(gaps)

    def shrunk(total: np.ndarray, count: np.ndarray, s: float, default: float) -> np.ndarray:
        overall = total.sum() / count.sum() if count.sum() else default
        means = np.full(n_items, overall)
        for item, type_ in enumerate(catalog.item_type):
            if type_ >= 0:
                alike = catalog.item_type == type_
                means[item] = (total[alike].sum() + s * overall) / (count[alike].sum() + s)
        return (total + s * means) / (count + s)

    interval = np.maximum(shrunk(gap_sum, n_gaps, config.interval_shrinkage, 30.0), 0.5)
    np.testing.assert_allclose(model.interval_days, interval, rtol=1e-5)
    rate = shrunk(n_again, n_buyers, config.rate_shrinkage, 0.0)
    np.testing.assert_allclose(model.repeat_rate, rate, rtol=1e-5, atol=1e-7)


@given(shops())
def test_rates_are_probabilities_and_intervals_are_positive(dataset: Dataset) -> None:
    model = _fit(dataset)
    assert ((model.repeat_rate >= 0) & (model.repeat_rate <= 1)).all()
    assert (model.interval_days >= 0.5).all()
    assert 0 <= model.repeat_share <= 1
    for user in range(len(dataset.users)):
        own = _own(dataset, user, dataset.end, model)
        assert (np.diff(own.item_idx) > 0).all()
        assert (own.score > 0).all()
        assert (own.interval_days > 0).all()
        assert (own.elapsed(dataset.end) >= 0).all()
        chance = model.repeat_probability(own)
        assert ((chance >= 0) & (chance <= 1)).all()


def test_a_weekly_habit_is_found(shop_engine: Engine) -> None:
    now, row = shop_engine.dataset_info.end, shop_engine.items.row(WEEKLY_ITEM)
    for user_id in WEEKLY_SHOPPERS:
        user = shop_engine.users.row(user_id)
        own = purchase_stats(shop_engine.repeat, shop_engine.history.of(user, now).of_type(PURCHASE), now)
        place = own.item_idx.tolist().index(row)
        assert own.interval_days[place] == pytest.approx(7.0, abs=1.5)
