"""Every figure of a reason, counted again from the raw rows of the events table."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

from recsys.core.placements import PLACEMENTS
from recsys.core.request import Reason, RecommendedItem, Request
from recsys.fitting.engine import Engine
from recsys.pipeline.recommend import recommend
from recsys.pipeline.resolve import resolve
from recsys.reasons.context import ReasonContext
from recsys.reasons.evidence import FEW, _due_message, reasons_for
from recsys.reasons.related import LOWEST_QUOTED_LIFT
from recsys.retrieval.user_state import N_NEIGHBORS
from tests.shop import (
    CAMERAS,
    CARDS,
    NEW_YORKER,
    OPTED_OUT,
    PHONES,
    SHELVES,
    USERS_WITH_HISTORY,
    WEEKLY_ITEM,
    WEEKLY_SHOPPERS,
    ShopTables,
    moment,
)

DAY_S = 86_400
SEEDS = (PHONES[0], CAMERAS[0], CARDS[0], WEEKLY_ITEM, "薯片-原")


@dataclass(frozen=True)
class Facts:
    """What the raw rows say."""

    baskets: dict[str, set[str]]
    lines: list[tuple[str | None, str, str, int]]
    titles: dict[str, str]

    def n_baskets_with(self, *item_ids: str) -> int:
        return sum(set(item_ids) <= held for held in self.baskets.values())

    def n_buyers(self, item_id: str) -> int:
        return len({who or basket for who, basket, item, _ in self.lines if item == item_id})

    def of(self, user_id: str, item_id: str, as_of: int) -> list[tuple[str, int]]:
        return [
            (basket, when)
            for who, basket, item, when in self.lines
            if who == user_id and item == item_id and when <= as_of
        ]


@pytest.fixture(scope="module")
def facts(shop_tables: ShopTables) -> Facts:
    baskets: dict[str, set[str]] = defaultdict(set)
    lines = []
    bought = shop_tables.events.filter(event="purchase").with_columns(day=pl.col("timestamp").dt.offset_by("8h"))
    for row in bought.iter_rows(named=True):
        who = row["user_id"] or row["visitor_id"]
        if who != OPTED_OUT:
            basket = row["basket_id"] or f"{who} on {row['day'].date()}"
            baskets[basket].add(row["item_id"])
            lines.append((who, basket, row["item_id"], int(row["timestamp"].timestamp())))
    named = shop_tables.items.select("item_id", pl.coalesce("title", "item_id")).iter_rows()
    return Facts(dict(baskets), lines, dict(named))


@dataclass(frozen=True)
class Told:
    """One reason of one item of one list."""

    placement: str
    user_id: str | None
    item: RecommendedItem
    reason: Reason


@pytest.fixture(scope="module")
def told(shop_engine: Engine) -> list[Told]:
    """Every reason of many lists."""
    return [
        Told(placement.name, user_id, item, reason)
        for placement in PLACEMENTS.values()
        for user_id in (None, NEW_YORKER, *USERS_WITH_HISTORY[::6], *WEEKLY_SHOPPERS[:2])
        for seeds in (((seed,) for seed in SEEDS) if placement.anchor == "item" else ((),))
        for item in recommend(
            shop_engine, Request(placement.name, shop_engine.dataset_info.end, 40, user_id, seeds)
        ).items
        for reason in item.reasons
    ]


@pytest.fixture
def context(shop_engine: Engine) -> ReasonContext:
    request = Request("buy_again", shop_engine.dataset_info.end, 5, USERS_WITH_HISTORY[0])
    state = resolve(shop_engine, request, PLACEMENTS["buy_again"])
    return ReasonContext(shop_engine, state, state.query)


def _of_code(told: list[Told], code: str) -> list[Told]:
    found = [one for one in told if one.reason.code == code]
    assert found, f"no list gives the reason {code}"
    return found


def test_every_reason_speaks_to_people(told: list[Told]) -> None:
    for reason in (one.reason for one in told):
        assert reason.code
        assert reason.text == reason.text.strip() != ""
        assert "nan" not in reason.text.split()
        assert all(isinstance(value, (int, float, str)) for value in reason.values.values())


def test_every_reason_speaks_chinese_too(told: list[Told]) -> None:
    """With Chinese marks, and with no letter that is not of a title, a type or an id."""
    for reason in (one.reason for one in told):
        quoted = [str(value) for value in reason.values.values() if isinstance(value, str)]
        own_words = reason.text_zh
        for text in sorted(quoted, key=len, reverse=True):
            own_words = own_words.replace(text, "")
        assert reason.text_zh == reason.text_zh.strip() != ""
        assert not re.search(r"[A-Za-z,;:(){} ]", own_words), reason.text_zh


def test_both_languages_tell_the_same_figures_and_they_are_the_values(told: list[Told]) -> None:
    """Every number in a text is one of the values in a form of its own; "once" and "yesterday" are numbers too."""
    words = {"once": "1", "twice": "2", "one": "1", "today": "0", "yesterday": "1", "今天": "0", "昨天": "1"}
    for reason in (one.reason for one in told):
        numbers = {str(value) for value in reason.values.values() if not isinstance(value, str)}
        for value in (value for value in reason.values.values() if isinstance(value, float)):
            numbers |= {f"{value:.0f}", f"{value:.1f}", f"{value:.2f}", f"{100 * value:.1f}"}
        for text, language in ((reason.text, "en"), (reason.text_zh, "zh")):
            for quoted in (str(value) for value in reason.values.values() if isinstance(value, str)):
                text = text.replace(quoted, "")
            text = re.sub(r"\d+年\d+月\d+日", "", text)
            found = set(re.findall(r"\d+(?:\.\d+)?", text))
            found |= {
                number for word, number in words.items() if re.search(rf"\b{word}\b" if word.isascii() else word, text)
            }
            assert found <= numbers | {"1"}, (language, text, reason.values)


def test_the_seed_that_is_named_is_the_one_that_spoke_most(told: list[Told], shop_engine: Engine) -> None:
    """Sources that sum over the shopper's items, counted again item by item."""
    engine, n_seen = shop_engine, 0
    for one in told:
        if one.user_id is None or one.item.source not in ("together", "ease", "content"):
            continue
        request = Request(one.placement, engine.dataset_info.end, 40, one.user_id)
        state = resolve(engine, request, PLACEMENTS[one.placement])
        row, seeds = (
            engine.items.row(one.item.item_id),
            dict(zip(*(part.tolist() for part in state.top_history_items), strict=True)),
        )
        if one.item.source == "ease" and one.reason.code == "goes_with_own":
            model, own, key = engine.ease, state.own, "item_id"
            said = {
                seed: float(
                    model.weight[model.row_of[seed]][model.neighbor[model.row_of[seed]] == model.row_of[row]].sum()
                    * np.log1p(n)
                )
                for seed, n in zip(own.item_idx.tolist(), own.n_baskets.tolist(), strict=True)
                if model.row_of[seed] >= 0
            }
        elif one.item.source == "together" and one.reason.code == "bought_together":
            lists, key = engine.copurchase.partners, "with"
            said = {seed: float(lists.score[seed][lists.item_idx[seed] == row].sum() * w) for seed, w in seeds.items()}
        elif one.item.source == "content" and one.reason.code == "similar":
            lists, key = engine.hybrid, "like"
            near, score = lists.similar_idx[:, :N_NEIGHBORS], lists.similar_score[:, :N_NEIGHBORS]
            said = {seed: float(score[seed][near[seed] == row].sum() * w) for seed, w in seeds.items()}
        else:
            continue
        named = engine.items.row(str(one.reason.values[key]))
        assert said[named] == pytest.approx(max(said.values()), rel=1e-5)
        assert said[named] > 0
        assert one.reason.values["title"] == engine.titles[named]
        n_seen += 1
    assert n_seen > 10


