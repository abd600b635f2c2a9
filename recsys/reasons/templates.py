"""The message catalog in the words of one shop, and the rendering of its messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from string import Formatter
from types import MappingProxyType
from typing import Any, Final

import msgspec

from recsys.core.festivals import FESTIVALS
from recsys.reasons.messages import DEFAULT_LOCALE, LOCALES, MESSAGES, Locale
from recsys.reasons.shopper_messages import SHOPPER_MESSAGES

SHOPPER: Final = "shopper."
"""Begin of the names of texts for shoppers."""

Value = float | int | str
"""A value that a message states."""

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


def _times(n: Value) -> str:
    return {1: "once", 2: "twice"}.get(int(n), f"{n} times")


def _ago(days: Value) -> str:
    return {0: "today", 1: "yesterday"}.get(int(days), f"{days} days ago")


def _ago_zh(days: Value) -> str:
    return {0: "今天", 1: "昨天"}.get(int(days), f"{days}天前")


def _days(days: Value) -> str:
    return "1 day" if round(float(days)) == 1 else f"{float(days):.0f} days"


def _every(days: Value) -> str:
    return {0: "more than once a day", 1: "about every day"}.get(
        round(float(days)), f"about every {float(days):.0f} days"
    )


def _every_zh(days: Value) -> str:
    return {0: "一天不止一次", 1: "大约每天一次"}.get(round(float(days)), f"大约每{float(days):.0f}天一次")


def _date_zh(iso: Value) -> str:
    year, month, day = str(iso).split("-")
    return f"{year}年{int(month)}月{int(day)}日"


SCOPE_KEYS_ZH: Final[Mapping[str, str]] = MappingProxyType({"region": "地区", "store": "门店", "channel": "渠道"})


def _named(where: Any) -> tuple[tuple[str, str], ...]:
    """The keys and names of an offer's scope."""
    return tuple(where.items())


ROUND_FROM: Final = 10
"""A lift from which on decimals say nothing."""

_FIGURES: Final[dict[str, Callable[[Any], str]]] = {
    "": str,
    "tenths": lambda x: f"{x:.1f}",
    "hundredths": lambda x: f"{x:.2f}",
    "times_chance": lambda x: f"{x:.1f}" if x < ROUND_FROM else f"{x:,.0f}",
    "percent": lambda x: f"{x:.1%}",
    "whole_percent": lambda x: f"{x:.0%}",
    "amount": lambda x: f"{x:.2f}".removesuffix(".00"),
    "score": lambda x: f"{x:.4g}",
    "quoted": repr,
}
FORMS: Final[Mapping[Locale, dict[str, Callable[[Any], str]]]] = MappingProxyType(
    {
        "en": _FIGURES
        | {
            "times": _times,
            "ago": _ago,
            "days": _days,
            "every": _every,
            "date": str,
            "in_days": lambda days: {0: "today", 1: "tomorrow"}.get(int(days), f"in {days} days"),
            "occasion": lambda name: FESTIVALS[str(name)].titles["en"] if str(name) in FESTIVALS else str(name),
            "scope": lambda where: ", ".join(f"{key} {name}" for key, name in _named(where)),
            "did_it": lambda event: DID_IT.get(str(event), f"{PAST.get(str(event), 'noticed')} it"),
        },
        "zh": _FIGURES
        | {
            "times": lambda n: f"{n}次",
            "ago": _ago_zh,
            "days": lambda days: f"{float(days):.0f}天",
            "every": _every_zh,
            "date": _date_zh,
            "in_days": lambda days: {0: "今天", 1: "明天"}.get(int(days), f"{days}天后"),
            "occasion": lambda name: FESTIVALS[str(name)].titles["zh"] if str(name) in FESTIVALS else str(name),
            "scope": lambda where: "、".join(f"{SCOPE_KEYS_ZH[key]} {name}" for key, name in _named(where)),
            "do": lambda event: VERB_ZH.get(str(event), "留意"),
        },
    }
)
"""By locale and name of the form: how a value is written."""


