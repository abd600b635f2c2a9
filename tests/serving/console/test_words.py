from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

from serving.console.view import TABS
from serving.console.words import LANGUAGES, Words, catalog, language_of

FOLDER = Path(__file__).parents[3] / "serving" / "console"


@pytest.mark.parametrize("key", sorted(catalog()))
def test_each_sentence_is_in_both_languages_with_the_same_values(key: str) -> None:
    texts = catalog()[key]
    assert set(texts) == set(LANGUAGES)
    assert all(text.strip() for text in texts.values())
    names = [{name for _, name, _, _ in Formatter().parse(text) if name} for text in texts.values()]
    assert names[0] == names[1]


def test_every_sentence_of_a_page_is_in_the_catalog_and_no_other() -> None:
    sources = [*FOLDER.rglob("*.html"), *FOLDER.rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    used = set(re.findall(r'(?:\bt|words)\("(\w+)"[,)]', text)) | {f"tab_{name}" for name in TABS}
    assert used - set(catalog()) == set()
    used |= {"n_entered", "n_left"}  # chosen in a template
    prefixes = (*re.findall(r'"(\w+_)" ~', text), "span_")
    assert {key for key in set(catalog()) - used if not key.startswith(prefixes)} == set()


def test_the_language_is_chosen_or_accepted() -> None:
    assert language_of("zh", "en") == "zh"
    assert language_of("", "zh-TW,zh;q=0.9,en;q=0.8") == "zh"
    assert language_of("", "de, en;q=0.5") == "en"
    assert language_of("", "*") == "en"


def test_spans_have_at_least_two_of_their_unit() -> None:
    words = Words("en")
    spans = [words.span(seconds) for seconds in (0, 119, 120, 7199, 7200, 172_799, 172_800)]
    assert spans == ["0 seconds", "119 seconds", "2 minutes", "119 minutes", "2 hours", "47 hours", "2 days"]


def test_numbers_shares_and_times() -> None:
    words = Words("en")
    assert [words.number(value) for value in (0, 1234.0, 0.1234, 1234.56)] == ["0", "1,234", "0.123", "1,235"]
    assert [words.percent(share) for share in (0, 0.0123, 0.5, None)] == ["0%", "1.2%", "50%", "–"]
    assert words.time("2024-05-01T08:00:00Z") == "2024-05-01 08:00 UTC"
    assert words.time(None) == "–"
    assert words.known("no such key", "as it is") == "as it is"
