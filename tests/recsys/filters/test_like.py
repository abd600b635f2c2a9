from __future__ import annotations

import string

import polars as pl
import pytest

from recsys.filters import compile_filter

CHARACTERS = string.printable.replace("\x0b", "").replace("\x0c", "") + "咖é😀"


@pytest.mark.parametrize("word", ["LIKE", "ILIKE"])
@pytest.mark.parametrize("around", ["{}", "{}%", "%{}", "%{}%", "_{}"])
def test_every_character_except_wildcards_matches_itself(word: str, around: str) -> None:
    """Nothing in a pattern is taken for a regular expression."""
    items = pl.DataFrame({"title": [around.replace("%", "甲乙").replace("_", "丙").format(c) for c in CHARACTERS]})
    for place, character in enumerate(CHARACTERS):
        written = around.format("!" + character if character in "%_!" else character.replace("'", "''"))
        mask = compile_filter(f"title {word} '{written}' ESCAPE '!'", items.schema).mask(items)
        alike = [other for other, found in zip(CHARACTERS, mask, strict=True) if found]
        assert mask[place]
        assert {other.lower() if word == "ILIKE" else other for other in alike} == {
            character.lower() if word == "ILIKE" else character
        }