def test_what_no_source_speaks_for_is_told_as_it_sells(shop_engine: Engine) -> None:
    """A list may be asked to keep what none of its evidence is about; that is no ground to fail, or to invent."""
    request = Request("for_you", shop_engine.dataset_info.end, 5, "a stranger")
    state = resolve(shop_engine, request, PLACEMENTS["for_you"])
    rows = shop_engine.by_popularity[:3]
    for source in ("repeat", "due", "together", "ease", "touched", "content"):
        for reasons in reasons_for(PLACEMENTS["for_you"], state, rows, [source] * 3):
            assert [reason.code for reason in reasons] == ["popular"]


def test_a_niche_of_a_type_that_you_buy_is_close_to_yours(told: list[Told], facts: Facts) -> None:
    shelf_of = {item_id: shelf for shelf in SHELVES.values() for item_id in shelf.ids}
    for one in _of_code(told, "close_to_yours"):
        shelf = shelf_of[one.item.item_id]
        assert one.reason.values["type"] == shelf.path[-1]
        assert one.reason.text_zh == f"与您买过的“{shelf.path[-1]}”相近"
        assert any(who == one.user_id and line in shelf.ids for who, _, line, _ in facts.lines)


def test_bought_together_in_n_of_m_baskets_and_so_many_times_chance(
    told: list[Told], shop_engine: Engine, facts: Facts
) -> None:
    assert shop_engine.copurchase.n_all == len(facts.baskets)
    for one in _of_code(told, "bought_together"):
        item, reason = one.item, one.reason
        seed = str(reason.values["with"])
        n_both, n_seed = facts.n_baskets_with(seed, item.item_id), facts.n_baskets_with(seed)
        lift = n_both / n_seed / (facts.n_baskets_with(item.item_id) / len(facts.baskets))
        assert reason.values["n_together"] == n_both > 0
        assert reason.values["n_baskets"] == n_seed
        assert ("lift" in reason.values) == (lift >= LOWEST_QUOTED_LIFT)
        if lift < LOWEST_QUOTED_LIFT:
            continue
        assert reason.values["lift"] == pytest.approx(lift, abs=0.006)
        name = facts.titles.get(seed, seed)
        told_lift = f"{reason.values['lift']:.1f}"
        assert reason.text.startswith(f"bought together with {name} in {n_both} of its {n_seed} baskets, {told_lift}")
        zh = f"买了“{name}”的{n_seed}个订单中，有{n_both}个也买了它，是随机情况的{told_lift}倍"
        assert reason.text_zh == zh


