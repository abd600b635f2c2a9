from __future__ import annotations

import re
from itertools import product
from string import Formatter
from typing import Any

import pytest

from recsys.core.schema import EVENT_NAMES
from recsys.reasons.messages import LOCALES, MESSAGES
from recsys.reasons.templates import FORMS, PAST, VERB_ZH, templates_for

WORDS = {"did", "do", "by", "unit", "measure"}
VALUES: dict[str, Any] = {
    "n_baskets": 40,
    "n_together": 12,
    "n_buyers": 76,
    "support": 1234,
    "last_days_ago": 21,
    "interval_days": 19.2,
    "due_at": "2017-12-20",
    "lift": 3.25,
    "buyer_share": 0.0308,
    "from_hour": 5,
    "to_hour": 11,
    "event": "view_item",
    "title": "X",
    "type": "皮具",
    "own_type": "X",
    "rank": 3,
    "limit": 20,
    "rule": "own",
    "score": 0.12345,
    "last_score": 0.5,
    "sources": "als, ease",
    "name": "X",
    "occasion": "double_11",
    "days": 5,
    "share": 0.031,
    "trend": 2.25,
    "price": 79.9,
    "reference_price": 100.0,
    "drop": 0.2,
    "returned_days_ago": 1,
    "due_in_days": 3,
    "overdue_days": 2,
    "spread_days": 2,
    "where": {"region": "湖北", "store": "武汉一店"},
}
every_message = pytest.mark.parametrize("name", MESSAGES["en"])


def _named(text: str) -> dict[str, str]:
    return {name: form or "" for _, name, form, _ in Formatter().parse(text) if name}


@every_message
def test_all_locales_state_the_same_values(name: str) -> None:
    assert MESSAGES.keys() == set(LOCALES)
    assert _named(MESSAGES["en"][name]).keys() - WORDS == _named(MESSAGES["zh"][name]).keys() - WORDS


@every_message
def test_every_place_is_filled_in_every_kind_of_shop(name: str) -> None:
    """A kind is what the shop counts, in which unit, and whether it knows its users."""
    for target_event, by_basket, names_users in product(EVENT_NAMES, (False, True), (False, True)):
        templates = templates_for(target_event, by_basket, names_users)
        for language in LOCALES:
            text = templates.render(name, language, VALUES)
            assert text == text.strip() != ""
            assert not re.search(r"[{}]", text)
        chinese = templates.render(name, "zh", VALUES).replace("“X”", "")
        for value in ("0.1235", "als, ease", "“own”", "地区 湖北、门店 武汉一店"):
            chinese = chinese.replace(value, "")
        assert not re.search(r"[A-Za-z,;:() ]", chinese), (target_event, by_basket, names_users)
        english = templates.render(name, "en", VALUES).replace("皮具", "").replace("region 湖北, store 武汉一店", "")
        assert not re.search(r"[\u4e00-\u9fff]", english), (target_event, by_basket, names_users)


def test_all_that_shoppers_do_on_the_way_to_a_purchase_has_a_verb() -> None:
    assert PAST.keys() == VERB_ZH.keys() <= set(EVENT_NAMES)
    assert FORMS["en"]["did_it"]("refund") == "noticed it"
    assert FORMS["zh"]["do"]("refund") == "留意"


@pytest.mark.parametrize(
    ("name", "values", "en", "zh"),
    [
        (
            "bought_together",
            {},
            "bought together with X in 12 of its 40 baskets, 3.2 times chance",
            "买了“X”的40个订单中，有12个也买了它，是随机情况的3.2倍",
        ),
        (
            "due_again",
            {},
            "bought 40 times, about every 19 days; last 21 days ago, due 2017-12-20",
            "您买过40次，大约每19天一次；上次是21天前，按规律应在2017年12月20日再买",
        ),
        (
            "due_a_second_time",
            {"n_baskets": 1, "interval_days": 1.2, "last_days_ago": 1},
            "bought once, usually again after about 1 day; last yesterday, due 2017-12-20",
            "您买过1次，通常约1天后会再买；上次是昨天，按规律应在2017年12月20日再买",
        ),
        (
            "due_again",
            {"interval_days": 0.4, "last_days_ago": 0},
            "bought 40 times, more than once a day; last today, due 2017-12-20",
            "您买过40次，一天不止一次；上次是今天，按规律应在2017年12月20日再买",
        ),
        ("bought_before", {"n_baskets": 2}, "you bought it twice, last 21 days ago", "您买过2次，最近一次是21天前"),
        ("popular", {"n_buyers": 1}, "bought by one shopper", "已有1位顾客买过"),
        ("touched", {"event": "add_to_cart"}, "you put it in the cart 21 days ago", "您21天前加购过它"),
        (
            "hour",
            {},
            "bought 3.25 times as often as usual from 5 to 11 h",
            "5点到11点，大家买它的频率是平时的3.25倍",
        ),
        ("niche", {}, "outside the bestsellers: bought by 3.1% of shoppers", "小众之选：只有3.1%的顾客买过"),
    ],
)
def test_what_a_shopper_reads(name: str, values: dict[str, Any], en: str, zh: str) -> None:
    templates = templates_for("purchase", True, True)
    assert (templates.render(name, "en", VALUES | values), templates.render(name, "zh", VALUES | values)) == (en, zh)


def test_partners_are_told_in_what_they_were_counted_in() -> None:
    by_user = templates_for("purchase", False, True).render("bought_together", "zh", VALUES)
    assert by_user == "买了“X”的40位顾客中，有12位也买了它，是随机情况的3.2倍"
    of_visits = templates_for("view_item", True, True).render("bought_together", "zh", VALUES)
    assert of_visits == "看了“X”的40次访问中，有12次也看了它，是随机情况的3.2倍"
    assert templates_for("purchase", True, False).render("popular", "zh", VALUES) == "已有76个订单含有它"
