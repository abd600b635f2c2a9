from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from recsys.core.topk import top_k
from recsys.data.catalog import read_catalog
from recsys.data.dataset import Dataset
from recsys.fitting.engine import Engine
from recsys.models.temporal.timeofday import (
    SalesByBucket,
    TimeOfDayConfig,
    TimeOfDayModel,
    bucket_of_hour,
    fit_timeofday,
)
from tests.recsys.small_shops import CATALOG, shops
from tests.shop import SHELVES, at, dataset_of, moment

CONFIG = TimeOfDayConfig(type_shrinkage=3.0, category_shrinkage=2.0)


def _fit(dataset: Dataset, config: TimeOfDayConfig = CONFIG) -> TimeOfDayModel:
    return fit_timeofday(dataset, read_catalog(dataset.catalog), config)


def test_parts_of_the_day_run_past_midnight() -> None:
    buckets = bucket_of_hour(TimeOfDayConfig()).tolist()
    assert buckets == [4] * 5 + [0] * 6 + [1] * 4 + [2] * 3 + [3] * 3 + [4] * 3
    model = _fit(dataset_of([], CATALOG))
    assert [model.hours(bucket) for bucket in range(5)] == [(5, 10), (11, 14), (15, 17), (18, 20), (21, 4)]
    for hour, bucket in enumerate(buckets):
        first, last = model.hours(bucket)
        assert first <= hour <= last or (last < first and (hour >= first or hour <= last))


def test_hand_computed_lift_of_an_item_without_a_type() -> None:
    """`x` sells twice at 8 h, and once at 20 h: `P(b) = (n + 1)/(3 + 5)`, and the lift shrinks to 1 with κ = 3."""
    rows = [{"user_id": "u", "item_id": "x", "timestamp": at(moment(day, hour))} for day, hour in enumerate((8, 8, 20))]
    model = _fit(dataset_of(rows, CATALOG))
    np.testing.assert_allclose(model.bucket_share, np.array([3, 1, 1, 2, 1]) / 8, rtol=1e-6)
    row = dataset_of(rows, CATALOG).items.row("x")
    assert model.lift[row, 0] == pytest.approx((2 + 3 * 3 / 8) / (3 + 3) / (3 / 8), rel=1e-5)
    assert model.lift[row, 3] == pytest.approx((1 + 3 * 2 / 8) / (3 + 3) / (2 / 8), rel=1e-5)


@given(shops())
def test_equals_counting_one_by_one(dataset: Dataset) -> None:
    model, catalog = _fit(dataset), read_catalog(dataset.catalog)
    n_items, n_buckets, of_hour = len(dataset.items), 5, bucket_of_hour(CONFIG)
    count = np.zeros((n_items, n_buckets))
    for item, hour in zip(dataset.events.item_idx, dataset.events.hour, strict=True):
        count[item, of_hour[hour]] += 1
    share = (count.sum(axis=0) + 1) / (count.sum() + n_buckets)
    for item in range(n_items):
        chance = share
        type_, category = catalog.item_type[item], catalog.item_category[item]
        for alike, known, k in (
            (catalog.item_category == category, category >= 0, CONFIG.category_shrinkage),
            (catalog.item_type == type_, type_ >= 0, CONFIG.category_shrinkage),
            (np.arange(n_items) == item, True, CONFIG.type_shrinkage),
        ):
            if known:
                chance = (count[alike].sum(axis=0) + k * chance) / (count[alike].sum() + k)
        np.testing.assert_allclose(model.lift[item], chance / share, rtol=1e-5)


@given(shops())
def test_lifts_average_to_one(dataset: Dataset) -> None:
    model = _fit(dataset)
    np.testing.assert_allclose(model.lift @ model.bucket_share, 1, rtol=1e-5)
    assert (model.lift > 0).all()
    assert model.bucket_share.sum() == pytest.approx(1, abs=1e-6)
    assert model.is_fitted == (len(dataset.events) > 0)


def test_without_hours_every_lift_is_one() -> None:
    rows = [{"user_id": "u", "item_id": "a1", "timestamp": at(moment(day))} for day in range(5)]
    model = _fit(dataset_of(rows, CATALOG))
    assert not model.is_fitted
    np.testing.assert_allclose(model.lift, 1, rtol=1e-6)


def test_breakfast_sells_in_the_morning_and_snacks_in_the_evening(shop_engine: Engine) -> None:
    lift, items = shop_engine.timeofday.lift, shop_engine.items
    for shelf in ("milk", "bread", "coffee"):
        rows = items.rows(SHELVES[shelf].ids)
        assert lift[rows, 0].min() > 1.2 > 0.8 > lift[rows, 3].max()
    for shelf in ("crisps", "chocolate", "nuts"):
        rows = items.rows(SHELVES[shelf].ids)
        assert lift[rows, 3].min() > 1.2 > 0.8 > lift[rows, 0].max()


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_a_bucket_is_that_of_sales_times_lift(seed: int) -> None:
    rng = np.random.default_rng(seed)
    share = rng.integers(0, 4, 50) / 60
    lift = rng.choice(np.array([0.5, 1, 2], np.float32), (50, 3))
    sales = SalesByBucket(share, lift)
    for bucket in range(3):
        score = share * lift[:, bucket]
        expected = top_k(score, int((score > 0).sum()))
        assert sales.best(bucket).tolist() == expected.tolist()
        assert sales.best(bucket) is sales.best(bucket), "made once"
        np.testing.assert_allclose(sales.score(bucket, sales.best(bucket)), score[expected], rtol=1e-6)
