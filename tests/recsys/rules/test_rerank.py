"""The dials of placements on the invented shop, each against what it promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from recsys.core.errors import FilterError, RequestError
from recsys.core.placements import PLACEMENTS, Boost, Freshness, Pin, Placement, Promotion
from recsys.core.request import MAX_LIMIT, Request
from recsys.filters import compile_filter
from recsys.fitting.engine import Engine
from recsys.pipeline.recommend import RankedResult, recommend_with_trace
from recsys.pipeline.resolve import resolve
from recsys.pipeline.stages import rank
from recsys.ranking.scoring import active_sources
from recsys.retrieval.query import Ranking
from recsys.retrieval.sources import generate
from recsys.retrieval.user_state import UserState
from recsys.rules.masks import Masks
from recsys.rules.rerank import boost_factors, embeddings
from tests.shop import (
    CAMERAS,
    CARDS,
    DAY_S,
    OPTED_OUT,
    PHONES,
    SHELVES,
    UNAVAILABLE,
    USERS_WITH_HISTORY,
    WEEKLY_ITEM,
)

USER = USERS_WITH_HISTORY[5]


def ask(engine: Engine, placement: Placement, limit: int = 10, filter: str = "", **given: object) -> RankedResult:  # noqa: A002
    given["filter"] = compile_filter(filter, engine.items_table.schema) if filter else None
    request = Request(placement.name, engine.dataset_info.end, limit, **{"user_id": USER, **given})  # type: ignore[arg-type]
    return recommend_with_trace(engine, request, "v", placements={placement.name: placement})


def ids(found: RankedResult) -> list[str]:
    return [item.item_id for item in found.recommendations.items]


def with_(name: str = "for_you", **overrides: object) -> Placement:
    return replace(PLACEMENTS[name], **overrides)  # type: ignore[arg-type]


def plain(engine: Engine, name: str = "for_you", limit: int = MAX_LIMIT) -> list[str]:
    return ids(ask(engine, PLACEMENTS[name], limit))


def test_dials_at_rest_change_nothing(shop_engine: Engine) -> None:
    """The order is the same by the long way round: a pin that nobody knows turns it on."""
    for name in PLACEMENTS:
        seeds = (PHONES[0],) if PLACEMENTS[name].anchor == "item" else ()
        one = ask(shop_engine, PLACEMENTS[name], item_ids=seeds).recommendations
        other = ask(shop_engine, with_(name, pins=(Pin("nobody knows it", 1),)), item_ids=seeds).recommendations
        assert one.items == other.items
        assert one.items == ask(shop_engine, PLACEMENTS[name], item_ids=seeds, n_lookahead=50).recommendations.items


def test_pins_are_at_their_ranks_and_say_so(shop_engine: Engine) -> None:
    placement = with_(pins=(Pin(CARDS[0], 2), Pin(WEEKLY_ITEM, 4), Pin(UNAVAILABLE, 1), Pin("unknown", 3)))
    found = ask(shop_engine, placement).recommendations.items
    assert (found[1].item_id, found[3].item_id) == (CARDS[0], WEEKLY_ITEM)
    assert found[1].source == "pinned"
    assert (found[1].reasons[0].code, found[1].reasons[0].text_zh) == ("pinned", "店铺精选")
    others = [item.item_id for item in found if item.source != "pinned"]
    assert others == [each for each in plain(shop_engine) if each not in (CARDS[0], WEEKLY_ITEM)][:8]


def test_a_pinned_variant_takes_the_slot_of_its_product_and_a_seed_is_never_pinned(shop_engine: Engine) -> None:
    placement = with_("similar", pins=(Pin("phone-2-white", 1), Pin("phone-2-black", 2), Pin(PHONES[0], 3)))
    found = ids(ask(shop_engine, placement, item_ids=(PHONES[3],)))
    assert found[0] == "phone-2-white"
    assert "phone-2-black" not in found
    assert PHONES[0] not in ids(ask(shop_engine, placement, item_ids=(PHONES[0],)))
    assert "phone-2-white" not in ids(ask(shop_engine, placement, item_ids=("phone-2-black",)))


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
@pytest.mark.parametrize("text", ["category = '存储卡'", "category = '早餐'", "brand = '星辰'"])
def test_promotions_have_their_share_of_every_first_places(shop_engine: Engine, share: float, text: str) -> None:
    placement = with_(promotions=(Promotion(text, share),))
    mask = Masks().of(text, shop_engine, {}, {})
    n_kinds = len({*shop_engine.catalog.group[mask & (shop_engine.catalog.group >= 0)].tolist()})
    n_enough = int((mask & (shop_engine.catalog.group < 0)).sum()) + n_kinds
    found = ask(shop_engine, placement, 20)
    promoted = mask[shop_engine.items.rows(ids(found))]
    due = (share * np.arange(1, 21) + 1e-9).astype(int)
    assert (np.cumsum(promoted) >= np.minimum(due, n_enough)).all()
    for item, is_promoted in zip(found.recommendations.items, promoted, strict=True):
        assert ("promoted" in [reason.code for reason in item.reasons]) == is_promoted


def test_a_boost_multiplies_scores(shop_engine: Engine) -> None:
    text = "category = '早餐'"
    before = {item.item_id: item.score for item in ask(shop_engine, with_(), MAX_LIMIT).recommendations.items}
    after = ask(shop_engine, with_(boosts=(Boost(text, 3.0),)), MAX_LIMIT).recommendations.items
    breakfast = {*SHELVES["milk"].ids, *SHELVES["bread"].ids, *SHELVES["coffee"].ids}
    for item in after:
        factor = 3.0 if item.item_id in breakfast else 1.0
        assert item.score == pytest.approx(before[item.item_id] * factor, rel=1e-5)
    assert [item.score for item in after] == sorted((item.score for item in after), reverse=True)


def test_what_is_new_counts_for_more_by_its_age(shop_engine: Engine) -> None:
    """Factors by hand: 1 + 2·2^(−age/10 days) is 3 at once, 2 after ten days, 1 where nothing is known."""
    now = shop_engine.dataset_info.end
    moments = [now, now - 10 * DAY_S, None, now + DAY_S]
    created = [None if each is None else datetime.fromtimestamp(each, UTC) for each in moments]
    values = [*created, *[None] * (len(shop_engine.items) - 4)]
    dtype = shop_engine.items_table.schema["created_at"]
    engine = replace(
        shop_engine, items_table=shop_engine.items_table.with_columns(pl.Series("created_at", values).cast(dtype))
    )
    placement = with_(freshness=Freshness(2.0, 10.0))
    state = resolve(engine, Request("for_you", now, 10, USER), placement)
    factors = boost_factors(placement, state, np.arange(4, dtype=np.int32))
    assert factors.tolist() == pytest.approx([3.0, 2.0, 1.0, 3.0])


def test_diversity_makes_neighbours_less_alike_and_none_is_the_plain_order(shop_engine: Engine) -> None:
    def likeness(found: list[str]) -> float:
        vectors = embeddings(shop_engine, shop_engine.items.rows(found))
        return float((vectors @ vectors.T)[np.triu_indices(len(found), 1)].mean())

    before = plain(shop_engine, limit=10)
    assert ids(ask(shop_engine, with_(), diversity=0.0)) == before
    assert likeness(ids(ask(shop_engine, with_(diversity=0.7)))) < likeness(before)
    assert ids(ask(shop_engine, with_(diversity=0.7))) == ids(ask(shop_engine, with_(), diversity=0.7))


def test_no_category_has_more_than_its_bound_while_others_are_left(shop_engine: Engine) -> None:
    found = shop_engine.items.rows(ids(ask(shop_engine, with_(max_per_category=1), 8)))
    categories = shop_engine.catalog.item_category[found]
    assert len(set(categories[categories >= 0].tolist())) == (categories >= 0).sum()


def test_rotation_is_another_order_each_day_and_the_same_within_one(shop_engine: Engine) -> None:
    placement, end = with_(rotation=0.5), shop_engine.dataset_info.end

    def at(moment: int, user_id: str = USER) -> list[str]:
        request = Request("for_you", moment, 10, user_id)
        return ids(recommend_with_trace(shop_engine, request, placements={"for_you": placement}))

    midnight = (end + 8 * 3600) // DAY_S * DAY_S - 8 * 3600
    assert at(midnight + 60) == at(midnight + 60)
    orders = {tuple(at(midnight + day * DAY_S + 3600)) for day in range(-6, 1)}
    assert len(orders) == 7
    shown = {item for order in orders for item in order}
    assert len(shown) > 13, "the same ten are not shown for ever"
    first = plain(shop_engine, limit=3)
    assert np.mean([len(set(first) & set(order)) for order in orders]) > 1.5, "what is best still comes more often"


def test_a_rotated_list_tells_how_likely_it_was(shop_engine: Engine) -> None:
    plain_ids = plain(shop_engine, limit=MAX_LIMIT)
    found = ask(shop_engine, with_(rotation=0.5), 10).recommendations.items
    order = np.array([plain_ids.index(item.item_id) for item in found])
    weight = 1.0 / np.arange(1, len(plain_ids) + 1) ** 2
    left = weight.sum() - np.concatenate([[0], weight[order].cumsum()[:-1]])
    assert [item.propensity for item in found] == pytest.approx((weight[order] / left).tolist(), rel=0.02)
    assert {
        item.propensity for item in ask(shop_engine, with_(rotation=0.0, diversity=0.3), 10).recommendations.items
    } == {1.0}
    pinned = with_(rotation=0.5, diversity=0.4, max_per_category=2, tail_share=0.2)
    assert all(0 < item.propensity <= 1 for item in ask(shop_engine, pinned, 10).recommendations.items)


def test_the_opted_out_share_the_days_chance_of_nobody(shop_engine: Engine) -> None:
    placement = with_("popular", rotation=1.0)
    assert ids(ask(shop_engine, placement, user_id=OPTED_OUT)) == ids(ask(shop_engine, placement, user_id=None))


def test_what_was_just_looked_at_is_left_out(shop_engine: Engine) -> None:
    history = shop_engine.history.of(shop_engine.users.row(USER), shop_engine.dataset_info.end)
    seen = history.take(
        (history.event_type != shop_engine.dataset_info.target_event)
        & (history.timestamp > shop_engine.dataset_info.end - 90 * DAY_S)
    )
    found = shop_engine.items.rows(ids(ask(shop_engine, with_(seen_days=90.0), MAX_LIMIT)))
    assert not np.isin(found, seen.item_idx).any()


def ranked(engine: Engine, placement: Placement, **given: object) -> tuple[UserState, Ranking]:
    request = Request(placement.name, engine.dataset_info.end, MAX_LIMIT, **{"user_id": USER, **given})  # type: ignore[arg-type]
    state = resolve(engine, request, placement)
    return state, rank(placement, state)


@pytest.mark.parametrize("name", [name for name, each in PLACEMENTS.items() if each.lists == "items"])
def test_kept_and_removed_are_all_candidates(shop_engine: Engine, name: str) -> None:
    seeds = (PHONES[0], CAMERAS[0]) if PLACEMENTS[name].anchor == "item" else ()
    overrides = {"diversity": 0.4, "rotation": 0.5, "max_per_category": 2, "seen_days": 3.0}
    state, found = ranked(shop_engine, with_(name, **overrides), item_ids=seeds, n_lookahead=500)
    sources = active_sources(PLACEMENTS[name], shop_engine.blends)
    candidates = generate(sources, state).item_idx
    removed = np.concatenate([found.item_idx, *found.removed.values()])
    assert sorted(removed.tolist()) == candidates.tolist()


def test_substitutes_serve_in_turn_until_one_fills(shop_engine: Engine) -> None:
    empty = with_(sources={"due": 1.0}, ranker="", fallback="", filter="category = '存储卡'")
    few = replace(empty, sources={"similar": 1.0}, anchor="none")
    popular = replace(empty, sources={"popular": 1.0}, anchor="none")
    found = ask(shop_engine, replace(empty, substitutes=(few, popular)), 3)
    assert found.recommendations.fallback_used
    assert set(ids(found)) <= set(CARDS)
    assert len(ids(found)) == 3
    stranger = ask(shop_engine, replace(empty, substitutes=(popular,)), 3, user_id="nobody")
    assert {item.source for item in stranger.recommendations.items} == {"popular"}


def test_a_filter_of_the_placement_and_of_the_request_both_hold(shop_engine: Engine) -> None:
    placement = with_(filter="category = '早餐'")
    found = ids(ask(shop_engine, placement, filter="price < 10"))
    assert found
    assert set(found) <= set(SHELVES["bread"].ids)


def test_faults_name_who_can_mend_them(shop_engine: Engine) -> None:
    with pytest.raises(FilterError) as caught:
        ask(shop_engine, with_(), filter="prce < 3")
    assert (caught.value.field, caught.value.position) == ("filter", 1)
    with pytest.raises(RequestError, match="placement 'for_you'") as other:
        ask(shop_engine, with_(boosts=(Boost("price < context.budget", 2),)), context={"budget": "much"})
    assert other.value.field == "context"


def test_excluded_items_and_their_variants_are_not_listed(shop_engine: Engine) -> None:
    first = plain(shop_engine, limit=5)
    found = ids(ask(shop_engine, with_(), MAX_LIMIT, exclude=(*first, "phone-2-black", "unknown")))
    assert not set(found) & {*first, "phone-2-white", "phone-2-black"}
