from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.core.placements import PLACEMENTS, Pin
from recsys.core.request import Request
from recsys.fitting.engine import Engine
from recsys.pipeline.recommend import recommend_with_trace
from recsys.pipeline.score_breakdown import score_breakdown
from recsys.ranking.features import FEATURES
from recsys.ranking.scoring import ranker_of
from tests.shop import CARDS, PHONES, USERS_WITH_HISTORY


@pytest.mark.parametrize("name", [name for name, each in PLACEMENTS.items() if each.lists == "items"])
def test_the_source_of_an_item_is_the_one_that_adds_most(shop_engine: Engine, name: str) -> None:
    seeds = (PHONES[0],) if PLACEMENTS[name].anchor == "item" else ()
    for user_id in (USERS_WITH_HISTORY[7], "a stranger"):
        found = recommend_with_trace(shop_engine, Request(name, shop_engine.dataset_info.end, 15, user_id, seeds))
        told = score_breakdown(found)
        assert [each.item_id for each in told] == [item.item_id for item in found.recommendations.items]
        for item, each in zip(found.recommendations.items, told, strict=True):
            assert max(each.scores, key=lambda source: each.scores[source]) == item.source
            is_ranked = ranker_of(found.placement, found.state).is_fitted and not found.recommendations.fallback_used
            assert set(each.features) == (set(FEATURES) if is_ranked else set())
            assert all(value is None or np.isfinite(value) for value in each.features.values())


def test_where_the_blend_orders_the_scores_add_up_to_it(shop_engine: Engine) -> None:
    placement = replace(PLACEMENTS["for_you"], ranker="", trend_power=0.0)
    request = Request("for_you", shop_engine.dataset_info.end, 10, USERS_WITH_HISTORY[7])
    found = recommend_with_trace(shop_engine, request, placements={"for_you": placement})
    for item, each in zip(found.recommendations.items, score_breakdown(found), strict=True):
        assert sum(each.scores.values()) == pytest.approx(item.score, rel=0.02), "removed candidates had a part too"


def test_what_a_pin_put_there_has_no_scores_of_its_own(shop_engine: Engine) -> None:
    placement = replace(PLACEMENTS["buy_again"], pins=(Pin(CARDS[0], 1),))
    request = Request("buy_again", shop_engine.dataset_info.end, 5, USERS_WITH_HISTORY[35])
    first = score_breakdown(recommend_with_trace(shop_engine, request, placements={"buy_again": placement}))[0]
    assert (first.item_id, first.scores, first.features) == (CARDS[0], {}, {})