def test_bought_before_so_often_and_so_long_ago(told: list[Told], shop_engine: Engine, facts: Facts) -> None:
    for one in _of_code(told, "bought_before"):
        user_id, item, reason = one.user_id, one.item, one.reason
        own = facts.of(str(user_id), item.item_id, shop_engine.dataset_info.end)
        assert reason.values["n_baskets"] == len({basket for basket, _ in own})
        assert reason.values["last_days_ago"] == (shop_engine.dataset_info.end - max(when for _, when in own)) // DAY_S


def test_due_again_on_a_day_that_follows_from_the_figures(told: list[Told], shop_engine: Engine, facts: Facts) -> None:
    for one in _of_code(told, "due_again"):
        user_id, item, reason = one.user_id, one.item, one.reason
        own = facts.of(str(user_id), item.item_id, shop_engine.dataset_info.end)
        n, last = len({basket for basket, _ in own}), max(when for _, when in own)
        assert reason.values["n_baskets"] == n
        assert reason.values["last_days_ago"] == (shop_engine.dataset_info.end - last) // DAY_S
        due = np.datetime64(str(reason.values["due_at"])) - np.datetime64(last, "s").astype("datetime64[D]")
        assert float(reason.values["interval_days"]) == pytest.approx(due.astype(int), abs=1.1)


