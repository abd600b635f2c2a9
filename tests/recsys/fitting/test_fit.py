"""The fit of every model of a small shop: what each is given, counted again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from recsys.data.dataset import DAY_S, Dataset
from recsys.fitting.engine import Engine
from recsys.fitting.fit import fit_models
from recsys.fitting.parts import count_target_events
from recsys.models.pairs.complements import ComplementConfig
from tests.recsys.same import assert_finite, assert_same
from tests.recsys.small_shops import CATALOG
from tests.shop import at, dataset_of, moment, small_config

STAGES = [
    "catalog",
    "popularity",
    "repeat purchases",
    "time of day",
    "content",
    "collaborative filtering",
    "hybrid embedding",
    "co-purchase",
    "item sets",
    "sequences",
    "segments",
    "moments",
    "history and index",
]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Eight users and three anonymous baskets."""
    rng = np.random.default_rng(5)
    rows = [
        {
            "user_id": f"u{user}" if user < 8 else None,
            "basket_id": f"{user}/{day}",
            "item_id": CATALOG[item]["item_id"],
            "timestamp": at(moment(day, 8 + user) + 60),
            "event": "purchase" if item % 3 else "view_item",
        }
        for user in range(11)
        for day in range(user % 5, 40, 5)
        for item in rng.choice(len(CATALOG), 2, replace=False)
    ]
    return dataset_of(rows, CATALOG)


@pytest.fixture(scope="module")
def engine(dataset: Dataset) -> Engine:
    return fit_models(dataset, small_config())


def test_purchases_are_counted_by_user_and_item(dataset: Dataset) -> None:
    """Views, and purchases of nobody, do not count."""
    bought = dataset.target_events
    pairs = zip(bought.user_idx.tolist(), bought.item_idx.tolist(), strict=True)
    expected = Counter((user, item) for user, item in pairs if user >= 0)
    found = count_target_events(dataset)
    assert found.shape == (len(dataset.users), len(dataset.items))
    assert dict(found.todok().items()) == expected
    assert found.sum() < len(dataset.events)


def test_every_stage_is_reported_once_in_order(dataset: Dataset) -> None:
    stages: list[str] = []
    fit_models(dataset, small_config(), progress=stages.append)
    assert stages == STAGES


def test_all_models_are_of_the_same_items_and_hold_numbers(dataset: Dataset, engine: Engine) -> None:
    n = len(dataset.items)
    for array in (
        engine.popularity.share,
        engine.repeat.interval_days,
        engine.timeofday.lift,
        engine.content.embedding,
        engine.als.item_factors,
        engine.hybrid.vectors,
        engine.affinity.item_type,
        engine.ease.row_of,
        engine.copurchase.partners.item_idx,
    ):
        assert len(array) == n
    assert engine.index.faiss_index.ntotal == n
    for model in (engine.popularity, engine.repeat, engine.als, engine.hybrid, engine.copurchase):
        assert_finite(model)
    assert not any(ranker.is_fitted for ranker in vars(engine.rankers).values())
    assert engine.dataset_info.end == dataset.end


def test_the_same_seed_fits_the_same(dataset: Dataset, engine: Engine) -> None:
    assert_same(engine, fit_models(dataset, small_config(), now=dataset.end))


def test_ages_count_from_the_given_moment(dataset: Dataset, engine: Engine) -> None:
    """A year later all purchases are as old in relation to each other, and the trend has seen no recent one."""
    later = fit_models(dataset, small_config(), now=dataset.end + 365 * DAY_S)
    np.testing.assert_allclose(later.popularity.share, engine.popularity.share, rtol=1e-4)
    assert (later.popularity.trend == 1).all()
    assert not (engine.popularity.trend == 1).all()


def test_models_for_lists_of_users_lack_the_lists_of_items_alone(dataset: Dataset, engine: Engine) -> None:
    config = small_config()
    config = replace(config, copurchase=replace(config.copurchase, complements=ComplementConfig(min_lift=0.01)))
    few, engine = fit_models(dataset, config, user_lists_only=True), fit_models(dataset, config)
    assert (few.hybrid.similar_idx == -1).all()
    assert (few.copurchase.complementary.item_idx == -1).all()
    assert (engine.copurchase.complementary.item_idx >= 0).any()
    np.testing.assert_array_equal(few.als.item_factors, engine.als.item_factors)
    np.testing.assert_array_equal(few.hybrid.vectors, engine.hybrid.vectors)


def test_items_of_unknown_type_are_replaceable_by_what_is_alike() -> None:
    """Of items without a category, a and b have one title: b is no complement of a where that is enough."""
    items = [
        {"item_id": item_id, "title": title, "brand": brand}
        for item_id, title, brand in (
            ("a", "green tea", "x"),
            ("b", "green tea", "x"),
            ("c", "blue pan", "y"),
            ("d", "blue pan", "y"),
        )
    ]
    rows = [
        {"user_id": f"u{n}", "item_id": item_id, "basket_id": str(n), "timestamp": at(moment(n, 9) + 60)}
        for n in range(12)
        for item_id in ("a", "b", "c")
    ]
    rows += [{"item_id": "d", "basket_id": f"d{n}", "timestamp": at(moment(n, 9) + 60)} for n in range(48)]
    shop = dataset_of(rows, items)

    def complements(min_cosine: float) -> set[str]:
        fitted = fit_models(shop, replace(small_config(), replaceable_cosine=min_cosine))
        row = fitted.copurchase.complementary.item_idx[fitted.items.row("a")]
        return {fitted.items.ids[item] for item in row[row >= 0]}

    assert "b" in complements(1.01)
    assert "b" not in complements(0.6)
    assert "c" in complements(0.6)


def test_the_sets_of_the_shop_are_of_different_types(shop_engine: Engine) -> None:
    """A phone is bought with a case and a charger."""
    sets, types = shop_engine.item_sets, shop_engine.catalog.item_type
    rows = [[row for row in items if row >= 0] for items in sets.item_idx.tolist()]
    assert len(rows) > 0
    assert all(len({int(types[row]) for row in items}) == len(items) for items in rows)
    names = {frozenset(shop_engine.catalog.type_names[types[row]].split(" > ")[-1] for row in items) for items in rows}
    assert {frozenset({"智能手机", "手机壳"}), frozenset({"智能手机", "充电器"})} <= names
