from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from recsys.core.errors import RequestError
from recsys.core.placements import PLACEMENTS
from recsys.core.request import MAX_LIMIT, Recommendations, Request
from recsys.data.dataset import Dataset
from recsys.data.history import build_history
from recsys.filters import compile_filter
from recsys.fitting.engine import Engine
from recsys.pipeline.recommend import recommend, recommend_with_trace
from recsys.ranking.fit import fit_engine
from recsys.rules.diversity import apply_tail_quota
from tests.recsys.degenerate import DEGENERATE, degenerate_engine
from tests.recsys.small_shops import shops
from tests.shop import (
    CAMERAS,
    CARDS,
    LEATHER,
    LEATHER_FANS,
    NEVER_BOUGHT,
    NEW_YORKER,
    ODD_USERS,
    OPTED_OUT,
    ORPHANS,
    PHONES,
    SHELVES,
    SILENT_USER,
    TIMEZONE,
    UNAVAILABLE,
    USERS_WITH_HISTORY,
    VARIANTS,
    VISITOR,
    WEEKLY_ITEM,
    WEEKLY_SHOPPERS,
    moment,
    small_config,
)

every_placement = pytest.mark.parametrize("placement", PLACEMENTS)
FOR_USERS = tuple(
    name for name, placement in PLACEMENTS.items() if placement.anchor == "user" and not placement.may_be_empty
)
FOR_ITEMS = tuple(name for name, placement in PLACEMENTS.items() if placement.anchor == "item")
SOME_USERS = (*ODD_USERS, NEW_YORKER, VISITOR, SILENT_USER, OPTED_OUT, "a stranger", *USERS_WITH_HISTORY[5::9])
SOME_ITEMS = (PHONES[1], CAMERAS[0], "充电器🔌", "相机/三", "kitchen roll", *NEVER_BOUGHT[:2], *ORPHANS)


def _ask(
    engine: Engine,
    placement: str,
    user_id: str | None = None,
    item_ids: tuple[str, ...] = (),
    limit: int = 20,
    as_of: int | None = None,
) -> Recommendations:
    if PLACEMENTS[placement].anchor == "item" and not item_ids:
        item_ids = (PHONES[0],)
    return recommend(engine, Request(placement, as_of or engine.dataset_info.end, limit, user_id, item_ids), "v")


def _ids(answer: Recommendations) -> list[str]:
    return [item.item_id for item in answer.items]


def _questions(placement: str) -> list[tuple[str | None, tuple[str, ...]]]:
    if PLACEMENTS[placement].anchor == "item":
        return [(None, (item_id,)) for item_id in SOME_ITEMS] + [(user_id, SOME_ITEMS[:3]) for user_id in SOME_USERS]
    return [(user_id, ()) for user_id in SOME_USERS]


@every_placement
def test_an_answer_is_in_order_and_says_why(placement: str, shop_engine: Engine) -> None:
    for user_id, item_ids in _questions(placement):
        answer = _ask(shop_engine, placement, user_id, item_ids, limit=30)
        found = _ids(answer)
        assert (answer.placement, answer.model_version) == (placement, "v")
        assert len(found) == len(set(found)) <= 30
        assert [item.rank for item in answer.items] == list(range(1, len(found) + 1))
        scores = [item.score for item in answer.items]
        assert scores == sorted(scores, reverse=True)
        assert np.isfinite(scores).all()
        assert all(item.reasons and item.reasons[0].text for item in answer.items)
        assert 0 <= answer.head_share <= 1
        assert UNAVAILABLE not in found
        groups = [VARIANTS[item_id] for item_id in found if item_id in VARIANTS]
        assert len(groups) == len(set(groups))
        assert not set(found) & set(item_ids)


@every_placement
def test_a_filter_that_no_item_passes_gives_an_empty_list(placement: str, shop_engine: Engine) -> None:
    for user_id, item_ids in _questions(placement)[::3]:
        schema = shop_engine.items_table.schema
        none_left = compile_filter("price < -1", schema)
        request = Request(placement, shop_engine.dataset_info.end, 10, user_id, item_ids, filter=none_left)
        assert recommend(shop_engine, request).items == ()
        one_left = replace(request, filter=compile_filter(f"item_id = '{WEEKLY_ITEM}'", schema))
        assert set(_ids(recommend(shop_engine, one_left))) <= {WEEKLY_ITEM}


