"""What every model keeps to, whatever it learns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import timedelta
from typing import Any, Final

import numpy as np
import polars as pl
import pytest

from recsys.bundles.serialization import flatten, unflatten
from recsys.data.catalog import read_catalog
from recsys.data.dataset import Dataset, build_dataset
from recsys.data.history import build_history
from recsys.fitting.engine import Engine
from recsys.fitting.parts import count_target_events
from recsys.models.collaborative.affinity import fit_affinity
from recsys.models.collaborative.als import fit_als, weigh_events
from recsys.models.collaborative.ease import fit_ease
from recsys.models.content.content import fit_content
from recsys.models.content.feature_search import search_feature_weights
from recsys.models.content.hybrid import HybridModel, complete_factors
from recsys.models.content.similarity import Similarity, list_similar
from recsys.models.moments.festival_lifts import fit_festival_lifts
from recsys.models.moments.first_orders import fit_first_orders
from recsys.models.moments.replenishment import fit_replenishment
from recsys.models.pairs.basket_pairs import group_baskets
from recsys.models.pairs.copurchase import fit_copurchase
from recsys.models.pairs.item_sets import fit_item_sets
from recsys.models.pairs.sequence import fit_sequence
from recsys.models.temporal.popularity import fit_popularity
from recsys.models.temporal.repeat import fit_repeat
from recsys.models.temporal.timeofday import fit_timeofday
from recsys.ranking.fit import fit_engine
from recsys.segments.table import fit_segments
from tests.recsys.degenerate import DEGENERATE
from tests.recsys.same import assert_finite, assert_same, contents
from tests.shop import TIMEZONE, ShopTables, moment, small_config

CONFIG = small_config()


def _als(dataset: Dataset) -> Any:
    events, shape = dataset.events, (len(dataset.users), len(dataset.items))
    age_s = np.maximum(dataset.end - events.timestamp, 0)
    user_items = weigh_events(events.user_idx, events.item_idx, events.event_type, age_s, shape, CONFIG.als)
    return fit_als(user_items, CONFIG.als, np.random.default_rng(0), n_threads=1)


def _content(dataset: Dataset) -> Any:
    return fit_content(dataset.catalog, CONFIG.content, np.random.default_rng(0))


def _popularity(dataset: Dataset) -> Any:
    return fit_popularity(dataset, CONFIG.popularity, dataset.end)


def _hybrid(dataset: Dataset) -> Any:
    n_buyers = _popularity(dataset).n_buyers
    catalog, content = read_catalog(dataset.catalog), _content(dataset)
    vectors = complete_factors(_als(dataset).item_factors, content.embedding, n_buyers, CONFIG.hybrid)
    bought = build_history(dataset, CONFIG.history).incidence(dataset.target_event, len(dataset.items))
    similarity = Similarity(content.features, bought, catalog.item_type, CONFIG.hybrid)
    weights = search_feature_weights(similarity, content.vocabulary, np.random.default_rng(0))
    return HybridModel(vectors, *list_similar(similarity, content.embedding, catalog), weights)


FITS: Final[Mapping[str, Callable[[Dataset], Any]]] = {
    "popularity": _popularity,
    "repeat": lambda dataset: fit_repeat(dataset, read_catalog(dataset.catalog), CONFIG.repeat),
    "als": _als,
    "content": _content,
    "hybrid": _hybrid,
    "affinity": lambda dataset: fit_affinity(
        read_catalog(dataset.catalog), _popularity(dataset).share, CONFIG.affinity
    ),
    "ease": lambda dataset: fit_ease(count_target_events(dataset), CONFIG.ease, _content(dataset).features),
    "copurchase": lambda dataset: fit_copurchase(
        dataset, read_catalog(dataset.catalog), CONFIG.copurchase, dataset.end
    ),
    "sequence": lambda dataset: fit_sequence(dataset, CONFIG.sequence),
    "timeofday": lambda dataset: fit_timeofday(dataset, read_catalog(dataset.catalog), CONFIG.timeofday),
    "history": lambda dataset: build_history(dataset, CONFIG.history),
    "segments": lambda dataset: fit_segments(
        dataset, read_catalog(dataset.catalog), CONFIG.segments, np.random.default_rng(0)
    ),
    "item_sets": lambda dataset: fit_item_sets(
        group_baskets(dataset, CONFIG.copurchase.max_basket), read_catalog(dataset.catalog), CONFIG.item_sets
    ),
    "replenishment": lambda dataset: fit_replenishment(
        build_history(dataset, CONFIG.history),
        fit_repeat(dataset, read_catalog(dataset.catalog), CONFIG.repeat),
        dataset.target_event,
        dataset.end,
        CONFIG.moments.replenishment,
    ),
    "festival_lifts": lambda dataset: fit_festival_lifts(dataset, read_catalog(dataset.catalog)),
    "first_orders": fit_first_orders,
    "catalog": lambda dataset: read_catalog(dataset.catalog),
}

every_model = pytest.mark.parametrize("name", FITS)
every_shop = pytest.mark.parametrize("shop", DEGENERATE)


def test_every_model_of_the_engine_is_here() -> None:
    others = {"config", "dataset_info", "items_table", "users_table", "index", "rankers", "blends", "offers"}
    others |= {"is_visitor"}
    assert {part.name for part in fields(Engine)} - others == set(FITS)


@every_model
def test_a_fit_changes_none_of_its_inputs(name: str, shop_dataset: Dataset) -> None:
    before, catalog = contents(shop_dataset.events), shop_dataset.catalog.clone()
    FITS[name](shop_dataset)
    assert contents(shop_dataset.events) == before
    assert shop_dataset.catalog.equals(catalog)


@every_model
def test_two_fits_are_equal_bit_for_bit(name: str, shop_dataset: Dataset) -> None:
    assert_same(FITS[name](shop_dataset), FITS[name](shop_dataset))


@every_model
def test_a_model_is_a_frozen_dataclass_that_comes_back_from_its_parts(name: str, shop_dataset: Dataset) -> None:
    model = FITS[name](shop_dataset)
    assert is_dataclass(model)
    with pytest.raises(AttributeError):
        setattr(model, fields(model)[0].name, None)
    assert_same(model, unflatten(type(model), flatten(model)))


@every_model
@every_shop
def test_a_model_of_next_to_nothing_is_finite(name: str, shop: str) -> None:
    model = FITS[name](DEGENERATE[shop])
    if name == "catalog":
        assert not np.isinf(model.price).any()
    elif name != "history":
        assert_finite(model)


def test_models_of_the_shop_are_finite(shop_engine: Engine) -> None:
    for name in FITS.keys() - {"catalog", "history"}:
        assert_finite(getattr(shop_engine, name))


@pytest.fixture(scope="module")
def with_a_future(shop_tables: ShopTables, shop_dataset: Dataset) -> Dataset:
    """The shop, and a year on all of its events once more, an hour of the day later."""
    later = shop_tables.events.with_columns(
        pl.col("timestamp") + timedelta(days=365, hours=1),
        pl.concat_str(pl.lit("future "), "basket_id").alias("basket_id"),
        pl.concat_str(pl.lit("future "), "session_id").alias("session_id"),
    )
    dataset = build_dataset(
        pl.concat([shop_tables.events, later]), shop_tables.items, shop_tables.users, timezone=TIMEZONE
    )
    assert len(dataset.events) == 2 * len(shop_dataset.events)
    return dataset


@every_model
def test_a_cut_dataset_knows_nothing_of_the_future(name: str, shop_dataset: Dataset, with_a_future: Dataset) -> None:
    """Numbers of baskets are names only: the future's may come between."""
    cut = with_a_future.until(shop_dataset.end + 1)
    skip = ("basket_idx",)
    assert_same(FITS[name](shop_dataset), FITS[name](cut), skip)


