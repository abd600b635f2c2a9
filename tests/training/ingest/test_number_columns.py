from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from training.ingest.number_columns import DoubtfulNumberError, parse_numbers


def parse(*texts: str | None, decimal: Any = "auto") -> list[float | None]:
    return parse_numbers(pl.Series("price", texts, dtype=pl.String), decimal).to_list()


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1,90", "10,90", None], [1.9, 10.9, None]),
        (["7,90", "1.093,50", "1.299"], [7.9, 1093.5, 1299.0]),
        (["7.90", "1,299", "1,299.00"], [7.9, 1299.0, 1299.0]),
        (["1 299,50", "1\u202f299,5", "1'299.00", "1’299"], [1299.5, 1299.5, 1299.0, 1299.0]),
        (["€ 7,90", "7,90 €", "-€7,90", "EUR 7,90", "7,90 kr", "5.-", "5,--"], [7.9, 7.9, -7.9, 7.9, 7.9, 5.0, 5.0]),
        (["¥1,299.00", "US$5", "12元"], [1299.0, 5.0, 12.0]),
        (["1,00,000.50"], [100000.5]),
        (["1.234.567", "1.299"], [1234567.0, 1299.0]),
        (["0.500", "1.250"], [0.5, 1.25]),
        (["0,500", "1,250"], [0.5, 1.25]),
        (["1234.567", "1.250"], [1234.567, 1.25]),
        (["7.90", "8,90"], [7.9, 8.9]),
        (["4,2E+3", "1e3"], [4200.0, 1000.0]),
        (["abc", "12 kg", "1,2,3", "1.2.3", "--5", ".", ","], [None] * 7),
    ],
)
def test_the_certain_numbers_of_a_column_decide_about_the_others(texts: list[str], numbers: list[float]) -> None:
    assert parse(*texts) == numbers


@pytest.mark.parametrize("texts", [["1.299", "2"], ["5", "1,299"], ["1.299", "1,299"], ["1.299", "7.90", "8,90"]])
def test_a_number_of_two_readings_is_not_guessed(texts: list[str]) -> None:
    with pytest.raises(DoubtfulNumberError, match="--decimal point or --decimal comma") as raised:
        parse(*texts)
    assert texts[raised.value.position] == raised.value.text
    assert str(raised.value).startswith(
        f"'{raised.value.text}' is 1.299 with" if "." in raised.value.text else "'1,299'"
    )


def test_the_setting_decides() -> None:
    assert parse("1.299", "1,5", decimal="comma") == [1299.0, 1.5]
    assert parse("1.299", "1,299", decimal="point") == [1.299, 1299.0]


FORMATS = {
    "point": ("{:.2f}", "{:,.2f}", "$ {:,.2f}", "{:.2f} USD"),
    "comma": ("{:.2f}", "{:,.2f}", "{:,.2f} €", "CHF {:.2f}"),
}


@given(
    st.sampled_from(["point", "comma"]),
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 3)), min_size=1),
    st.booleans(),
)
def test_every_format_of_a_spreadsheet_is_read(mark: str, cells: list[tuple[int, int]], whole: bool) -> None:
    """Amounts in cents, written with the mark; whole amounts without decimals are read by the others."""
    texts, amounts = [], []
    for cents, form in cells:
        texts.append(FORMATS[mark][form].format(cents / 100))
        amounts.append(cents / 100)
    if whole:
        texts.append(f"{1299:,}")
        amounts.append(1299.0)
    if mark == "comma":
        texts = [text.translate(str.maketrans(".,", ",.")) for text in texts]
    assert parse(*texts) == pytest.approx(amounts)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**6), 10**6)))
def test_numbers_as_python_writes_them_are_read_exactly_or_not_guessed(numbers: list[float]) -> None:
    texts = [repr(number) for number in numbers]
    assume(any(len(text.partition(".")[2]) != 3 for text in texts if "." in text))
    assert parse(*texts) == [float(text) for text in texts]


@given(st.lists(st.text(st.sampled_from("0123456789.,' €-+eE"), max_size=10)), st.sampled_from(["point", "comma"]))
def test_any_text_is_a_number_or_none(texts: list[str], mark: str) -> None:
    assert len(parse(*texts, decimal=mark)) == len(texts)
