from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from recsys.data.catalog import read_catalog
from recsys.data.dataset import DAY_S, Dataset
from recsys.models.temporal.kernels import (
    DAYS,
    N_ITERATIONS,
    N_STEPS,
    ORDERS,
    KernelConfig,
    KernelModel,
    fit_kernels,
)
from tests.recsys.small_shops import CATALOG, shops
from tests.shop import at, dataset_of, moment

DECAY_DAYS, DECAY_POWER = 7.0, 0.5
WEAK = KernelConfig(shrinkage=1.0, item_shrinkage=1.0)


def _fit(dataset: Dataset, config: KernelConfig = WEAK) -> KernelModel:
    return fit_kernels(dataset, read_catalog(dataset.catalog), DECAY_DAYS, DECAY_POWER, config)


def _bought(*orders: tuple[str, float, str]) -> list[dict[str, Any]]:
    return [
        {"user_id": user, "item_id": item, "basket_id": f"{user} {day}", "timestamp": at(moment(day))}
        for user, day, items in orders
        for item in items.split()
    ]


def _rate(model: KernelModel, item: int, days: float, n_later: int) -> float:
    return float(model.rate(np.array([item], np.int32), np.array([round(days * DAY_S)]), np.array([n_later]))[0])


def test_without_repeats_the_kernel_is_the_decay_of_the_settings() -> None:
    model = _fit(dataset_of(_bought(("u", 0, "a1"), ("v", 3, "a1 b1")), CATALOG))
    prior = np.concatenate([(1 + DAYS / DECAY_DAYS) ** -DECAY_POWER, (1.0 + ORDERS) ** -DECAY_POWER])
    np.testing.assert_allclose(model.curves, np.tile(prior, (len(model.curves), 1)), rtol=1e-6)
    np.testing.assert_array_equal(model.height, 1)


def test_one_repeat_by_hand() -> None:
    """The only repeat comes 10 days and no order later: each step gets the share of its rate, in every round."""
    dataset = dataset_of(_bought(("u", 0, "a1"), ("u", 10, "a1")), CATALOG)
    day, order = 5, len(DAYS)
    prior = np.concatenate([(1 + DAYS / DECAY_DAYS) ** -DECAY_POWER, (1.0 + ORDERS) ** -DECAY_POWER])
    exposure = np.zeros(N_STEPS)
    exposure[[day, order]] = 1
    prior *= 2 / (prior[day] + prior[order] + 1)

    def fitted(start: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        rate, weight = start, 1 / start.sum()
        for _ in range(N_ITERATIONS):
            shares = np.zeros(N_STEPS)
            shares[[day, order]] = rate[[day, order]] / (rate[day] + rate[order])
            rate = (shares + weight * start) / (exposure + weight)
        return rate

    model, shop = _fit(dataset, KernelConfig(shrinkage=1.0, item_shrinkage=2.0)), fitted(prior)
    mine = fitted(shop)
    assert model.curve_of[0] > 0
    np.testing.assert_allclose(model.curves[model.curve_of[0]], mine, rtol=1e-5)
    assert model.height[0] == pytest.approx(3 / (mine[day] + mine[order] + 2), rel=1e-5)


def test_without_types_each_item_has_its_own_cycle() -> None:
    """Two items without a type come back after 20 and after 60 days; an item that is rarely bought has the shop's."""
    orders = []
    for user in range(60):
        for day in range(0, 360, 2):
            items = [item for item, cycle in (("x20", 20), ("x60", 60)) if (day + 2 * user) % cycle == 0]
            orders.append((f"u{user}", float(day), " ".join(items) or "filler"))
    orders += [("rare", 0.0, "x"), ("rare", 50.0, "x")]
    dataset = dataset_of(_bought(*orders), [])
    model = _fit(dataset, KernelConfig(shrinkage=1.0, item_shrinkage=5.0))
    short, long, rare = (int(dataset.items.row(item)) for item in ("x20", "x60", "x"))
    assert _rate(model, short, 20, 9) > 3 * _rate(model, short, 40, 5)
    assert _rate(model, long, 60, 29) > 3 * _rate(model, long, 20, 9)
    assert model.curve_of[rare] == 0
    assert len({*model.curve_of[[short, long]].tolist()}) == 2


@pytest.mark.parametrize("cycle", [10, 20, 60])
def test_planted_cycles_have_their_peak_at_their_length(cycle: int) -> None:
    """Users order something every other day or so; a1 comes back after one cycle, b1 at random."""
    rng = np.random.default_rng(0)
    orders = []
    for user in range(60):
        start = int(rng.integers(0, cycle))
        for day in np.arange(0, 240, 2):
            is_due = (day - start) % cycle in (0, 1)
            orders.append((f"u{user}", float(day), "a1" if is_due else "b1" if rng.random() < 0.3 else "a2"))
    model = _fit(dataset_of(_bought(*orders), CATALOG), KernelConfig(shrinkage=20.0, item_shrinkage=20.0))
    n_between = cycle // 2 - 1
    due, early = _rate(model, 0, cycle, n_between), _rate(model, 0, cycle / 2, n_between // 2)
    assert due > 2 * early


def test_orders_tell_what_days_cannot_where_no_time_is_known() -> None:
    """Everything happened on one day; the item of the last order comes back, the one before it never does."""
    rows = []
    for user in range(40):
        for number in range(10):
            item = "a1" if number % 2 else "b1"
            rows.append({"user_id": f"u{user}", "item_id": item, "basket_id": f"{user} {number}", "timestamp": at(0)})
    model = _fit(dataset_of(rows, CATALOG), KernelConfig(shrinkage=20.0))
    assert _rate(model, 0, 0, 1) > 1.3 * _rate(model, 0, 0, 0)


@given(shops())
def test_rates_are_above_zero_and_heights_follow_the_definition(dataset: Dataset) -> None:
    model = _fit(dataset)
    assert model.curves.shape[1] == N_STEPS
    assert (model.curves > 0).all()
    assert (model.height > 0).all()
    assert np.isfinite(model.curves).all()
    item = np.zeros(4, np.int32)
    if len(model.height):
        rate = model.rate(item, np.array([0, 1, 10**9, 10**12]), np.array([0, 1, 10**4, 10**9]))
        assert (rate > 0).all()


def test_a_sample_of_users_gives_nearly_the_same_kernel() -> None:
    rng = np.random.default_rng(1)
    orders = [
        (f"u{user:03}", float(day), "a1" if rng.random() < 0.4 else "b1") for user in range(200) for day in range(20)
    ]
    dataset = dataset_of(_bought(*orders), CATALOG)
    whole, part = (_fit(dataset, KernelConfig(max_purchases=n)) for n in (10**6, 1000))
    np.testing.assert_allclose(part.curves[0, : len(DAYS)], whole.curves[0, : len(DAYS)], rtol=0.5)
