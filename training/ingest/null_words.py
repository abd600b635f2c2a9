"""Words that mean nothing, such as `NULL`, which exports write into empty cells."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import polars as pl

NULL_WORDS: Final = (
    "\\N",
    "null",
    "(null)",
    "<null>",
    "[null]",
    "nil",
    "undefined",
    "none",
    "(none)",
    "nan",
    "<na>",
    "n/a",
    "#n/a",
    "#null!",
    "#value!",
    "#ref!",
    "#name?",
    "#num!",
    "#div/0!",
    "(not set)",
    "(not provided)",
    "(empty)",
    "(blank)",
    "-",
    "--",
    "–",
    "—",
)
"""In any of lower case, upper case and capitalized, with blanks around."""

IS_WORD: Final = "is a word for nothing"


def spelled(words: Collection[str] = NULL_WORDS, real: Collection[str] = ()) -> pl.Series:
    """Return the spellings of words; those of `real` words are left out, in every case.

    >>> "NULL" in spelled(), "null" in spelled(real=["NULL"]), "Nancy" in spelled()
    (True, False, False)
    """
    folded = {word.casefold() for word in real}
    chosen = [word for word in words if word.casefold() not in folded]
    cases = {case for word in chosen for case in (word, word.lower(), word.upper(), word.capitalize(), word.title())}
    return pl.Series("word", sorted(cases | ({"NaN"} if "nan" in chosen else set())), dtype=pl.String)


def are_null_words(texts: pl.Series, words: pl.Series) -> pl.Series:
    """Return whether each text is a word for nothing; False for nulls."""
    is_padded = texts.str.starts_with(" ") | texts.str.ends_with(" ")
    plain = texts.str.strip_chars() if is_padded.any() else texts
    return plain.is_in(words.implode()).fill_null(False)
