from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from recsys.core.ids import NO_ITEM
from recsys.data.dataset import DAY_S, Dataset
from recsys.fitting.engine import Engine
from recsys.fitting.fit import fit_models
from recsys.fitting.ranker import NO_RANKER, Ranker
from recsys.fitting.ranker_fit import boost, calibrate
from recsys.models.pairs.related_items import RelatedItems
from recsys.ranking.basket_questions import draw_baskets
from recsys.ranking.holdout import Holdout
from recsys.ranking.pair_features import (
    N_ORDERED,
    PAIR_FEATURES,
    first_pairs,
    order_pairs,
    pair_features,
    past_pairs,
)
from tests.shop import small_config


@pytest.fixture(scope="module")
def cut(shop_dataset: Dataset) -> Holdout:
    """The last four weeks of the shop."""
    now = shop_dataset.end - 28 * DAY_S
    later = shop_dataset.events.take(shop_dataset.events.timestamp >= now)
    return Holdout(shop_dataset.until(now), now, later, 28 * DAY_S, is_cutoff=True)


@pytest.fixture(scope="module")
def past(cut: Holdout) -> Engine:
    """The shop four weeks before its end, no list ordered yet."""
    return fit_models(cut.known, small_config(), now=cut.now)


@pytest.fixture(scope="module")
def ranker(past: Engine, cut: Holdout) -> Ranker:
    """One that learned from the weeks after."""
    groups = past_pairs(past, draw_baskets(cut, 10_000, np.random.default_rng(0), by_basket=True)).with_answer()
    booster = boost(groups, PAIR_FEATURES, small_config().ranker.pair_trees, 0)
    line = calibrate(np.asarray(booster.predict(groups.features)), groups.log_lift, groups.taken)
    return Ranker(booster.model_to_string(), *line, len(groups.size))


def test_columns_equal_the_values_of_the_models(past: Engine) -> None:
    seeds = np.flatnonzero(past.copurchase.n_baskets > 3)[:5].astype(np.int32)
    pairs = first_pairs(past.copurchase.bought_together, seeds)
    table = dict(zip(PAIR_FEATURES, pair_features(past, pairs).T, strict=True))
    assert pairs.size.sum() == len(pairs.seed)
    for place in range(0, len(pairs.seed), 7):
        seed, item = int(pairs.seed[place]), int(pairs.item_idx[place])
        n_seed, n_item = past.copurchase.n_baskets[seed], past.copurchase.n_baskets[item]
        assert table["together"][place] == pairs.n_together[place]
        assert table["share_of_seed"][place] == pytest.approx(pairs.n_together[place] / n_seed)
        assert table["share_of_item"][place] == pytest.approx(pairs.n_together[place] / max(n_item, 1))
        assert table["same_type"][place] == (past.catalog.item_type[seed] == past.catalog.item_type[item])
        likeness = past.content.embedding[seed] @ past.content.embedding[item]
        assert table["likeness"][place] == pytest.approx(likeness, abs=1e-5)
        lift = np.log(pairs.probability[place] * (past.copurchase.n_all + 1) / (n_item + 1))
        assert table["log_lift"][place] == pytest.approx(lift, abs=1e-4)


def test_labels_are_the_contents_of_each_basket(past: Engine, cut: Holdout) -> None:
    questions = draw_baskets(cut, 10_000, np.random.default_rng(0), by_basket=True)
    examples = past_pairs(past, questions)
    pairs = first_pairs(past.copurchase.bought_together, questions.seed)
    np.testing.assert_array_equal(examples.size, pairs.size)
    assert 0 < examples.taken.sum() < len(examples.taken)
    bought = cut.answers.take(cut.answers.event_type == cut.known.target_event)
    for group, item, taken in zip(examples.request, pairs.item_idx, examples.taken, strict=True):
        in_basket = bought.item_idx[bought.basket_idx == questions.basket[group]]
        assert taken == (item in in_basket)


def test_lists_stay_the_same_without_a_ranker(past: Engine) -> None:
    assert order_pairs(past, NO_RANKER) is past.copurchase


def test_ordered_lists_have_the_same_items_by_learned_probability(past: Engine, ranker: Ranker) -> None:
    ordered = order_pairs(past, ranker)
    assert ordered.complementary is past.copurchase.complementary
    for name in ("bought_together",):
        before, after = getattr(past.copurchase, name), getattr(ordered, name)
        for row in range(len(past.items)):
            known = before.item_idx[row] != NO_ITEM
            assert set(after.item_idx[row][: known.sum()]) == set(before.item_idx[row][known])
            assert (after.item_idx[row][known.sum() :] == NO_ITEM).all()
            assert (np.diff(after.score[row]) <= 0).all()
            by_item = dict(
                zip(before.item_idx[row][known].tolist(), before.n_together[row][known].tolist(), strict=True)
            )
            for item, n in zip(after.item_idx[row][known].tolist(), after.n_together[row][known].tolist(), strict=True):
                assert by_item[item] == n
        seed = int(np.argmax(past.copurchase.n_baskets))
        pairs = first_pairs(before, np.array([seed], np.int32))
        chance = expit(ranker.log_odds(pair_features(past, pairs)))
        best = pairs.item_idx[np.argsort(-chance, kind="stable")]
        np.testing.assert_array_equal(after.item_idx[seed][: len(best)], best)
        np.testing.assert_allclose(after.score[seed][: len(best)], np.sort(chance)[::-1], rtol=1e-5)
    assert ordered.partners is past.copurchase.partners, "shoppers' lists rest on the chances as counted"


def test_items_after_the_ordered_ones_keep_their_order(past: Engine, ranker: Ranker) -> None:
    wide = np.full((len(past.items), N_ORDERED + 20), NO_ITEM, np.int32)
    score, together = np.zeros(wide.shape, np.float32), np.zeros(wide.shape, np.int32)
    seed = int(np.argmax(past.copurchase.n_baskets))
    others = np.array([row for row in range(len(past.items)) if row != seed], np.int32)[: wide.shape[1]]
    wide[seed, : len(others)], score[seed, : len(others)] = others, np.linspace(0.9, 0.1, len(others))
    long = RelatedItems(wide, score, together)
    engine = replace(past, copurchase=replace(past.copurchase, bought_together=long))
    after = order_pairs(engine, ranker).bought_together
    assert len(others) > N_ORDERED
    np.testing.assert_array_equal(after.item_idx[seed][N_ORDERED : len(others)], others[N_ORDERED:])
    assert (np.diff(after.score[seed][: len(others)]) <= 0).all()


def test_an_item_that_was_never_bought_keeps_its_list(past: Engine, ranker: Ranker) -> None:
    never = np.flatnonzero(past.copurchase.n_baskets == 0)
    assert len(never)
    ordered = order_pairs(past, ranker)
    np.testing.assert_array_equal(
        ordered.bought_together.item_idx[never], past.copurchase.bought_together.item_idx[never]
    )
