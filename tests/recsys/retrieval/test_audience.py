from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys.core.errors import UnknownItemError
from recsys.core.metrics import auc
from recsys.data.dataset import Dataset
from recsys.fitting.engine import Engine
from recsys.fitting.fit import fit_models
from recsys.pipeline.recommender import Recommender
from recsys.retrieval.audience import MIN_BUYERS, SIMILARITY_POWER, TASTE_WEIGHT, audience_scores
from tests.shop import LEATHER, LEATHER_FANS, OPTED_OUT, small_config


def test_shoppers_who_love_a_kind_are_the_audience_of_a_new_item_of_it(shop_dataset: Dataset) -> None:
    """Every trace of one item of leathercraft is hidden; what it is tells who will want it."""
    row = shop_dataset.items.row(LEATHER[0])
    events = shop_dataset.events
    hidden = replace(shop_dataset, events=events.take(events.item_idx != row))
    engine = fit_models(hidden, small_config(), user_lists_only=True)
    score = audience_scores(engine, np.array([row], np.int32), engine.dataset_info.end)[:, 0]
    fans = engine.users.rows(LEATHER_FANS)
    others = np.setdiff1d(np.arange(len(engine.users)), fans)
    assert auc(score[fans], score[others]) > 0.9


def test_equals_a_sum_over_what_each_shopper_bought(shop_engine: Engine) -> None:
    items = np.array([3, 17, 40], np.int32)
    until = shop_engine.dataset_info.end
    found = audience_scores(shop_engine, items, until)
    features = np.asarray(shop_engine.content.features.todense())
    sold = shop_engine.popularity.n_buyers >= MIN_BUYERS
    liked, taste = np.zeros(found.shape), np.zeros(found.shape)
    for user in range(len(shop_engine.users)):
        history = shop_engine.history.of(user, until)
        own = set(history.of_type(shop_engine.dataset_info.target_event).item_idx.tolist())
        rows, weight = shop_engine.als.weights_of(
            history.item_idx, history.event_type, until - history.timestamp, history.rating_weight
        )
        vector = shop_engine.als.fold_in(rows, weight)
        for place, item in enumerate(items.tolist()):
            alike = {j: max(features[item] @ features[j], 0) ** SIMILARITY_POWER for j in own if sold[j] and j != item}
            liked[user, place] = sum(alike.values())
            taste[user, place] = max(vector @ shop_engine.hybrid.vectors[item], 0)
    expected = liked / liked.mean() + TASTE_WEIGHT * taste / taste.mean()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_later_events_are_not_seen_and_nobody_is_no_error(shop_engine: Engine) -> None:
    items = np.arange(5, dtype=np.int32)
    assert (audience_scores(shop_engine, items, 0) == 0).all()
    assert audience_scores(shop_engine, np.empty(0, np.int32), shop_engine.dataset_info.end).shape == (
        len(shop_engine.users),
        0,
    )


def test_the_audience_is_named_best_first_without_those_who_opted_out(shop_engine: Engine, shop_models: Path) -> None:
    engine = Recommender.open(shop_models)
    (found,) = engine.audience([LEATHER[0]], limit=10)
    scores = audience_scores(shop_engine, shop_engine.items.rows([LEATHER[0]]), shop_engine.dataset_info.end)[:, 0]
    best = [(shop_engine.users.ids[row], scores[row]) for row in np.argsort(-scores, kind="stable")]
    best = [(user_id, score) for user_id, score in best if user_id != OPTED_OUT][:10]
    assert [user_id for user_id, _ in found] == [user_id for user_id, _ in best]
    np.testing.assert_allclose([score for _, score in found], [score for _, score in best], rtol=1e-5)
    assert not any(user_id == OPTED_OUT for user_id, _ in engine.audience([LEATHER[0]], limit=10_000)[0])
    with pytest.raises(UnknownItemError):
        engine.audience(["nowhere"])
