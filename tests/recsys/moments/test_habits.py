"""Replenishment, carts and lapsed favorites: planted rhythms are found with their due times."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from recsys.core.request import RecommendedItem
from recsys.live.view import find_user
from recsys.models.temporal.repeat import purchase_stats
from recsys.moments.habits import is_due
from tests.recsys.moments.moment_shop import NOW, LiveShop, asked, event, fitted, shop
from tests.shop import DAY_S

WEEKS = [
    *(event("weekly", "soap", 7 * week + 4, "purchase") for week in range(8)),
    *(event("late", "soap", 7 * week + 9, "purchase") for week in range(8)),
    *(event("gone", "soap", 7 * week + 60, "purchase") for week in range(8)),
    *(event("just now", "soap", 14 * week + 0.5, "purchase") for week in range(5)),
    *(event("wide", "soap", day, "purchase") for day in (10, 14, 70, 76, 140, 150)),
    event("once", "vase", 30, "purchase"),
]
ENGINE = fitted(shop(WEEKS))


def found(user_id: str, placement: str = "replenishment_due") -> dict[str, RecommendedItem]:
    return {item.item_id: item for item in asked(ENGINE, placement, user_id)}


def moment(text: object) -> float:
    return datetime.fromisoformat(str(text)).timestamp()


def test_a_weekly_rhythm_is_due_in_three_days() -> None:
    item = found("weekly")["soap"]
    (reason,) = item.reasons
    assert reason.code == "replenishment_due"
    assert reason.values["due_in_days"] == 3
    assert 1 <= int(reason.values["spread_days"]) <= 2
    assert moment(item.due_at) == pytest.approx(NOW + 3 * DAY_S, abs=0.5 * DAY_S)
    assert moment(item.expires_at) > moment(item.due_at)
    spread = "1 day" if reason.values["spread_days"] == 1 else "2 days"
    assert reason.text == f"due in 3 ± {spread}: bought 8 times, about every 7 days, last 4 days ago"
    assert reason.text_zh.startswith("预计3±")
    assert 0.2 <= float(reason.values["probability"]) <= 1


def test_a_probable_item_is_not_due_before_its_time() -> None:
    bought = find_user(ENGINE, "wide", NOW).history.of_type(ENGINE.dataset_info.target_event)
    own = purchase_stats(ENGINE.repeat, bought, NOW)
    model, certain = ENGINE.replenishment, np.ones(len(own.item_idx))
    due_in = own.interval_days - (NOW - own.last) / DAY_S
    assert model.config.horizon_days < due_in[0] < model.config.horizon_days + model.spread_days(own)[0]
    assert not is_due(ENGINE.repeat, model, own, certain, NOW).any()
    later = NOW + int((due_in[0] - model.config.horizon_days + 0.1) * DAY_S)
    assert is_due(ENGINE.repeat, model, own, certain, later).all()


def test_what_was_due_lately_says_so_and_what_was_due_long_ago_is_not_listed() -> None:
    (reason,) = found("late")["soap"].reasons
    assert (reason.code, reason.values["overdue_days"]) == ("replenishment_due", 2)
    assert reason.text.startswith("due 2 ± ")
    assert found("gone") == found("just now") == found("once") == found("nobody") == {}


def test_what_was_a_habit_and_ended_is_a_lapsed_favorite() -> None:
    item = found("gone", "lapsed_favorites")["soap"]
    assert item.reasons[0].text == "you bought it 8 times, about every 7 days, but last 60 days ago"
    assert item.reasons[0].text_zh == "您买过8次，大约每7天一次，但上次已是60天前"
    assert [found(user_id, "lapsed_favorites") for user_id in ("weekly", "late", "once", "nobody")] == [{}] * 4


def test_a_purchase_ends_the_message_at_the_next_request() -> None:
    live = LiveShop(ENGINE)
    assert live.ids("replenishment_due", "weekly") == ["soap"]
    live.event("weekly", "soap", 0.01, "purchase", basket_id="b")
    assert live.ids("replenishment_due", "weekly") == []


def test_a_cart_that_was_left_is_listed_until_it_is_emptied_or_bought() -> None:
    live = LiveShop(ENGINE)
    live.event("u", "lamp", 2, "add_to_cart")
    live.event("u", "vase", 1.9, "add_to_cart")
    live.event("u", "soap", 1.8, "add_to_cart")
    live.event("u", "soap", 1.7, "remove_from_cart")
    assert live.ids("cart_left", "u") == ["vase", "lamp"]
    item = live.ask("cart_left", "u").items[1]
    assert item.reasons[0].text == "put in your cart 2 days ago"
    assert item.reasons[0].text_zh == "2天前加入购物车，还没有结算"
    assert moment(item.expires_at) == NOW + 12 * DAY_S
    live.event("u", "vase", 0.1, "purchase", basket_id="b")
    assert live.ids("cart_left", "u") == ["lamp"]
    assert live.ids("cart_left", "u", as_of=NOW + 12 * DAY_S) == []


@pytest.mark.parametrize(("minutes", "is_left"), [(0, False), (59, False), (60, True)])
def test_a_cart_is_left_once_it_is_quiet(minutes: int, is_left: bool) -> None:
    live = LiveShop(ENGINE)
    live.event("u", "lamp", minutes / 1440, "add_to_cart")
    assert bool(live.ids("cart_left", "u")) == is_left


def test_a_history_without_purchases_has_no_habit() -> None:
    live = LiveShop(ENGINE)
    live.event("u", "soap", 1)
    for placement in ("replenishment_due", "lapsed_favorites", "cart_left"):
        answer = live.ask(placement, "u")
        assert (answer.items, answer.fallback_used) == ((), False)
        assert np.isfinite(answer.head_share)
