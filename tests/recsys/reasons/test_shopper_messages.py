"""Texts for shoppers: in every locale, of values that the catalog's message has, and without statistics."""

from __future__ import annotations

from string import Formatter

import pytest

from recsys.reasons.messages import LOCALES, MESSAGES, Locale
from recsys.reasons.shopper_messages import SHOPPER_MESSAGES
from recsys.reasons.templates import BoundMessage, templates_for


def names_of(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("locale", LOCALES)
def test_values_are_those_of_the_catalog(locale: Locale) -> None:
    for name, text in SHOPPER_MESSAGES[locale].items():
        due = {"due_in_days"} if name.startswith("replenishment") else set()
        assert names_of(text) <= names_of(MESSAGES[locale][name]) | {"did", "do"} | due, name
        assert not names_of(text) & {"lift", "share", "trend", "n_buyers", "buyer_share", "support"}, name
    assert SHOPPER_MESSAGES[locale].keys() == SHOPPER_MESSAGES[LOCALES[0]].keys()


def test_statistics_are_for_the_shop() -> None:
    values = {"title": "tea", "n_together": 67, "n_baskets": 1978, "lift": 1.9}
    message = BoundMessage(templates_for("purchase", True, True), "bought_together", values)
    assert message.text() == "bought together with tea in 67 of its 1978 baskets, 1.9 times chance"
    assert message.shopper_text() == "often bought together with tea"
    assert message.shopper_text("zh") == "常与“tea”一起买"


def test_other_messages_are_the_same() -> None:
    message = BoundMessage(templates_for("purchase", True, True), "similar", {"title": "tea"})
    assert message.shopper_text() == message.text() == "like tea"
