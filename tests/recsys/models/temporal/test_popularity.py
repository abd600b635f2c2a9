from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.dataset import Dataset
from recsys.models.temporal.popularity import (
    MAX_MOMENTUM,
    MOMENTUM_SHRINKAGE,
    REFERENCE_DAYS,
    PopularityConfig,
    count_popularity,
    count_recent,
    fit_popularity,
    momentum,
    move_counts,
)
from tests.recsys.small_shops import CATALOG, shops
from tests.shop import DAY_S, at, dataset_of, moment


def test_share_halves_with_each_half_life() -> None:
    rows = [
        {"user_id": "u", "item_id": "a1", "timestamp": at(moment(28))},
        {"user_id": "v", "item_id": "a1", "timestamp": at(moment(28))},
        {"user_id": "u", "item_id": "a2", "timestamp": at(moment(14))},
        {"user_id": "u", "item_id": "b1", "timestamp": at(moment(0))},
    ]
    model = fit_popularity(dataset_of(rows, CATALOG), PopularityConfig(half_life_days=14.0), moment(28))
    np.testing.assert_allclose(model.share, np.array([2, 0.5, 0.25, 0, 0, 0]) / 2.75, rtol=1e-6)
    assert model.n_buyers.tolist() == [2, 1, 1, 0, 0, 0]
    assert model.is_head.tolist() == [True, False, False, False, False, False]


def test_trend_is_relative_to_the_growth_of_the_shop() -> None:
    """`before` sold 3 and 1, `recent` 1 and 1: each is expected half as often, so 1.5 and 0.5."""
    days = {"a1": (0, 1, 2, 50), "a2": (3, 51)}
    rows = [
        {"user_id": "u", "item_id": item_id, "timestamp": at(moment(day))}
        for item_id, sold in days.items()
        for day in sold
    ]
    config = PopularityConfig(trend_days=28.0, trend_shrinkage=2.0)
    model = fit_popularity(dataset_of(rows, CATALOG), config, moment(52))
    np.testing.assert_allclose(model.trend[:3], [(1 + 2) / (1.5 + 2), (1 + 2) / (0.5 + 2), 1.0], rtol=1e-6)


@given(shops(), st.integers(0, 30))
def test_equals_counting_one_by_one(dataset: Dataset, later: int) -> None:
    config, now = PopularityConfig(), dataset.end + later * DAY_S
    model = fit_popularity(dataset, config, now)
    events, n_items = dataset.events, len(dataset.items)
    weight, sold, buyers = np.zeros(n_items), np.zeros(n_items), [set() for _ in range(n_items)]
    for item, user, basket, when in zip(
        events.item_idx, events.user_idx, events.basket_idx, events.timestamp, strict=True
    ):
        weight[item] += 0.5 ** ((now - when) / DAY_S / config.half_life_days)
        sold[item] += 1
        buyers[item].add(("user", user) if user >= 0 else ("basket", basket))
    expected = weight / weight.sum() if len(events) else np.full(n_items, 1 / n_items)
    np.testing.assert_allclose(model.share, expected, rtol=1e-4, atol=1e-7)
    assert model.n_buyers.tolist() == [len(who) for who in buyers]
    ordered = sorted(range(n_items), key=lambda item: (-sold[item], item))
    head: list[int] = []
    while sold[head].sum() < config.head_share * sold.sum():
        head.append(ordered[len(head)])
    assert np.flatnonzero(model.is_head).tolist() == sorted(head)


@given(shops())
def test_shares_sum_to_one_and_trends_are_positive(dataset: Dataset) -> None:
    model = fit_popularity(dataset, PopularityConfig(), dataset.end)
    assert model.share.sum() == pytest.approx(1.0, abs=1e-5)
    assert (model.trend > 0).all()
    assert np.isfinite(model.trend).all()


def test_momentum_by_hand_and_within_its_bounds() -> None:
    """Two items that sold once a day for 200 days, one of them four times a day in the last week."""
    item = np.array([0] * 200 + [1] * 200 + [1] * 21)
    age = np.concatenate([np.arange(200.0), np.arange(200.0), np.repeat(np.arange(7.0), 3)])
    found = momentum(item.astype(np.int32), age, 3, 7.0)
    late = [np.exp2(-age[item == row] / 7).sum() for row in (0, 1)]
    ever = [np.exp(-age[item == row] / REFERENCE_DAYS).sum() for row in (0, 1)]
    expected = [
        (late[row] + MOMENTUM_SHRINKAGE) / (sum(late) * ever[row] / sum(ever) + MOMENTUM_SHRINKAGE) for row in (0, 1)
    ]
    np.testing.assert_allclose(found, [*expected, 1.0], rtol=1e-5)
    assert found[1] > 1 > found[0]
    rush = momentum(np.array([0] * 1000 + [1] * 9000, np.int32), np.repeat([0.0, 500.0], [1000, 9000]), 2, 3.5)
    assert rush[0] <= MAX_MOMENTUM
    assert rush[1] >= np.float32(1 / MAX_MOMENTUM)


def test_momentum_without_sales_is_one() -> None:
    assert momentum(np.empty(0, np.int32), np.empty(0), 2, 7.0).tolist() == [1, 1]


def test_a_sale_counts_half_after_a_half_life_and_is_recent_until_the_span_ends() -> None:
    now, config = moment(1), PopularityConfig(half_life_days=14, trend_days=28)
    dataset = dataset_of([{"user_id": "u", "item_id": "a1", "timestamp": at(now)}], CATALOG)
    counts, recent = count_popularity(dataset, config, now), count_recent(dataset, config, now)
    row = dataset.items.row("a1")
    half, _ = move_counts(counts, recent, config, 14 * DAY_S)
    assert half.decayed[row] == pytest.approx(0.5)
    for elapsed_s, expected in ((28 * DAY_S - 1, (1, 0)), (28 * DAY_S, (0, 1))):
        moved, _ = move_counts(counts, recent, config, elapsed_s)
        assert (moved.recent[row], moved.earlier[row]) == expected


@given(dataset=shops(), steps=st.lists(st.integers(0, 50 * DAY_S), max_size=3), days=st.sampled_from([0.3, 7.0, 28.0]))
def test_moved_counts_are_those_of_the_later_moment(dataset: Dataset, steps: list[int], days: float) -> None:
    config, now = PopularityConfig(trend_days=days), dataset.end
    counts, recent = count_popularity(dataset, config, now), count_recent(dataset, config, now)
    for elapsed_s in steps:
        counts, recent = move_counts(counts, recent, config, elapsed_s)
    expected = count_popularity(dataset, config, now + sum(steps))
    for name, value in vars(expected).items():
        np.testing.assert_allclose(getattr(counts, name), value, rtol=1e-9, atol=1e-15, err_msg=name)
    assert (recent != count_recent(dataset, config, now + sum(steps))).nnz == 0
