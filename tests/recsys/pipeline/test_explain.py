from __future__ import annotations

import json
from dataclasses import replace

import pytest

from recsys.core.placements import Pin
from recsys.core.request import Request
from recsys.fitting.engine import Engine
from recsys.pipeline.explain import Explanation, explain
from recsys.pipeline.recommend import recommend_with_trace
from tests.shop import PHONES, UNAVAILABLE, USERS_WITH_HISTORY

USER = USERS_WITH_HISTORY[12]


def _why(engine: Engine, item_id: str, placement: str = "for_you", limit: int = 3, **more: object) -> Explanation:
    request = replace(Request(placement, engine.dataset_info.end, limit, USER), **more)  # type: ignore[arg-type]
    return explain(recommend_with_trace(engine, request), item_id)


def test_what_is_listed_has_its_place_there(shop_engine: Engine) -> None:
    listed = recommend_with_trace(
        shop_engine, Request("for_you", shop_engine.dataset_info.end, 3, USER)
    ).recommendations.items
    for item in listed:
        why = _why(shop_engine, item.item_id)
        assert (why.stage, why.rank, why.score, why.distance) == ("listed", item.rank, item.score, 0.0)


@pytest.mark.parametrize("placement", ["for_you", "time_of_day", "popular", "discover"])
def test_the_rank_of_what_scored_too_low_is_that_of_a_full_sort(shop_engine: Engine, placement: str) -> None:
    whole = recommend_with_trace(
        shop_engine, Request(placement, shop_engine.dataset_info.end, 100, USER)
    ).recommendations.items
    last = (
        recommend_with_trace(shop_engine, Request(placement, shop_engine.dataset_info.end, 3, USER))
        .recommendations.items[-1]
        .score
    )
    low = [item for item in whole[3:] if item.score < last][::7]
    assert low
    for item in low:
        why = _why(shop_engine, item.item_id, placement)
        assert why.stage == "too_low"
        assert why.score == item.score
        assert why.last_score == last
        assert why.distance == pytest.approx(last - item.score)
        if placement != "discover":  # which keeps places for the tail
            assert why.rank == item.rank
            assert str(item.rank) in why.text
            assert str(item.rank) in why.text_zh


def test_what_is_sold_out_or_filtered_is_told_so(shop_engine: Engine) -> None:
    assert _why(shop_engine, UNAVAILABLE).stage == "sold_out"
    best = (
        recommend_with_trace(shop_engine, Request("for_you", shop_engine.dataset_info.end, 3, USER))
        .recommendations.items[0]
        .item_id
    )
    assert _why(shop_engine, best, exclude=(best,)).stage == "filtered"


def test_a_rule_that_removed_it_is_named(shop_engine: Engine) -> None:
    best = (
        recommend_with_trace(shop_engine, Request("buy_again", shop_engine.dataset_info.end, 3, USER))
        .recommendations.items[0]
        .item_id
    )
    why = _why(shop_engine, best, "discover")
    assert (why.stage, why.rule) == ("removed", "own")
    assert "own" in why.text


def test_what_no_source_brought_says_where_it_stands_with_each(shop_engine: Engine) -> None:
    whole = recommend_with_trace(
        shop_engine, Request("complementary", shop_engine.dataset_info.end, 100, None, (PHONES[0],))
    )
    inside = {item.item_id for item in whole.recommendations.items}
    removed = {shop_engine.items.ids[row] for row in range(len(shop_engine.items))} - inside - {PHONES[0], UNAVAILABLE}
    stages = set()
    for item_id in sorted(removed)[:40]:
        why = _why(shop_engine, item_id, "complementary", item_ids=(PHONES[0],), user_id=None)
        stages.add(why.stage)
        if why.stage == "no_candidate":
            assert [(each.source, each.rank, each.score) for each in why.sources] == [("complementary", None, 0.0)]
    assert "no_candidate" in stages


def test_effects_are_the_strongest_first(shop_engine: Engine) -> None:
    item = recommend_with_trace(
        shop_engine, Request("for_you", shop_engine.dataset_info.end, 3, USER)
    ).recommendations.items[0]
    effects = [abs(effect.effect) for effect in _why(shop_engine, item.item_id).effects]
    assert effects == sorted(effects, reverse=True)
    assert bool(effects) == shop_engine.rankers.next.is_fitted


def test_a_variant_of_a_pinned_item_is_removed_by_that_rule(shop_engine: Engine) -> None:
    """The white phone is listed until its black variant is pinned."""
    request = Request("similar", shop_engine.dataset_info.end, 3, item_ids=(PHONES[3],))
    plain = recommend_with_trace(shop_engine, replace(request, limit=100))
    assert "phone-2-white" in [item.item_id for item in plain.recommendations.items]
    pinned = replace(plain.placement, pins=(Pin("phone-2-black", 1),))
    result = recommend_with_trace(shop_engine, request, placements={"similar": pinned})
    assert result.recommendations.items[0].item_id == "phone-2-black"
    why = explain(result, "phone-2-white")
    assert (why.stage, why.rule, why.rank) == ("removed", "variant", None)


def test_a_fallback_is_explained_by_its_own_source(shop_engine: Engine) -> None:
    request = Request("for_you", shop_engine.dataset_info.end, 3, "an unknown user")
    why = explain(recommend_with_trace(shop_engine, request), PHONES[0])
    assert why.fallback_used
    assert [each.source for each in why.sources] == ["popular_by_hour"]
    assert why.effects == ()


def test_a_list_without_items_has_no_last_score(shop_engine: Engine) -> None:
    request = Request("buy_again", shop_engine.dataset_info.end, 3, "an unknown user")
    result = recommend_with_trace(shop_engine, request)
    empty = replace(result, recommendations=replace(result.recommendations, items=()))
    why = explain(empty, PHONES[0])
    assert (why.last_score, why.distance) == (None, None)


@pytest.mark.parametrize("item_id", [PHONES[0], UNAVAILABLE])
def test_json_has_the_texts_in_english_and_chinese(shop_engine: Engine, item_id: str) -> None:
    why = _why(shop_engine, item_id)
    fields = why.to_dict()
    assert list(fields)[:5] == ["item_id", "placement", "stage", "text", "text_zh"]
    assert (fields["text"], fields["text_zh"]) == (why.text, why.text_zh)
    assert fields["sources"][0].keys() == {"source", "rank", "score", "n_found", "quota", "cut_score"}
    assert json.loads(json.dumps(fields)) == json.loads(json.dumps(fields | {"sources": [*fields["sources"]]}))
