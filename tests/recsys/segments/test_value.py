"""Recency, frequency and money; users of high value; the share bought at a discount."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.segments.config import RFMConfig, ValueConfig
from recsys.segments.order_stats import OrderStats
from recsys.segments.value import (
    ValueLimits,
    discount_share,
    fit_value_limits,
    is_high_value,
    measure_rfm,
    rfm_scores,
)
from tests.recsys.segments.histories import NOW, stats_of, visits_of

NAN = float("nan")


def _scores(stats: OrderStats, rfm: RFMConfig) -> list[list[float]]:
    limits = fit_value_limits(stats, rfm, ValueConfig(), has_discounts=False)
    return [scores.tolist() for scores in rfm_scores(measure_rfm(stats, rfm.window_days), limits)]


def test_quantiles_give_scores_of_equal_size() -> None:
    n = 100
    stats = stats_of([[float(user)] * 1 for user in range(n)], prices=[[1.0 + user] for user in range(n)])
    recency, frequency, monetary = _scores(stats, RFMConfig())
    assert np.bincount(np.array(recency, np.int64)).tolist() == [0, 20, 20, 20, 20, 20]
    assert recency[0] == 5, "the latest order has the highest score"
    assert set(frequency) == {1.0}, "who all order once are equal"
    assert monetary[-1] == 5


def test_fixed_limits_replace_quantiles() -> None:
    stats = stats_of([[10, 5], [40], [400, 100], []], prices=[[30, 30], [5], [NAN, NAN], []])
    config = RFMConfig(recency_limits=(7.0, 50.0), frequency_limits=(1.0,), monetary_limits=(50.0,))
    recency, frequency, monetary = _scores(stats, config)
    assert recency == pytest.approx([3, 2, 1, NAN], nan_ok=True)
    assert frequency == pytest.approx([2, 1, 1, NAN], nan_ok=True), "an order of 400 days ago is outside the window"
    assert monetary == pytest.approx([2, 1, NAN, NAN], nan_ok=True)


def test_high_value_is_the_top_by_money_or_frequent_and_large() -> None:
    nan_price = [NAN] * 3
    orders = [[300.0], [20, 10, 1], [60, 30, 1], [20, 10, 1], [5.0], [20, 10, 1], []]
    prices: list[list[float]] = [[1000], [50, 50, 50], [50, 50, 50], [5, 5, 5], [10], nan_price, []]
    stats = stats_of(orders, prices=prices)
    limits = ValueLimits(top_money=900.0, mean_order=20.0)
    found = is_high_value(stats, measure_rfm(stats, 365.0), limits, ValueConfig())
    assert found.tolist() == pytest.approx([1, 1, 0, 0, 0, NAN, NAN], nan_ok=True)


def test_a_fifth_is_of_high_value_by_default() -> None:
    n = 200
    stats = stats_of([[float(user + 1)] for user in range(n)], prices=[[10.0 + user] for user in range(n)])
    limits = fit_value_limits(stats, RFMConfig(), ValueConfig(), has_discounts=False)
    found = is_high_value(stats, measure_rfm(stats, 365.0), limits, ValueConfig())
    assert found.sum() == n / 5


def test_discounts_are_unknown_without_list_prices_or_prices() -> None:
    visits = visits_of([[3, 2], [1], [4]], prices=[[8, 10], [NAN], [9.6]], list_price=10.0)
    stats = OrderStats(visits, np.full(3, NAN), NOW)
    assert discount_share(stats, ValueLimits(has_discounts=True)).tolist() == pytest.approx([0.5, NAN, 0], nan_ok=True)
    assert np.isnan(discount_share(stats, ValueLimits(has_discounts=False))).all()


def test_a_shop_without_orders_has_no_limits() -> None:
    stats = stats_of([[], []])
    limits = fit_value_limits(stats, RFMConfig(), ValueConfig(), has_discounts=False)
    assert (len(limits.recency), len(limits.monetary), limits.mean_order) == (0, 0, 0.0)
    assert np.isnan(rfm_scores(measure_rfm(stats, 365.0), limits)[0]).all()
    assert np.isnan(is_high_value(stats, measure_rfm(stats, 365.0), limits, ValueConfig())).all()