@every_placement
def test_a_longer_list_extends_a_shorter_one(placement: str, shop_engine: Engine) -> None:
    for user_id, item_ids in _questions(placement)[::2]:
        longest = _ids(_ask(shop_engine, placement, user_id, item_ids, limit=MAX_LIMIT))
        for limit in (1, 3, 10, 40):
            found = _ask(shop_engine, placement, user_id, item_ids, limit)
            assert _ids(found) == longest[: limit if found.sets is UNSET else len(found.items)]


@every_placement
def test_the_same_question_has_the_same_answer(placement: str, shop_engine: Engine) -> None:
    for user_id, item_ids in _questions(placement)[:4]:
        assert _ask(shop_engine, placement, user_id, item_ids) == _ask(shop_engine, placement, user_id, item_ids)


@every_placement
@pytest.mark.parametrize("day", [20.4, 75.83])
def test_an_answer_for_the_past_sees_no_later_event(
    placement: str, day: float, shop_engine: Engine, shop_dataset: Dataset
) -> None:
    as_of = moment(day)
    past = replace(shop_engine, history=build_history(shop_dataset.until(as_of + 1), shop_engine.config.history))
    for user_id, item_ids in _questions(placement):
        assert _ask(shop_engine, placement, user_id, item_ids, as_of=as_of) == _ask(
            past, placement, user_id, item_ids, as_of=as_of
        )


@pytest.mark.parametrize("placement", FOR_USERS)
def test_of_strangers_and_the_opted_out_nothing_is_used(placement: str, shop_engine: Engine) -> None:
    stranger = _ask(shop_engine, placement, "a stranger")
    for user_id in (None, OPTED_OUT, SILENT_USER):
        answer = _ask(shop_engine, placement, user_id)
        assert answer.fallback_used
        assert _ids(answer) == _ids(stranger)
    if placement != "buy_again":
        assert len(stranger.items) == 20


@pytest.mark.parametrize("placement", FOR_USERS)
def test_who_is_known_is_known(placement: str, shop_engine: Engine) -> None:
    answers = {user_id: _ask(shop_engine, placement, user_id) for user_id in (*ODD_USERS, VISITOR)}
    assert not any(answer.fallback_used for answer in answers.values())
    assert len({tuple(_ids(answer)) for answer in answers.values()}) > 1


@pytest.mark.parametrize("placement", ["discover", "long_tail"])
def test_what_was_bought_before_is_no_discovery(placement: str, shop_engine: Engine, shop_dataset: Dataset) -> None:
    bought = shop_dataset.target_events
    for user_id in USERS_WITH_HISTORY:
        own = bought.item_idx[bought.user_idx == shop_engine.users.row(user_id)]
        found = shop_engine.items.rows(_ids(_ask(shop_engine, placement, user_id)))
        assert len(found) > 3
        assert not np.isin(found, own).any()


def test_the_long_tail_holds_no_bestseller(shop_engine: Engine) -> None:
    for user_id in SOME_USERS:
        answer = _ask(shop_engine, "long_tail", user_id)
        assert answer.head_share == 0
        assert not shop_engine.popularity.is_head[shop_engine.items.rows(_ids(answer))].any()


def test_who_loves_leathercraft_gets_more_of_it(shop_engine: Engine) -> None:
    def share(user_id: str) -> float:
        return len(set(_ids(_ask(shop_engine, "long_tail", user_id))) & set(LEATHER)) / 20

    fans = [share(user_id) for user_id in LEATHER_FANS]
    others = [share(user_id) for user_id in USERS_WITH_HISTORY if user_id not in LEATHER_FANS]
    assert min(fans) > max(others)
    assert np.mean(fans) > 0.2 > 10 * np.mean(others)


def _substitutes(engine: Engine, item_id: str) -> set[str]:
    row, catalog = engine.items.row(item_id), engine.catalog
    same_type = (catalog.item_type == catalog.item_type[row]) & (catalog.item_type[row] >= 0)
    same_group = (catalog.group == catalog.group[row]) & (catalog.group[row] >= 0)
    return {engine.items.ids[other] for other in np.flatnonzero(same_type | same_group)}


def test_a_complement_replaces_nothing(shop_engine: Engine) -> None:
    for item_id in shop_engine.items.ids:
        found = _ids(_ask(shop_engine, "complementary", item_ids=(item_id,), limit=MAX_LIMIT))
        assert item_id not in found
        assert not set(found) & _substitutes(shop_engine, item_id)


def test_the_card_goes_with_the_camera_and_the_camera_not_with_the_card(shop_engine: Engine) -> None:
    for camera in CAMERAS:
        assert set(_ids(_ask(shop_engine, "complementary", item_ids=(camera,), limit=5))) & set(CARDS)
    for card in CARDS:
        found = _ids(_ask(shop_engine, "complementary", item_ids=(card,), limit=MAX_LIMIT))
        assert found
        assert not set(found) & set(CAMERAS)


