from __future__ import annotations

import unicodedata

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.models.content.tokenizer import title_tokens

titles = st.text(alphabet="手机壳耳茶コーヒ한국Aaé9 -/·Яя，🎧", max_size=12)


def _tokens(title: str | None) -> set[str]:
    return set(title_tokens(pl.Series([title], dtype=pl.String))["token"])


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("无线蓝牙耳机 Pro", {"无线", "线蓝", "蓝牙", "牙耳", "耳机", "pro"}),
        ("茶 (Tea) 500g", {"茶", "tea", "500g"}),
        ("Ｐｒｏ　２", {"pro", "2"}),
        ("5G手机", {"5g", "手机"}),
        ("コーヒー豆", {"コー", "ーヒ", "ヒー", "ー豆"}),
        ("قهوة عربية", {"قهوة", "عربية"}),
        ("हिन्दी", {"हिन्दी"}),
        ("🎧 ✨", set()),
        ("", set()),
        (None, set()),
    ],
)
def test_words_and_pairs_of_characters(title: str | None, expected: set[str]) -> None:
    assert _tokens(title) == expected


def _is_cjk(character: str) -> bool:
    name = unicodedata.name(character, "")
    return name.startswith(("CJK UNIFIED", "HIRAGANA", "KATAKANA", "HANGUL"))


def _read_slowly(title: str) -> set[str]:
    """Character by character."""
    tokens: set[str] = set()
    run, kind = "", ""
    for character in [*unicodedata.normalize("NFKC", title).lower(), " "]:
        now = "cjk" if _is_cjk(character) else "word" if character.isalnum() else ""
        if now != kind:
            if kind == "word" or len(run) == 1:
                tokens.add(run)
            elif kind == "cjk":
                tokens |= {run[place : place + 2] for place in range(len(run) - 1)}
            run = ""
        run, kind = run + character, now
    return tokens - {"", " "}


@given(titles)
def test_equals_reading_character_by_character(title: str) -> None:
    assert _tokens(title) == {token for token in _read_slowly(title) if any(c.isalnum() or c == "ー" for c in token)}


@given(st.lists(st.one_of(st.none(), titles), max_size=6))
def test_many_titles_are_split_as_one_by_one(column: list[str | None]) -> None:
    found = title_tokens(pl.Series(column, dtype=pl.String))
    for row, title in enumerate(column):
        assert set(found.filter(pl.col("row") == row)["token"]) == _tokens(title)
    assert found.equals(found.unique().sort("row", "token"))
