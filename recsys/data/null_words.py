"""Words that mean nothing, such as `NULL`, which exports write into empty cells."""

from __future__ import annotations

from collections.abc import Collection, Container
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
    return pl.Series("word", sorted(spellings(words, real)), dtype=pl.String)


def spellings(words: Collection[str] = NULL_WORDS, real: Collection[str] = ()) -> frozenset[str]:
    """Return the spellings of words as a set."""
    folded = {word.casefold() for word in real}
    chosen = [word for word in words if word.casefold() not in folded]
    cases = {case for word in chosen for case in (word, word.lower(), word.upper(), word.capitalize(), word.title())}
    return frozenset(cases | ({"NaN"} if "nan" in chosen else set()))


def is_null_word(text: str, words: Container[str]) -> bool:
    """Return whether one text is a word for nothing, as `are_null_words` does.

    >>> is_null_word(" null ", spellings()), is_null_word("Nancy", spellings())
    (True, False)
    """
    return text in words or ((text[:1] == " " or text[-1:] == " ") and text.strip() in words)


def are_null_words(texts: pl.Series, words: pl.Series) -> pl.Series:
    """Return whether each text is a word for nothing; False for nulls."""
    is_padded = texts.str.starts_with(" ") | texts.str.ends_with(" ")
    plain = texts.str.strip_chars() if is_padded.any() else texts
    return plain.is_in(words.implode()).fill_null(False)