@pytest.mark.parametrize(
    ("n", "intervals", "name"),
    [
        (1, 0.9, "due_a_second_time"),
        (1, 1.4, "due_a_second_time"),
        (1, 1.6, "bought_before"),
        (1, 9.0, "bought_before"),
        (2, 1.4, "due_again"),
        (2, 1.6, "bought_before"),
        (5, 1.9, "due_again"),
        (5, 2.1, "lapsed_favorite"),
    ],
)
@pytest.mark.parametrize("interval", [2.0, 30.0, 120.0])
def test_what_is_long_overdue_is_not_due(
    n: int, intervals: float, name: str, interval: float, context: ReasonContext
) -> None:
    last = context.query.now - round(intervals * interval * DAY_S)
    found, values = _due_message(context, n, last, interval)
    assert found == name
    assert ("due_at" in values) == name.startswith("due_")
    for locale in ("en", "zh"):
        assert context.templates.render(found, locale, values)


def test_a_weekly_shopper_is_told_of_a_week(shop_engine: Engine) -> None:
    as_of = moment(108 + 7, 11)
    request = Request("buy_again", as_of, 40, WEEKLY_SHOPPERS[3])
    (reason,) = next(item for item in recommend(shop_engine, request).items if item.item_id == WEEKLY_ITEM).reasons
    assert float(reason.values["interval_days"]) == pytest.approx(7, abs=1)
    assert reason.values["last_days_ago"] == 6


def test_buyers_are_the_distinct_shoppers_who_bought(told: list[Told], facts: Facts) -> None:
    for one in (one for one in told if one.reason.code in ("shoppers_alike", "popular")):
        assert one.reason.values["n_buyers"] == facts.n_buyers(one.item.item_id)


def test_a_niche_is_the_share_of_shoppers_who_buy(told: list[Told], shop_engine: Engine, facts: Facts) -> None:
    for one in _of_code(told, "niche"):
        item, reason = one.item, one.reason
        share = facts.n_buyers(item.item_id) / shop_engine.popularity.n_users
        assert reason.values["buyer_share"] == pytest.approx(share, abs=1e-5)
        assert share <= FEW
        assert f"{share:.1%}" in reason.text


def test_the_hours_named_hold_the_moment_and_the_lift_is_the_models(
    told: list[Told], shop_engine: Engine, facts: Facts
) -> None:
    """The stated lift is shrunk; it still falls on the side of 1 on which the raw counts fall, where those are many."""
    local = [(line, (when // 3600 + 8) % 24) for who, _, line, when in facts.lines if who != NEW_YORKER]
    for one in _of_code(told, "hour"):
        item, reason = one.item, one.reason
        first, last = int(reason.values["from_hour"]), int(reason.values["to_hour"])
        hours = {hour % 24 for hour in range(first, last + 1 + (24 if last < first else 0))}
        share = np.mean([hour in hours for _, hour in local])
        own = [hour in hours for line, hour in local if line == item.item_id]
        raw, stated = np.mean(own) / share if own else 1.0, float(reason.values["lift"])
        if len(own) > 60 and abs(raw - 1) > 0.25:
            assert (stated > 1) == (raw > 1)
        row = shop_engine.items.row(item.item_id)
        bucket = int(shop_engine.timeofday.bucket_of_hour[first])
        lift = float(shop_engine.timeofday.lift[row, bucket])
        assert stated == pytest.approx(lift, abs=6e-4)
        assert f"{stated:.2f} times" in reason.text
        assert f"{stated:.2f}倍" in reason.text_zh


def test_a_type_that_you_buy_is_the_items_own_type(told: list[Told], facts: Facts) -> None:
    shelf_of = {item_id: shelf for shelf in SHELVES.values() for item_id in shelf.ids}
    for one in (one for one in told if one.reason.code == "type_you_buy"):
        shelf = shelf_of[one.item.item_id]
        assert one.reason.values["type"] == shelf.path[-1]
        assert any(who == one.user_id and line in shelf.ids for who, _, line, _ in facts.lines)


def test_likeness_is_that_of_the_two_items(told: list[Told], shop_engine: Engine) -> None:
    hybrid, rows = shop_engine.hybrid, shop_engine.items
    for one in _of_code(told, "similar"):
        seed, row = rows.row(str(one.reason.values["like"])), rows.row(one.item.item_id)
        place = hybrid.similar_idx[seed].tolist().index(row)
        assert float(one.reason.values["likeness"]) == pytest.approx(hybrid.similar_score[seed, place], abs=6e-4)
