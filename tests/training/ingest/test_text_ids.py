from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.ingest.text_ids import are_shortened, plain_ids


@pytest.mark.parametrize(
    ("ids", "plain"),
    [
        (["12003.0", "12004.0", None], ["12003", "12004", None]),
        (["12003.0", "12004", "A7"], ["12003", "12004", "A7"]),
        (["1.0", "1.1"], ["1.0", "1.1"]),
        (["1.0", "1.00"], ["1.0", "1.00"]),
        (["v1.0", "7.0"], ["v1.0", "7"]),
    ],
)
def test_the_decimals_of_a_data_frame_are_removed_and_those_of_a_version_stay(ids: list[str], plain: list[str]) -> None:
    assert plain_ids(pl.Series(ids)).to_list() == plain


@pytest.mark.parametrize("id_", ["4,00638E+12", "4.00638E+12", "4E+12", "4.00638e+12", "1.5E+100"])
def test_ids_that_lost_their_digits(id_: str) -> None:
    assert are_shortened(pl.Series([id_, "x", None])).to_list() == [True, False, None]


@pytest.mark.parametrize("id_", ["12E4", "5e3", "a+b", "40E+12", "1+1", "E+12"])
def test_ids_that_only_look_like_numbers(id_: str) -> None:
    assert are_shortened(pl.Series([id_])).to_list() == [False]


@given(st.lists(st.integers(0, 10**15)))
def test_whole_numbers_survive_a_data_frame(numbers: list[int]) -> None:
    texts = [str(float(number)) for number in numbers if number < 10**15]
    assert plain_ids(pl.Series(texts, dtype=pl.String)).to_list() == [
        str(number) for number in numbers if number < 10**15
    ]