def test_similar_items_could_replace_the_seed(shop_engine: Engine) -> None:
    for shelf in ("cards", "milk", "wallets", "books"):
        for item_id in SHELVES[shelf].ids:
            found = _ids(_ask(shop_engine, "similar", item_ids=(item_id,), limit=len(SHELVES[shelf].ids) - 1))
            assert set(found) <= _substitutes(shop_engine, item_id)


def test_what_was_just_bought_is_not_shown_beside_another_item(shop_engine: Engine, shop_dataset: Dataset) -> None:
    user_id, just_now = WEEKLY_SHOPPERS[0], moment(108, 12)
    seeds = tuple(item_id for item_id in SHELVES["detergent"].ids)
    placement = "bought_together"
    assert WEEKLY_ITEM in _ids(_ask(shop_engine, placement, None, seeds, MAX_LIMIT, just_now))
    assert WEEKLY_ITEM not in _ids(_ask(shop_engine, placement, user_id, seeds, MAX_LIMIT, just_now))
    assert WEEKLY_ITEM in _ids(_ask(shop_engine, placement, user_id, seeds, MAX_LIMIT, just_now + 6 * 86_400))


def test_buy_again_waits_until_an_item_is_due(shop_engine: Engine) -> None:
    user_id, bought_at = WEEKLY_SHOPPERS[2], moment(108, 12)
    just_bought = _ask(shop_engine, "buy_again", user_id, as_of=bought_at + 3600)
    due = _ask(shop_engine, "buy_again", user_id, as_of=bought_at + 7 * 86_400 - 3600)
    assert WEEKLY_ITEM not in _ids(just_bought)
    assert WEEKLY_ITEM in _ids(due)
    assert not just_bought.fallback_used


def test_buy_again_lists_only_what_was_bought(shop_engine: Engine, shop_dataset: Dataset) -> None:
    bought = shop_dataset.target_events
    for user_id in USERS_WITH_HISTORY:
        own = bought.item_idx[bought.user_idx == shop_engine.users.row(user_id)]
        assert np.isin(shop_engine.items.rows(_ids(_ask(shop_engine, "buy_again", user_id))), own).all()


def test_mornings_and_evenings_differ(shop_engine: Engine) -> None:
    breakfast = {item_id for shelf in ("milk", "bread", "coffee", "tea") for item_id in SHELVES[shelf].ids}
    for user_id in (*USERS_WITH_HISTORY[::7], None):
        for placement in ("time_of_day", "popular"):
            morning = _ids(_ask(shop_engine, placement, user_id, limit=8, as_of=moment(119, 8)))
            evening = _ids(_ask(shop_engine, placement, user_id, limit=8, as_of=moment(119, 20)))
            if user_id != NEW_YORKER:
                assert len(breakfast & set(morning)) >= 4
                assert len(breakfast & set(evening)) <= 3


def test_the_hour_is_the_shoppers_own(shop_engine: Engine) -> None:
    as_of = moment(119, 8)
    abroad = _ask(shop_engine, "time_of_day", NEW_YORKER, as_of=as_of)
    home = _ask(shop_engine, "time_of_day", USERS_WITH_HISTORY[11], as_of=as_of)
    hour = datetime.fromtimestamp(as_of, ZoneInfo("America/New_York")).hour
    assert (abroad.local_hour, abroad.timezone) == (hour, "America/New_York") == (20, "America/New_York")
    assert (home.local_hour, home.timezone) == (8, TIMEZONE)
    told = [reason for item in abroad.items for reason in item.reasons if reason.code == "hour"]
    assert {reason.values["from_hour"] for reason in told} == {18}
    told = [reason for item in home.items for reason in item.reasons if reason.code == "hour"]
    assert {reason.values["from_hour"] for reason in told} == {5}


def test_unknown_seeds_are_named_and_the_others_serve(shop_engine: Engine) -> None:
    answer = _ask(shop_engine, "complementary", item_ids=("no such/item", CAMERAS[0], "没有"))
    assert answer.missing_ids == ("no such/item", "没有")
    assert _ids(answer) == _ids(_ask(shop_engine, "complementary", item_ids=(CAMERAS[0],)))
    unknown = _ask(shop_engine, "complementary", item_ids=("no such/item",))
    assert unknown.fallback_used
    assert unknown.items


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("placement", Request("x", 0)),
        ("placement", Request("", 0)),
        ("limit", Request("for_you", 0, limit=0)),
        ("limit", Request("for_you", 0, limit=MAX_LIMIT + 1)),
        ("limit", Request("for_you", 0, limit=-1)),
        ("item_ids", Request("complementary", 0)),
        ("item_ids", Request("similar", 0, user_id="u")),
    ],
)
def test_a_question_that_cannot_be_answered_names_its_field(field: str, request_: Request, shop_engine: Engine) -> None:
    with pytest.raises(RequestError) as refused:
        recommend(shop_engine, request_)
    assert refused.value.field == field


