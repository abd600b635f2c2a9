from __future__ import annotations

import pytest

from recsys.bundles.bundle import Manifest
from recsys.core.request import MAX_LIMIT, Request
from recsys.fitting.engine import Engine
from recsys.pipeline.recommender import Recommender
from recsys.pipeline.rerank_items import rerank_items
from tests.shop import OPTED_OUT, UNAVAILABLE, USERS_WITH_HISTORY


@pytest.fixture(scope="module")
def recommender(shop_engine: Engine) -> Recommender:
    manifest = Manifest.__new__(Manifest)
    object.__setattr__(manifest, "version", "v")
    return Recommender(shop_engine, manifest)


@pytest.mark.parametrize("user_id", USERS_WITH_HISTORY[::9])
def test_candidates_have_the_score_that_they_have_in_the_list(recommender: Recommender, user_id: str) -> None:
    end = recommender.engine.dataset_info.end
    listed = recommender.recommend_for(Request("for_you", end, MAX_LIMIT, user_id)).items
    ranked = rerank_items(recommender, Request("", end, user_id=user_id, item_ids=recommender.engine.items.ids))
    assert sorted(item_id for item_id, _ in ranked) == sorted(recommender.engine.items.ids)
    scores = dict(ranked)
    for item in listed:
        assert scores[item.item_id] == pytest.approx(item.score, rel=1e-5)
    in_both = {item.item_id for item in listed}
    assert [item_id for item_id, _ in ranked if item_id in in_both] == [item.item_id for item in listed]
    values = [score for _, score in ranked]
    assert values == sorted(values, reverse=True)


def test_nothing_is_left_out_and_the_unknown_come_last(recommender: Recommender) -> None:
    end, user_id = recommender.engine.dataset_info.end, USERS_WITH_HISTORY[4]
    asked = ("?1", UNAVAILABLE, "card-64", "?2", "card-64")
    ranked = rerank_items(recommender, Request("", end, user_id=user_id, item_ids=asked))
    assert {item_id for item_id, _ in ranked[:2]} == {UNAVAILABLE, "card-64"}
    assert ranked[2:] == [("?1", 0.0), ("?2", 0.0)]
    assert rerank_items(recommender, Request("", end, user_id=user_id, item_ids=("?1",))) == [("?1", 0.0)]


def test_for_nobody_the_order_is_by_what_sells_at_this_hour(recommender: Recommender) -> None:
    engine = recommender.engine
    popular = [
        item.item_id for item in recommender.recommend_for(Request("popular", engine.dataset_info.end, 30)).items
    ]
    for user_id in (None, OPTED_OUT, "a stranger"):
        asked = tuple(reversed(popular))
        ranked = rerank_items(recommender, Request("", engine.dataset_info.end, user_id=user_id, item_ids=asked))
        assert [item_id for item_id, _ in ranked] == popular
