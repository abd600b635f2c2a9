"""Questions of a shop's past: what is earlier, what is latest, and what nobody may have seen before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from recsys.fitting.engine import EngineConfig
from recsys.fitting.fit_cache import FitCache
from recsys.ranking.holdout import holdouts
from recsys.ranking.past_questions import PastQuestions, ask_the_past
from tests.shop import small_config


def settings(**ranker: object) -> EngineConfig:
    config = small_config()
    return replace(config, ranker=replace(config.ranker, **ranker), blend=replace(config.blend, min_questions=5))


def ask(dataset: Dataset, config: EngineConfig) -> PastQuestions | None:
    return ask_the_past(FitCache(dataset, dataset.end), config, np.random.default_rng(0))


@pytest.fixture(scope="module")
def by_cutoff(shop_dataset: Dataset) -> PastQuestions:
    """Two moments, four weeks apart."""
    found = ask(shop_dataset, settings(min_queries=2, horizon_days=7, step_days=7, n_cutoffs=2))
    assert found is not None
    return found


def test_questions_of_two_moments_are_told_apart_by_time(by_cutoff: PastQuestions) -> None:
    assert by_cutoff.is_cutoff
    assert len(by_cutoff.earlier) > 0
    assert len(by_cutoff.latest) > 0
    assert len(by_cutoff.every) == len(by_cutoff.earlier) + len(by_cutoff.latest)


def test_the_orders_of_all_lists_are_compared(by_cutoff: PastQuestions) -> None:
    assert set(by_cutoff.item_lists) == {"alike", "viewed"}
    assert by_cutoff.pairs[0].hits
    assert not any(each.hits for each in by_cutoff.pairs[1:])


def test_baskets_whose_answers_overlap_the_latest_moment_do_not_count(shop_dataset: Dataset) -> None:
    config = settings(min_queries=2, horizon_days=14, step_days=7, n_cutoffs=2)
    cuts = holdouts(shop_dataset, shop_dataset.end, config.ranker, config.seed)
    assert cuts[1].now + cuts[1].horizon > cuts[0].now
    found = ask(shop_dataset, config)
    assert found is not None
    assert len(found.pairs) == 1


def test_questions_of_one_moment_are_told_apart_by_user(shop_dataset: Dataset) -> None:
    found = ask(shop_dataset, settings(min_queries=10_000))
    assert found is not None
    assert not found.is_cutoff
    assert not set(found.earlier.user_idx.tolist()) & set(found.latest.user_idx.tolist())


def test_a_shop_without_events_asks_nothing(shop_dataset: Dataset) -> None:
    nothing = replace(shop_dataset, events=shop_dataset.events.take(slice(0, 0)))
    assert ask_the_past(FitCache(nothing, 0), settings(), np.random.default_rng(0)) is None
