"""What orders items bought together: the best order on later baskets, whatever it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.data.dataset import DAY_S, Dataset
from recsys.fitting.engine import EngineConfig
from recsys.fitting.fit import fit_models
from recsys.fitting.fit_cache import FitCache
from recsys.fitting.ranker_fit import TrainingGroups
from recsys.models.pairs.together_lists import TogetherOrder
from recsys.ranking.basket_questions import draw_baskets
from recsys.ranking.holdout import Holdout
from recsys.ranking.pair_features import PAIR_FEATURES
from recsys.ranking.pair_orders import NAMES, PastPairs, ask_pairs, learn_pairs, together_of
from tests.shop import small_config

CONFIG = replace(small_config(), blend=replace(small_config().blend, min_questions=50))


def pairs(seed: int, hits: dict[TogetherOrder, float], *, is_learnable: bool = False, n_groups: int = 400) -> PastPairs:
    """Baskets of twelve candidates, one of them bought; the first feature marks it where it can be learned."""
    rng = np.random.default_rng(seed)
    taken = np.zeros((n_groups, 12), np.int8)
    taken[np.arange(n_groups), rng.integers(0, 12, n_groups)] = 1
    features = rng.random((n_groups * 12, len(PAIR_FEATURES))).astype(np.float32)
    if is_learnable:
        features[:, 0] += taken.ravel()
    blend = rng.random(n_groups * 12).astype(np.float32)
    groups = TrainingGroups(features, taken.ravel(), blend, np.zeros_like(blend), np.full(n_groups, 12))
    return PastPairs(groups, {order: (rng.random(n_groups) < share).astype(float) for order, share in hits.items()})


def learn(past: list[PastPairs], config: EngineConfig = CONFIG, *, is_cutoff: bool = True):
    return learn_pairs(past, config, np.random.default_rng(0), is_cutoff=is_cutoff)


@pytest.mark.parametrize("order", [order for order in NAMES if order != "probability"])
def test_a_plain_order_that_is_better_orders_the_lists(order: TogetherOrder) -> None:
    """The ranker learns from noise, and its own lists hit less than half."""
    past = [pairs(0, {"probability": 0.3, order: 0.99}), pairs(1, {})]
    ranker, found, chosen = learn(past)
    assert chosen == order
    assert found.order == NAMES[order]
    assert not ranker.is_fitted
    assert f"ordered by {NAMES[order]}" in found.sentence("bought_together")


def test_a_ranker_that_is_best_orders_the_lists() -> None:
    past = [pairs(0, {"probability": 0.3, "popularity": 0.2}, is_learnable=True), pairs(1, {}, is_learnable=True)]
    ranker, found, chosen = learn(past)
    assert ranker.is_fitted
    assert (found.order, chosen) == ("ranker", "probability")
    assert dict(zip(found.orders, found.values, strict=True))["ranker"] > 0.95


def test_few_baskets_compare_no_plain_order() -> None:
    past = [pairs(0, {"probability": 0.1, "popularity": 1.0}, n_groups=49), pairs(1, {}, n_groups=49)]
    _, found, chosen = learn(past)
    assert chosen == "probability"
    assert not found.is_made


def test_one_holdout_is_split_into_halves() -> None:
    _, found, chosen = learn([pairs(0, {"probability": 0.1, "sum": 0.99})], is_cutoff=False)
    assert (found.n_held_out, chosen) == (200, "sum")


def test_a_shop_without_baskets_keeps_its_order() -> None:
    ranker, found, chosen = learn([])
    assert (ranker.is_fitted, found.is_made, chosen) == (False, False, "probability")


def test_every_order_is_asked_with_its_own_lists(shop_dataset: Dataset) -> None:
    now = shop_dataset.end - 28 * DAY_S
    later = shop_dataset.events.take(shop_dataset.events.timestamp >= now)
    cut = Holdout(shop_dataset.until(now), now, later, 28 * DAY_S, is_cutoff=True)
    cache = FitCache(cut.known, now)
    engine = fit_models(cut.known, CONFIG, now=now, cache=cache)
    questions = draw_baskets(cut, 1000, np.random.default_rng(0), by_basket=True)
    found = ask_pairs(engine, cache, questions, CONFIG, compares=True)
    assert {"probability", "baskets", "popularity"} <= set(found.hits)
    assert len(found.groups.size) == len(questions)
    of_list = questions.hits(engine.copurchase.bought_together.item_idx[questions.seed])
    np.testing.assert_array_equal(found.hits["probability"], of_list)
    popular = together_of(
        cache, questions.seed, replace(CONFIG, copurchase=replace(CONFIG.copurchase, order="popularity"))
    )
    np.testing.assert_array_equal(found.hits["popularity"], questions.hits(popular))
    assert not ask_pairs(engine, cache, questions, CONFIG, compares=False).hits
