from __future__ import annotations

import re
from string import Formatter

import pytest

from recsys.core.schema import EVENT_NAMES
from recsys.reasons.templates import FORMS, PAST, PHRASES, VERB_ZH, Figure, phrasebook

WORDS = {"did", "do", "by", "unit", "measure"}
FIGURES: dict[str, Figure] = {
    "n_baskets": 40,
    "n_together": 12,
    "n_buyers": 76,
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
}
every_phrase = pytest.mark.parametrize("name", PHRASES)


def _named(text: str) -> dict[str, str]:
    return {name: form or "" for _, name, form, _ in Formatter().parse(text) if name}


@every_phrase
def test_both_languages_tell_the_same_figures(name: str) -> None:
    phrase = PHRASES[name]
    assert _named(phrase.en).keys() - WORDS == _named(phrase.zh).keys() - WORDS


@every_phrase
@pytest.mark.parametrize("goal", EVENT_NAMES)
@pytest.mark.parametrize("by_basket", [False, True])
@pytest.mark.parametrize("names_shoppers", [False, True])
def test_every_place_is_filled_in_every_kind_of_shop(
    name: str, goal: str, by_basket: bool, names_shoppers: bool
) -> None:
    book = phrasebook(goal, by_basket, names_shoppers)
    for language in ("en", "zh"):
        text = book.say(name, language, FIGURES)
        assert text == text.strip() != ""
        assert not re.search(r"[{}]", text)
    chinese = book.say(name, "zh", FIGURES).replace("“X”", "")
    assert not re.search(r"[A-Za-z,;:() ]", chinese), chinese
    assert not re.search(r"[\u4e00-\u9fff]", book.say(name, "en", FIGURES).replace("皮具", ""))


def test_all_that_shoppers_do_on_the_way_to_a_purchase_has_a_verb() -> None:
    assert PAST.keys() == VERB_ZH.keys() <= set(EVENT_NAMES)
    assert FORMS["en"]["did_it"]("refund") == "noticed it"
    assert FORMS["zh"]["do"]("refund") == "留意"


@pytest.mark.parametrize(
    ("name", "figures", "en", "zh"),
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
def test_what_a_shopper_reads(name: str, figures: dict[str, Figure], en: str, zh: str) -> None:
    book = phrasebook("purchase", True, True)
    assert (book.say(name, "en", FIGURES | figures), book.say(name, "zh", FIGURES | figures)) == (en, zh)


def test_partners_are_told_in_what_they_were_counted_in() -> None:
    by_shopper = phrasebook("purchase", False, True).say("bought_together", "zh", FIGURES)
    assert by_shopper == "买了“X”的40位顾客中，有12位也买了它，是随机情况的3.2倍"
    of_visits = phrasebook("view_item", True, True).say("bought_together", "zh", FIGURES)
    assert of_visits == "看了“X”的40次访问中，有12次也看了它，是随机情况的3.2倍"
    assert phrasebook("purchase", True, False).say("popular", "zh", FIGURES) == "已有76个订单含有它"
