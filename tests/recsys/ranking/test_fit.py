"""The fit of the whole engine: which rankers are trained, and what they change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recsys.data.dataset import Dataset
from recsys.fitting.blend import Blends
from recsys.fitting.compact import compact
from recsys.fitting.engine import EngineConfig, Rankers
from recsys.fitting.fit import fit_models
from recsys.fitting.fit_cache import FitCache
from recsys.ranking.fit import fit_engine, fit_orders
from tests.recsys.same import assert_same
from tests.recsys.small_shops import CATALOG
from tests.shop import at, dataset_of, moment, small_config


def shop(n_days: int) -> Dataset:
    """Four users who each buy two items every other day."""
    rng = np.random.default_rng(0)
    rows = [
        {"user_id": f"u{user}", "item_id": CATALOG[item]["item_id"], "timestamp": at(moment(day, 9 + user))}
        for user in range(4)
        for day in range(0, n_days, 2)
        for item in rng.choice(len(CATALOG), 2, replace=False)
    ]
    return dataset_of(rows, CATALOG)


def config(*, enabled: bool) -> EngineConfig:
    settings = small_config()
    return replace(
        settings,
        ranker=replace(settings.ranker, enabled=enabled),
        blend=replace(settings.blend, enabled=enabled),
    )


def test_without_rankers_and_blends_the_models_are_compacted_and_stay_as_they_are() -> None:
    dataset, settings = shop(20), config(enabled=False)
    stages: list[str] = []
    engine = fit_engine(dataset, settings, progress=stages.append)
    assert engine.rankers == Rankers()
    assert engine.blends == Blends()
    models = fit_models(dataset, settings)
    assert_same(engine, compact(models))
    assert not any("examples" in stage for stage in stages)


def test_disabled_rankers_are_not_trained_beside_the_search_for_weights() -> None:
    settings = config(enabled=False)
    settings = replace(settings, blend=replace(settings.blend, enabled=True, min_questions=2))
    dataset = shop(100)
    rankers, blends, _ = fit_orders(FitCache(dataset, dataset.end), settings)
    assert not any(ranker.is_fitted for ranker in (rankers.next, rankers.new, rankers.pairs))
    assert blends.next.is_fitted
    assert not blends.next.uses_ranker


def test_a_shop_without_a_past_learns_nothing() -> None:
    nothing, settings = shop(0), config(enabled=True)
    assert fit_orders(FitCache(nothing, nothing.end), settings) == (Rankers(), Blends(), settings)


def test_too_few_requests_train_nothing_but_are_counted() -> None:
    dataset, settings = shop(100), config(enabled=True)
    settings = replace(settings, ranker=replace(settings.ranker, n_cutoffs=1, min_queries=10_000))
    stages: list[str] = []
    rankers, blends, learned = fit_orders(FitCache(dataset, dataset.end), settings, stages.append)
    assert "training examples, 1 of 3" in stages, "four users are too few for cut-offs"
    assert not any(ranker.is_fitted for ranker in (rankers.next, rankers.new, rankers.pairs))
    assert not any(blend.is_fitted for blend in (blends.next, blends.new, blends.tail))
    assert learned == settings
    assert rankers.next.n_requests > 0