def _ask_everything(engine: Engine, item_ids: tuple[str, ...], user_ids: tuple[str, ...]) -> None:
    for placement in PLACEMENTS.values():
        seeds: tuple[tuple[str, ...], ...] = ((),)
        if placement.anchor == "item":
            seeds = (*((item_id,) for item_id in item_ids), item_ids)
        for user_id in (*user_ids, "a stranger", None):
            for seed in seeds:
                for as_of in (engine.dataset_info.end, engine.dataset_info.end + 30 * 86_400):
                    answer = recommend(engine, Request(placement.name, as_of, 10, user_id, seed))
                    assert len(answer.items) <= 10
                    assert not set(_ids(answer)) & set(seed)
                    assert all(item.reasons for item in answer.items)
                    assert np.isfinite([item.score for item in answer.items]).all()


@pytest.mark.parametrize("shop", DEGENERATE)
def test_a_shop_of_next_to_nothing_answers_every_list(shop: str) -> None:
    engine = degenerate_engine(shop)
    _ask_everything(engine, engine.items.ids, engine.users.ids[:2])


@settings(max_examples=8)
@given(shops())
def test_any_shop_answers_every_list(dataset: Dataset) -> None:
    _ask_everything(fit_engine(dataset, small_config()), dataset.items.ids[::2], dataset.users.ids[:2])


@given(
    st.sampled_from(SOME_USERS),
    st.lists(st.sampled_from(SOME_ITEMS), min_size=1, max_size=3),
    st.integers(0, 130 * 24),
    st.sampled_from(sorted(PLACEMENTS)),
)
def test_at_any_hour_anybody_gets_an_answer(
    shop_engine: Engine, user_id: str, item_ids: list[str], hour: int, placement: str
) -> None:
    answer = _ask(shop_engine, placement, user_id, tuple(item_ids), 20, moment(0, hour))
    assert UNAVAILABLE not in _ids(answer)
    if PLACEMENTS[placement].anchor == "item":
        assert not set(_ids(answer)) & set(item_ids)


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 20), st.integers(1, 20))
def test_a_share_of_the_places_goes_to_the_tail(tail: list[bool], n_tail: int, limit: int) -> None:
    """As many of the tail as are wanted or there are; who makes room are the last others, and the order stays."""
    n_tail = min(n_tail, limit)
    order, is_tail = np.arange(len(tail)), np.array(tail, np.bool_)
    found = apply_tail_quota(order, is_tail, n_tail, limit)
    assert len(found) == min(limit, len(tail))
    assert (np.diff(found) > 0).all()
    n_before = int(is_tail[:limit].sum())
    assert is_tail[found].sum() == max(n_before, min(n_tail, int(is_tail.sum())))
    stayed = set(found.tolist()) & set(range(limit))
    gone = sorted(set(range(min(limit, len(tail)))) - stayed)
    assert not is_tail[gone].any()
    assert all(is_tail[place] for place in stayed if gone and place > gone[0])


def test_a_list_is_cut_where_a_substitute_is_arranged_and_the_list_is_not(shop_engine: Engine) -> None:
    arranged = replace(PLACEMENTS["popular"], diversity=0.5)
    placement = replace(PLACEMENTS["for_you"], substitutes=(arranged,))
    request = Request("for_you", shop_engine.dataset_info.end, 3, "an unknown user")
    found = recommend_with_trace(shop_engine, request, placements={"for_you": placement})
    assert len(found.recommendations.items) == 3


@pytest.mark.parametrize("name", sorted(DEGENERATE))
def test_a_filter_that_fits_nothing_is_an_empty_list(name: str) -> None:
    engine = degenerate_engine(name)
    nothing = compile_filter("price < 0", engine.items_table.schema)
    for placement, each in PLACEMENTS.items():
        seeds = engine.items.ids[:2] if each.anchor == "item" else ()
        if each.anchor == "item" and not seeds:
            continue
        for user_id in ("u0", "nobody", None):
            for share in (None, 0.5):
                request = Request(
                    placement, 2_000_000_000, 10, user_id, seeds, filter=nothing, diversity=share, tail_share=share
                )
                assert recommend(engine, request).items == ()