def test_an_engine_of_the_past_knows_nothing_of_the_future(shop_engine: Engine, with_a_future: Dataset) -> None:
    past = fit_engine(with_a_future.until(shop_engine.dataset_info.end + 1), small_config())
    assert_same(shop_engine, past, skip=("history.basket_idx",))


def test_two_engines_of_one_seed_are_equal_bit_for_bit(shop_dataset: Dataset, shop_engine: Engine) -> None:
    assert_same(shop_engine, fit_engine(shop_dataset, small_config()))


def test_another_seed_gives_other_factors(shop_dataset: Dataset, shop_engine: Engine) -> None:
    other = fit_engine(shop_dataset, small_config(seed=1))
    assert not np.array_equal(np.asarray(other.als.item_factors), np.asarray(shop_engine.als.item_factors))
    assert other.popularity.share.tobytes() == shop_engine.popularity.share.tobytes()


def test_ages_count_from_the_given_moment(shop_dataset: Dataset, shop_engine: Engine) -> None:
    later = fit_engine(shop_dataset, small_config(), now=moment(300))
    assert_same(later.history, shop_engine.history)
    assert_same(later.timeofday, shop_engine.timeofday)
    assert_same(later.als, shop_engine.als)
    assert later.popularity.trend.tobytes() != shop_engine.popularity.trend.tobytes()


def test_progress_names_each_stage(shop_dataset: Dataset) -> None:
    stages: list[str] = []
    fit_engine(shop_dataset.until(moment(20)), replace(small_config(), seed=2), progress=stages.append)
    assert len(stages) == len(set(stages)) >= 8
