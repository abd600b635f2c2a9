"""What reasons say, in English and in Chinese: one table, filled from the figures of each reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from string import Formatter
from types import MappingProxyType
from typing import Final, Literal

Figure = float | int | str
Language = Literal["en", "zh"]


@dataclass(frozen=True)
class ReasonTemplate:
    """One thing that a reason may say; `{name:form}` is a figure in a form of `FORMS`, or a word of the shop's.

    Attributes:
        code: of the reasons that say it.
        en: in English.
        zh: in Chinese.
    """

    code: str
    en: str
    zh: str

    @property
    def texts(self) -> dict[Language, str]:
        """By language."""
        return {"en": self.en, "zh": self.zh}


PHRASES: Final[Mapping[str, ReasonTemplate]] = MappingProxyType(
    {
        "bought_before": ReasonTemplate(
            "bought_before",
            "you {did} it {n_baskets:times}, last {last_days_ago:ago}",
            "您{do}过{n_baskets:times}，最近一次是{last_days_ago:ago}",
        ),
        "due_again": ReasonTemplate(
            "due_again",
            "{did} {n_baskets:times}, {interval_days:every}; last {last_days_ago:ago}, due {due_at:date}",
            "您{do}过{n_baskets:times}，{interval_days:every}；上次是{last_days_ago:ago}，按规律应在{due_at:date}再{do}",
        ),
        "due_a_second_time": ReasonTemplate(
            "due_again",
            "{did} {n_baskets:times}, usually again after about {interval_days:days}; last {last_days_ago:ago}, "
            "due {due_at:date}",
            "您{do}过{n_baskets:times}，通常约{interval_days:days}后会再{do}；上次是{last_days_ago:ago}，"
            "按规律应在{due_at:date}再{do}",
        ),
        "shoppers_alike": ReasonTemplate(
            "shoppers_alike",
            "{did} by shoppers with a taste like yours (by {n_buyers:takers} in all)",
            "与您喜好相近的顾客{do}过它（共{n_buyers:takers}）",
        ),
        "bought_together": ReasonTemplate(
            "bought_together",
            "{did} together with {title} {by} {n_together} of its {n_baskets} {unit}, {lift:tenths} times chance",
            "{do}了“{title}”的{n_baskets}{unit}中，有{n_together}{measure}也{do}了它，是随机情况的{lift:tenths}倍",
        ),
        "goes_with_type": ReasonTemplate("goes_with_type", "often {did} with {type}", "常与“{type}”一起{do}"),
        "first_of_type_you_buy": ReasonTemplate(
            "type_you_buy", "among the first in {type}, which you buy", "您买过的“{type}”类商品中的热门款"
        ),
        "type_you_buy": ReasonTemplate("type_you_buy", "from {type}, which you buy", "属于您买过的“{type}”类商品"),
        "first_of_type_you_view": ReasonTemplate(
            "type_you_view", "among the first in {type}, which you look at", "您看过的“{type}”类商品中的热门款"
        ),
        "type_you_view": ReasonTemplate(
            "type_you_view", "from {type}, which you look at", "属于您看过的“{type}”类商品"
        ),
        "similar": ReasonTemplate("similar", "like {title}", "与“{title}”相似"),
        "goes_with_own": ReasonTemplate(
            "goes_with_own", "{did} by shoppers of {title}", "{do}过“{title}”的顾客也{do}了它"
        ),
        "touched": ReasonTemplate(
            "touched", "you {event:did_it} {last_days_ago:ago}", "您{last_days_ago:ago}{event:do}过它"
        ),
        "new": ReasonTemplate("new", "not {did} by anybody yet", "还没有人{do}过"),
        "popular": ReasonTemplate("popular", "{did} by {n_buyers:takers}", "已有{n_buyers:takers}"),
        "hour": ReasonTemplate(
            "hour",
            "{did} {lift:hundredths} times as often as usual from {from_hour} to {to_hour} h",
            "{from_hour}点到{to_hour}点，大家{do}它的频率是平时的{lift:hundredths}倍",
        ),
        "niche": ReasonTemplate(
            "niche",
            "outside the bestsellers: {did} by {buyer_share:percent} of shoppers",
            "小众之选：只有{buyer_share:percent}的顾客{do}过",
        ),
        "close_to_yours": ReasonTemplate("close_to_yours", "close to your {type}", "与您{do}过的“{type}”相近"),
    }
)

PAST: Final[Mapping[str, str]] = MappingProxyType(
    {
        "purchase": "bought",
        "begin_checkout": "checked out",
        "add_to_cart": "put in the cart",
        "add_to_wishlist": "wished for",
        "select_item": "clicked",
        "view_item": "viewed",
    }
)
DID_IT: Final[Mapping[str, str]] = MappingProxyType(
    {"begin_checkout": "took it to the checkout", "add_to_cart": "put it in the cart"}
)
VERB_ZH: Final[Mapping[str, str]] = MappingProxyType(
    {
        "purchase": "买",
        "begin_checkout": "结算",
        "add_to_cart": "加购",
        "add_to_wishlist": "收藏",
        "select_item": "点击",
        "view_item": "看",
    }
)


def _times(n: Figure) -> str:
    return {1: "once", 2: "twice"}.get(int(n), f"{n} times")


def _ago(days: Figure) -> str:
    return {0: "today", 1: "yesterday"}.get(int(days), f"{days} days ago")


def _ago_zh(days: Figure) -> str:
    return {0: "今天", 1: "昨天"}.get(int(days), f"{days}天前")


def _days(days: Figure) -> str:
    return "1 day" if round(float(days)) == 1 else f"{float(days):.0f} days"


def _every(days: Figure) -> str:
    return {0: "more than once a day", 1: "about every day"}.get(
        round(float(days)), f"about every {float(days):.0f} days"
    )


def _every_zh(days: Figure) -> str:
    return {0: "一天不止一次", 1: "大约每天一次"}.get(round(float(days)), f"大约每{float(days):.0f}天一次")


def _date_zh(iso: Figure) -> str:
    year, month, day = str(iso).split("-")
    return f"{year}年{int(month)}月{int(day)}日"


_FIGURES: Final[dict[str, Callable[[Figure], str]]] = {
    "": str,
    "tenths": lambda x: f"{x:.1f}",
    "hundredths": lambda x: f"{x:.2f}",
    "percent": lambda x: f"{x:.1%}",
}
FORMS: Final[Mapping[Language, dict[str, Callable[[Figure], str]]]] = MappingProxyType(
    {
        "en": _FIGURES
        | {
            "times": _times,
            "ago": _ago,
            "days": _days,
            "every": _every,
            "date": str,
            "did_it": lambda event: DID_IT.get(str(event), f"{PAST.get(str(event), 'noticed')} it"),
        },
        "zh": _FIGURES
        | {
            "times": lambda n: f"{n}次",
            "ago": _ago_zh,
            "days": lambda days: f"{float(days):.0f}天",
            "every": _every_zh,
            "date": _date_zh,
            "do": lambda event: VERB_ZH.get(str(event), "留意"),
        },
    }
)
"""How a figure is written, by language and the form that a phrase asks for."""

Part = tuple[str, str | None, Callable[[Figure], str]]
"""Literal text, and the name of the figure behind it with its form; no name at the end of a phrase."""


@dataclass(frozen=True)
class ReasonTemplates:
    """Phrases with one shop's own words in their places.

    Attributes:
        parts: by name of the phrase, what it says in each language.
    """

    parts: Mapping[str, Mapping[Language, tuple[Part, ...]]]

    def say(self, name: str, language: Language, figures: Mapping[str, Figure]) -> str:
        """A phrase with its figures."""
        return "".join(
            [
                literal if figure is None else literal + form(figures[figure])
                for literal, figure, form in self.parts[name][language]
            ]
        )


@lru_cache(maxsize=64)
def phrasebook(goal: str, by_basket: bool, names_shoppers: bool) -> ReasonTemplates:
    """The phrases in the words of a shop: where nothing is sold, nobody "bought".

    Args:
        goal: name of the event that counts as success.
        by_basket: whether items are found together in baskets, rather than with the same shopper.
        names_shoppers: whether shoppers are counted, rather than baskets.
    """
    did, do = PAST.get(goal, "noticed"), VERB_ZH.get(goal, "留意")
    bought = did == "bought"
    words: dict[Language, dict[str, str]] = {
        "en": {
            "did": did,
            "by": "in" if by_basket else "by",
            "unit": "shoppers" if not by_basket else "baskets" if bought else "visits",
        },
        "zh": {
            "do": do,
            "unit": "位顾客" if not by_basket else "个订单" if bought else "次访问",
            "measure": "位" if not by_basket else "个" if bought else "次",
        },
    }
    unit = "shopper" if names_shoppers else "basket"
    taken = f"位顾客{do}过" if names_shoppers else "个订单含有它"
    takers: dict[Language, Callable[[Figure], str]] = {
        "en": lambda n: f"one {unit}" if n == 1 else f"{n} {unit}s",
        "zh": lambda n: f"{n}{taken}",
    }
    return ReasonTemplates(
        {
            name: {
                language: _parsed(text, words[language], FORMS[language] | {"takers": takers[language]})
                for language, text in phrase.texts.items()
            }
            for name, phrase in PHRASES.items()
        }
    )


def _parsed(text: str, words: Mapping[str, str], forms: Mapping[str, Callable[[Figure], str]]) -> tuple[Part, ...]:
    """The parts of a phrase, the shop's words being literal text by now."""
    parts: list[Part] = []
    before = ""
    for literal, name, form, _ in Formatter().parse(text):
        before += literal
        if name is None:
            break
        if name in words:
            before += words[name]
        else:
            parts.append((before, name, forms[form or ""]))
            before = ""
    return (*parts, (before, None, str)) if before else tuple(parts)
