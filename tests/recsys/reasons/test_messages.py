from __future__ import annotations

import re
from string import Formatter

import pytest

from recsys.reasons.messages import CODES, DEFAULT_LOCALE, LOCALES, MESSAGES, Locale
from recsys.reasons.templates import FORMS

HAN = re.compile("[\u4e00-\u9fff]")
WORDS = {"do", "did", "by", "unit", "measure"}
"""Words of the shop, which differ by locale and need no form."""

OF_THE_SHOP = "takers"
"""The one form that depends on the shop's events."""


def fields(text: str) -> list[tuple[str, str]]:
    """The values that a text states, and the forms that they are in."""
    return [(name, form or "") for _, name, form, _ in Formatter().parse(text) if name]


def test_every_locale_has_every_message() -> None:
    assert set(MESSAGES) == set(LOCALES)
    assert DEFAULT_LOCALE in LOCALES
    for messages in MESSAGES.values():
        assert messages.keys() == MESSAGES[DEFAULT_LOCALE].keys()
        assert all(text.strip() for text in messages.values())


@pytest.mark.parametrize("name", MESSAGES[DEFAULT_LOCALE])
def test_a_message_states_the_same_values_in_every_locale(name: str) -> None:
    stated = [{field for field, _ in fields(MESSAGES[locale][name])} - WORDS for locale in LOCALES]
    assert all(each == stated[0] for each in stated)


@pytest.mark.parametrize("name", MESSAGES[DEFAULT_LOCALE])
def test_messages_are_in_the_language_of_their_locale(name: str) -> None:
    assert HAN.search(MESSAGES["zh"][name])
    assert not HAN.search(MESSAGES["en"][name])


@pytest.mark.parametrize("locale", LOCALES)
def test_every_form_is_rendered_in_its_locale(locale: Locale) -> None:
    used = {form for text in MESSAGES[locale].values() for _, form in fields(text) if form}
    assert used <= FORMS[locale].keys() | {OF_THE_SHOP}


def test_messages_with_another_code_have_one_that_is_a_message() -> None:
    assert set(CODES) | set(CODES.values()) <= MESSAGES[DEFAULT_LOCALE].keys()
    assert not set(CODES) & set(CODES.values())
