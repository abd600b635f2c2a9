"""What is refused, where, and that no more than a bounded amount of work is done for it."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import sqlglot.parser
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.core.errors import FilterError
from recsys.filters import compile_filter, lexer
from recsys.filters.lexer import MAX_CHARACTERS, MAX_DEPTH, MAX_TOKENS

ITEMS = pl.DataFrame(
    {"price": [1.0, None], "title": ["a", None], "tags": [["a"], None], "available": [True, None], "类别": ["b", "c"]}
)
SCHEMA = ITEMS.schema

TOO_LONG = {
    "2,000 ORs": " OR ".join(["price = 1"] * 2000),
    "8,000 ORs": " OR ".join(["price = 1"] * 8000),
    "a megabyte": "a" * 1_000_000,
    "a megabyte of quotes": "'" * 1_000_000,
    "a huge list": f"price IN ({', '.join(['1'] * 100_000)})",
    "one too many": "a" * (MAX_CHARACTERS + 1),
}
TOO_MANY = {
    "parentheses": "(" * MAX_CHARACTERS,
    "NOTs": "NOT " * (MAX_CHARACTERS // 4),
    "signs": "- " * (MAX_CHARACTERS // 2),
    "slashes": "/" * MAX_CHARACTERS,
    "a list": f"price IN ({','.join('1' * 990)})",
    "words": "a " * (MAX_CHARACTERS // 2),
    "texts": "'a' " * (MAX_CHARACTERS // 4),
}
TOO_DEEP = {
    "parentheses": "(" * 30 + "available" + ")" * 30,
    "NOTs": "NOT " * 30 + "available",
    "signs": "- " * 30 + "price > 1",
    "NOTs in parentheses": "NOT (" * 15 + "available" + ")" * 15,
    "functions": "lower(" * 30 + "title" + ")" * 30 + " = 'a'",
    "lists": "price IN (" * 30 + "1" + ")" * 30,
}
REFUSED = {
    "": 1,
    " \n\t ": 1,
    "　": 1,
    "\0": 1,
    "title = 'a\0'": 11,
    "title = '\ud800'": 10,
    "title = \ud800": 9,
    "🙂 = 1": 1,
    '"🙂" = 1': 1,
    "price = 1 -- available": 11,
    "price = 1 /* x */": 11,
    "price = 1 # x": 11,
    "1; DROP TABLE items": 2,
    "price = 1;": 10,
    "SELECT 1": 1,
    "price = (SELECT 1)": 10,
    "price IN (SELECT 1)": 11,
    "EXISTS (SELECT 1)": 1,
    "price IN (1) UNION ALL SELECT 2": 14,
    "read_csv('/etc/passwd')": 1,
    "price = pg_sleep(10)": 9,
    "title = load_file('x')": 9,
    "CAST(price AS JSON) = '1'": 15,
    "price::text = '1'": 6,
    "CASE WHEN available THEN 1 ELSE 2 END = 1": 1,
    "title || 'a' = 'aa'": 7,
    "price % 2 = 1": 7,
    "price & 1 = 1": 7,
    "tags[0] = 'a'": 5,
    "title -> 'a' = 1": 7,
    "x -> x + 1": 3,
    "sum(price) OVER () > 1": 1,
    "price > @x": 9,
    "price > :x": 9,
    "price > $1": 9,
    "price > ?": 9,
    "{{ price }}": 1,
    "`price` = 1": 1,
    "title = N'a'": 9,
    "title = x'61'": 9,
    "title = E'a'": 9,
    "title = 'a' 'b'": 13,
    "title = 'abc": 9,
    'title = "abc': 9,
    "title = 'it''s": 9,
    "(price = 1": 1,
    "price = 1)": 10,
    "price =": 7,
    "= 1": 1,
    "price = = 1": 7,
    "price == 1": 7,
    "price ! = 1": 7,
    "price <=> 1": 7,
    "price 1": 7,
    "price AND": 7,
    "AND price": 1,
    "available available": 11,
    "()": 1,
    "price IN ()": 10,
    "price IN (1,,2)": 12,
    "price IN (1,)": 12,
    "price IN 1": 7,
    "(price, 1) = (1, 2)": 2,
    "has(tags)": 1,
    "has(tags,)": 9,
    "has()": 4,
    "has(tags, 'a', 'b')": 1,
    "has(tags, *)": 9,
    "*": 1,
    "price * * 2 = 1": 7,
    "NULL": 1,
    "price = NULL": 9,
    "has(tags, NULL)": 11,
    "price IS 1": 10,
    "price IS title": 10,
    "price IS NOT DISTINCT FROM 1": 23,
    "price NOT NULL": 7,
    "NOT NULL": 5,
    "available AND NOT NULL": 19,
    "NOT available IS NULL = NULL": 25,
    "price = NOT available": 9,
    "price BETWEEN 1": 15,
    "price BETWEEN 1 OR 2": 17,
    "title LIKE": 7,
    "title LIKE 'a' ESCAPE": 16,
    "title LIKE 'a' ESCAPE 'ab'": 23,
    "price = 1 ESCAPE 'a'": 11,
    "items.price = 1": 1,
    "user.tags.x = 1": 6,
    "user. = 1": 1,
    ".5 = price": 1,
    "price = 1.2.3": 12,
    "price = 0x1F": 10,
    "price = 1_000": 10,
    "price = 12abc": 11,
    f"price = {'1' * 400}": 9,
    "interval '1 day' = 1": 1,
    "DATE(1) = 1": 1,
    "（price = 1）": 1,
    "price > 1，available": 10,
    "title = ‘a’": 9,
    "price >= 1 LIMIT 1": 12,
    "price = 1 ORDER BY price": 11,
    "a" * MAX_CHARACTERS: 1,
    f'"{"a" * 1900}" = 1': 1,
}


@pytest.fixture
def idle_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that must not be called."""

    def parse_into(*_: object, **__: object) -> None:
        raise AssertionError("the parser ran")

    monkeypatch.setattr(sqlglot.parser.Parser, "parse_into", parse_into)


