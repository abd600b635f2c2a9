from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.null_words import NULL_WORDS, are_null_words, spelled


@given(
    st.sampled_from(NULL_WORDS), st.sampled_from([str, str.lower, str.upper, str.capitalize]), st.text(" ", max_size=2)
)
def test_words_in_every_case_with_blanks_around(word: str, case: type[str], blanks: str) -> None:
    assert are_null_words(pl.Series([blanks + case(word) + blanks, "a", None]), spelled()).to_list() == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("text", ["Nancy", "nullify", "0", "", "na", "NA", "none-1", "n", "---"])
def test_other_words_are_real(text: str) -> None:
    assert are_null_words(pl.Series([text]), spelled()).to_list() == [False]


def test_a_word_can_be_declared_real() -> None:
    words = spelled(real=["Null", "-"])
    assert are_null_words(pl.Series(["NULL", "-", "nan"]), words).to_list() == [False, False, True]