class MessageText(msgspec.Struct, frozen=True):
    """A message in one locale, prepared for rendering.

    Attributes:
        text: with `%s` in the place of each value.
        names: of the values, in their order.
        forms: places of the values that are not written by `str`, and how these are written.
    """

    text: str
    names: tuple[str, ...]
    forms: tuple[tuple[int, Callable[[Any], str]], ...]


class MessageTemplates:
    """The message catalog in the words of one shop; see `templates_for`.

    Args:
        words: the arguments of `templates_for`, by which it is pickled.
        texts: by locale and name of the message.
    """

    def __init__(self, words: tuple[str, bool, bool], texts: Mapping[str, Mapping[str, MessageText]]) -> None:
        self.words = words
        self.texts = texts

    def __reduce__(self) -> tuple[Callable[..., MessageTemplates], tuple[str, bool, bool]]:
        return templates_for, self.words

    def render(self, name: str, locale: str, values: Mapping[str, Any]) -> str:
        """Returns the text of a message with its values.

        Args:
            name: of the message.
            locale: one of `LOCALES`.
            values: by name.

        Raises:
            KeyError: there is no such message, locale or value.
        """
        message = self.texts[locale][name]
        written = [values[each] for each in message.names]
        for place, form in message.forms:
            written[place] = form(written[place])
        return message.text % tuple(written)


class BoundMessage(msgspec.Struct, frozen=True):
    """A message with its values, to be rendered in any locale later.

    Attributes:
        templates: the catalog.
        name: of the message.
        values: by name.
    """

    templates: MessageTemplates
    name: str
    values: Mapping[str, Any]

    def text(self, locale: str = DEFAULT_LOCALE) -> str:
        """Returns the text in a locale of `LOCALES`."""
        return self.templates.render(self.name, locale, self.values)

    def shopper_text(self, locale: str = DEFAULT_LOCALE) -> str:
        """Returns the text for the shopper, which is the same one where the catalog has no other."""
        name = f"{SHOPPER}{self.name}"
        return self.templates.render(name if name in self.templates.texts[locale] else self.name, locale, self.values)


@lru_cache(maxsize=64)
def templates_for(target_event: str, by_basket: bool, names_users: bool) -> MessageTemplates:
    """Returns the catalog in the words of a shop: a shop without sales has views, not purchases.

    Args:
        target_event: name of the event that counts as success.
        by_basket: whether items are found together in baskets, rather than with the same user.
        names_users: whether users are counted, rather than baskets.
    """
    did, do = PAST.get(target_event, "noticed"), VERB_ZH.get(target_event, "留意")
    bought = did == "bought"
    words: dict[Locale, dict[str, str]] = {
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
    unit = "shopper" if names_users else "basket"
    taken = f"位顾客{do}过" if names_users else "个订单含有它"
    takers: dict[Locale, Callable[[Any], str]] = {
        "en": lambda n: f"one {unit}" if n == 1 else f"{n} {unit}s",
        "zh": lambda n: f"{n}{taken}",
    }
    return MessageTemplates(
        (target_event, by_basket, names_users),
        {
            locale: {
                name: _parsed(text, words[locale], FORMS[locale] | {"takers": takers[locale]})
                for name, text in (*MESSAGES[locale].items(), *_to_shoppers(locale))
            }
            for locale in LOCALES
        },
    )


def _to_shoppers(locale: Locale) -> Iterator[tuple[str, str]]:
    return ((f"{SHOPPER}{name}", text) for name, text in SHOPPER_MESSAGES[locale].items())


def _parsed(text: str, words: Mapping[str, str], forms: Mapping[str, Callable[[Any], str]]) -> MessageText:
    """Prepares a message for rendering; words of the shop become literal text."""
    literal, names, special = "", list[str](), list[tuple[int, Callable[[Any], str]]]()
    for before, name, form, _ in Formatter().parse(text):
        literal += before.replace("%", "%%")
        if name is None:
            break
        if name in words:
            literal += words[name].replace("%", "%%")
            continue
        literal += "%s"
        if forms[form or ""] is not str:
            special.append((len(names), forms[form or ""]))
        names.append(name)
    return MessageText(literal, tuple(names), tuple(special))