@pytest.mark.parametrize("text", TOO_LONG.values(), ids=TOO_LONG.keys())
def test_text_that_is_too_long_is_not_tokenized(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexer, "Tokenizer", None)
    monkeypatch.setattr(lexer, "_UNPRINTABLE", None)
    with pytest.raises(FilterError, match="expected at most 2000") as caught:
        compile_filter(text, SCHEMA)
    assert caught.value.position == MAX_CHARACTERS + 1
    assert len(str(caught.value)) < 300


@pytest.mark.usefixtures("idle_parser")
@pytest.mark.parametrize("text", TOO_MANY.values(), ids=TOO_MANY.keys())
def test_too_many_tokens_never_reach_the_parser(text: str) -> None:
    with pytest.raises(FilterError, match=f"expected at most {MAX_TOKENS}") as caught:
        compile_filter(text, SCHEMA)
    assert 1 <= caught.value.position <= MAX_CHARACTERS


@pytest.mark.usefixtures("idle_parser")
@pytest.mark.parametrize("text", TOO_DEEP.values(), ids=TOO_DEEP.keys())
def test_what_is_too_deep_never_reaches_the_parser(text: str) -> None:
    with pytest.raises(FilterError, match=f"nested deeper than {MAX_DEPTH}"):
        compile_filter(text, SCHEMA)


@pytest.mark.parametrize(("text", "position"), REFUSED.items())
def test_text_outside_the_language_is_refused_with_its_position(
    text: str, position: int, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(FilterError) as caught:
        compile_filter(text, SCHEMA)
    assert caught.value.position == position, str(caught.value)
    assert f"character {position}, at " in str(caught.value)
    assert len(str(caught.value)) < 400
    str(caught.value).encode()
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "text",
    [
        "(" * MAX_DEPTH + "available" + ")" * MAX_DEPTH,
        "NOT " * MAX_DEPTH + "available",
        " OR ".join(["price = 1"] * 50),
        f"price IN ({', '.join(['1'] * 140)})",
        "lower(" * 19 + "title" + ")" * 19 + " = 'a'",
    ],
)
def test_large_filters_within_the_bounds_are_read(text: str) -> None:
    assert compile_filter(text, SCHEMA).mask(ITEMS).tolist()[0] in (True, False)


@pytest.mark.parametrize(
    "text",
    [
        " OR ".join(["price=1"] * 74),
        "+".join(["price"] * 100) + " > 1",
        "price = " * 100 + "1",
        "price BETWEEN 1 AND NOT " * 50 + "available",
        "available IS NULL IS NULL" + " IS NULL" * 100,
        "title LIKE 'a' " + "LIKE 'a' " * 100,
        "has_any(" * 18 + "tags, 'a'" + ")" * 18,
    ],
)
def test_the_bounds_are_narrower_than_those_of_the_parser(text: str) -> None:
    with pytest.raises(FilterError):
        compile_filter(text, SCHEMA)


OPERANDS = ["price", "title", "tags", "available", "类别", "user.tags", "context.x", "1", "2.5", "'a'", "'咖%'", "''"]
FUNCTIONS = ["has(", "has_any(", "has_all(", "lower(", "length(", "coalesce(", "abs(", "(", ")", ","]
OPERATORS = ["=", "<>", "<", ">=", "+", "-", "*", "/", "AND", "OR", "NOT", "IN", "BETWEEN", "LIKE", "ILIKE", "ESCAPE"]
OTHERS = ["IS", "NULL", "TRUE", "DATE", ".", ";", "--", "SELECT"]
PIECES = st.sampled_from([*OPERANDS, *FUNCTIONS, *OPERATORS, *OTHERS])


@settings(max_examples=300)
@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=20).map(" ".join)))
def test_any_text_is_a_filter_or_an_error_with_its_place(text: str) -> None:
    outcome = mask_or_error(text)
    if isinstance(outcome, FilterError):
        assert 1 <= outcome.position <= len(text) + 1
        str(outcome).encode()
    else:
        assert outcome.shape == (2,)
        assert outcome.dtype == np.bool_


def mask_or_error(text: str) -> npt.NDArray[np.bool_] | FilterError:
    try:
        return compile_filter(text, SCHEMA).mask(ITEMS, {"tags": ["a"]}, {"x": 1})
    except FilterError as error:
        return error
