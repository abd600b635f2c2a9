"""Lists of sets: whole sets only, no product twice, and an order that follows from counts that are written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from msgspec import UNSET

from recsys.core.errors import ConfigError, RequestError
from recsys.core.placements import PLACEMENTS, Placement
from recsys.core.request import ItemSet, Recommendations, Request, SetItem
from recsys.core.schema import USERS
from recsys.data.history import History
from recsys.eventlog.store import LogEntry, StoredEntry
from recsys.filters.filter import compile_filter
from recsys.fitting.engine import Engine
from recsys.live.view import LiveView
from recsys.models.pairs.item_sets import MAX_SIZE, ItemSetModel
from recsys.pipeline.explain import explain
from recsys.pipeline.item_sets import BEST_SETS_SOURCE, PRICE_BOUND, SETS_SOURCE, WHOLE_SET
from recsys.pipeline.recommend import recommend_with_trace
from recsys.rules.loader import parse_placements
from tests.recsys.tiny_engine import N_ITEMS, NOW, REFUND, f32, history, i32, tiny_engine
from tests.shop import table

SETS = ((2, 4), (0, 2, 4), (3, 7), (1, 5), (5, 6), (0, 7))
"""Rows of items `a` to `h`; the first two overlap, as do the third and the last."""

SUPPORT, LIFT = (40, 20, 12, 8, 6, 5), (4, 30, 8, 10, 9, 6)


def set_model() -> ItemSetModel:
    item_idx = np.array([(*items, *(-1,) * (MAX_SIZE - len(items))) for items in SETS], np.int32)
    number, column = np.nonzero(item_idx >= 0)
    member = item_idx[number, column]
    order = np.argsort(member, kind="stable")
    surprise = np.log(f32(*LIFT) / 2)
    return ItemSetModel(item_idx, i32(*SUPPORT), f32(*LIFT), surprise, member[order], number[order].astype(np.int32))


def engine_of(**changes: Any) -> Engine:
    engine = tiny_engine(**changes)
    copurchase = replace(engine.copurchase, n_baskets=i32(60, 30, 80, 20, 90, 15, 10, 18), n_all=200)
    return replace(engine, copurchase=copurchase, item_sets=set_model())


ENGINE = engine_of()


def ask(engine: Engine = ENGINE, placements: Mapping[str, Placement] = PLACEMENTS, **asked: Any) -> Recommendations:
    request = Request("item_sets", NOW, **{"limit": 10, **asked})
    return recommend_with_trace(engine, request, placements=placements).recommendations


def sets_of(found: Recommendations) -> list[str]:
    """The items of each set by the alphabet, such as `ace`."""
    assert isinstance(found.sets, tuple)
    return ["".join(sorted(item.item_id for item in each.items)) for each in found.sets]


def first_set(found: Recommendations) -> ItemSet:
    assert isinstance(found.sets, tuple)
    return found.sets[0]


def test_the_best_sets_for_nobody_share_no_product() -> None:
    """By support and surprise: ace 20·ln 15 is before ce 40·ln 2; bf has a variant of a, as ah has a."""
    found = ask()
    assert sets_of(found) == ["ace", "dh", "fg"]
    assert [item.item_id for item in found.items] == list("ceadhfg"), "the dearest first"
    assert [item.rank for item in found.items] == list(range(1, 8))
    assert {item.source for item in found.items} == {BEST_SETS_SOURCE}
    assert found.fallback_used
    assert sets_of(ask(limit=1)) == ["ace"], "the limit counts sets"


def test_a_set_has_its_counts_live_prices_and_a_reason() -> None:
    found = first_set(ask(item_ids=("d",)))
    assert (found.rank, found.support, found.lift) == (1, 12, 8.0)
    assert [(item.item_id, item.price) for item in found.items] == [("d", 90.0), ("h", 5.0)]
    assert found.total_price == 95.0
    assert [reason.code for reason in found.reasons] == ["item_set"]
    assert found.reasons[0].text == "bought together in 12 baskets, at least 8.0 times chance"
    assert found.reasons[0].text_zh == "有12个订单一起买了它们，至少是随机情况的8.0倍"
    unknown = [each for each in ask().sets or () if each.items[-1].item_id == "g"]
    assert unknown[0].total_price is None
    assert unknown[0].items[1].price is None


def test_lists_of_items_have_no_sets() -> None:
    request = Request("popular", NOW)
    assert recommend_with_trace(ENGINE, request).recommendations.sets is UNSET


def test_sets_for_an_item_contain_it_by_the_probability_of_the_rest() -> None:
    """Of 80 baskets with c, 40 have e: `ln 2 · 40/80`; 20 have a and e: `ln 15 · 20/80`."""
    found = ask(item_ids=("c",))
    assert sets_of(found) == ["ace"], "e is in both: it is listed once"
    assert first_set(found).score == pytest.approx(np.log(15) * 20 / 80, rel=1e-4)
    assert not found.fallback_used
    assert [item.item_id for item in found.items] == ["e", "a"], "what the list is for is no item of it"
    assert [item.item_id for item in first_set(ask(item_ids=("a",))).items] == ["a", "c", "e"], "but first in its set"
    assert {item.source for item in found.items} == {SETS_SOURCE}
    without_a = ask(item_ids=("c",), exclude=("a",))
    assert sets_of(without_a) == ["ce"]
    assert first_set(without_a).score == pytest.approx(np.log(2) * 40 / 80, rel=1e-4)


def test_a_cart_gets_sets_that_it_has_not_yet() -> None:
    assert sets_of(ask(item_ids=("c", "e"))) == ["ace"], "ce is complete"
    both = ask(item_ids=("d", "f"))
    assert sets_of(both) == ["fg", "dh", "bf"] or set(sets_of(both)) == {"fg", "dh", "bf"}
    assert sets_of(ask(item_ids=("nothing",))) == sets_of(ask()), "an unknown item says nothing"
    assert ask(item_ids=("nothing",)).missing_ids == ("nothing",)


def test_an_item_without_sets_has_an_empty_list() -> None:
    engine = replace(ENGINE, item_sets=replace(set_model(), member=i32(), member_set=i32()))
    found = ask(engine, item_ids=("c",))
    assert (found.items, found.sets, found.fallback_used) == ((), (), False)


def test_a_shop_without_sets_has_empty_lists() -> None:
    found = ask(tiny_engine())
    assert (found.items, found.sets, found.fallback_used) == ((), (), True)


def engine_with_user(*events: tuple[int, float] | tuple[int, float, int]) -> Engine:
    one = history(*events)
    grouped = History.grouped(np.array([0, len(one)], np.int64), one)
    return engine_of(history=grouped, users_table=table([{"user_id": "u"}], USERS))


def test_sets_for_a_user_are_in_the_order_of_the_user() -> None:
    """Nobody else would see bf before ace; this user buys f all the time, and has bought d."""
    engine = engine_with_user(*((5, float(day)) for day in range(1, 40, 3)), (3, 30.0))
    found = ask(engine, user_id="u")
    assert not found.fallback_used
    assert sets_of(found)[0] in ("bf", "fg")
    codes = {item.item_id: [reason.code for reason in item.reasons] for item in found.items}
    assert codes["f"] == ["item_set", "bought_before"]
    assert all(of_item[0] == "item_set" for of_item in codes.values())
    stranger = ask(engine, user_id="a stranger")
    assert sets_of(stranger) == sets_of(ask())
    assert stranger.fallback_used


@pytest.mark.parametrize("gone", "abcdefgh")
def test_a_set_is_listed_only_if_all_its_items_may_be(gone: str) -> None:
    """Sold out, excluded and filtered out: the same sets are left."""
    row = "abcdefgh".index(gone)
    available = np.arange(N_ITEMS) != row
    sold_out = engine_of(catalog=replace(ENGINE.catalog, available=available))
    filtered = compile_filter(f"item_id != '{gone}'", ENGINE.items_table.schema)
    for found in (ask(sold_out), ask(filter=filtered)):
        assert not any(gone in each for each in sets_of(found))
        assert len(sets_of(found)) > 0
    assert sets_of(ask(sold_out)) == sets_of(ask(filter=filtered))
    if gone in "cdef":
        assert not any(gone in each for each in sets_of(ask(exclude=(gone,)))), "a and b are variants"
    assert ask(sold_out, item_ids=(gone,)).sets == (), "the item of the page is sold out, too"


def test_rules_about_purchases_do_not_concern_the_item_of_the_page() -> None:
    """The user has returned c: no set with it, but those of its own page."""
    engine = engine_with_user((2, 5.0, REFUND), (4, 5.0, REFUND))
    assert not any("c" in each or "e" in each for each in sets_of(ask(engine, user_id="u")))
    assert sets_of(ask(engine, user_id="u", item_ids=("c", "e"))) == ["ace"]


def test_a_price_bound_leaves_out_dearer_sets_and_unknown_prices() -> None:
    assert sets_of(ask(max_total_price=125.0)) == ["ace", "dh"], "10 + 100 + 15; the price of g is not known"
    assert sets_of(ask(max_total_price=124.99)) == ["ce", "dh", "bf"]
    capped = parse_placements({"placements": {"item_sets": {"max_total_price": 20}}}).placements
    assert sets_of(ask(placements=capped)) == ["ah"]
    assert sets_of(ask(placements=capped, max_total_price=124.99)) == ["ce", "dh", "bf"], "the request counts"


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf")])
def test_a_price_bound_is_above_zero(price: float) -> None:
    with pytest.raises(RequestError, match="max_total_price"):
        ask(max_total_price=price)


def test_other_lists_have_no_price_bound() -> None:
    with pytest.raises(RequestError, match="lists no sets"):
        recommend_with_trace(ENGINE, Request("popular", NOW, max_total_price=10.0))
    with pytest.raises(ConfigError, match="no such key in a list of items"):
        parse_placements({"placements": {"popular": {"max_total_price": 10}}})


@pytest.mark.parametrize(
    "table",
    [
        {"rotation": 0.5},
        {"diversity": 0.1},
        {"pins": [{"item_id": "a", "rank": 1}]},
        {"boosts": [{"filter": "price > 1", "factor": 2}]},
        {"tail_share": 0.5},
    ],
)
def test_keys_that_arrange_items_are_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="no such key in a list of sets"):
        parse_placements({"placements": {"mine": {"extends": "item_sets", **table}}})


@pytest.mark.parametrize(("name", "fallback"), [("item_sets", "popular"), ("buy_again", "item_sets")])
def test_sets_and_items_are_no_fallback_of_each_other(name: str, fallback: str) -> None:
    with pytest.raises(ConfigError, match="no fallback to or from a list of sets"):
        parse_placements({"placements": {name: {"fallback": [fallback]}}})


def test_a_missing_item_is_explained() -> None:
    def rule_of(item_id: str, **asked: Any) -> tuple[str, str | None]:
        found = recommend_with_trace(ENGINE, Request("item_sets", NOW, **{"limit": 10, **asked}))
        explanation = explain(found, item_id)
        return explanation.stage, explanation.rule

    assert rule_of("a") == ("listed", None)
    assert rule_of("b")[0] == "arranged_out", "a is in the list, and b is a variant of it"
    assert rule_of("g", limit=1)[0] == "too_low"
    assert rule_of("g", exclude=("f",)) == ("removed", WHOLE_SET)
    assert rule_of("g", max_total_price=50.0) == ("removed", PRICE_BOUND)


def test_a_list_outside_its_window_is_empty() -> None:
    closed = parse_placements({"placements": {"item_sets": {"hours": [3]}}}).placements
    found = ask(placements=closed)
    assert (found.items, found.sets, found.fallback_used) == ((), (), False)


def test_live_changes_of_price_and_availability_count_at_once(shop_engine: Engine) -> None:
    """The same bundle, before and after changes of the live log; a new item is in no set."""
    live = LiveView(shop_engine)
    request = Request("item_sets", shop_engine.dataset_info.end, 10)

    def sets() -> tuple[ItemSet, ...]:
        found = recommend_with_trace(live.engine, request, live=live).recommendations.sets
        assert isinstance(found, tuple)
        return found

    def change(seq: int, item_id: str, body: dict[str, Any]) -> None:
        at = float(shop_engine.dataset_info.end)
        entry = LogEntry("item_patch", item_id, at, at, body)
        live.apply([StoredEntry(shop_engine.dataset_info.store_seq + seq, entry)])

    first = sets()[0]
    total, price = first.total_price, first.items[0].price
    assert total is not None
    assert price is not None
    change(1, first.items[0].item_id, {"price": price + 2.5})
    assert sets()[0].total_price == pytest.approx(total + 2.5)
    change(2, "brand new", {"title": "新品", "price": 5.0})
    assert sets()[0].items == (SetItem(first.items[0].item_id, price + 2.5), *first.items[1:])
    change(3, first.items[1].item_id, {"available": False})
    gone = {item.item_id for item in first.items}
    assert not any(gone == {item.item_id for item in each.items} for each in sets())
    change(4, first.items[1].item_id, {"available": True})
    assert sets()[0].support == first.support
