from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.errors import FilterError
from recsys.filters import compile_filter
from recsys.filters.lexer import CAST_TYPES

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def kept(condition: str, *values: Any, dtype: Any = None) -> list[bool]:
    frame = pl.DataFrame({"v": pl.Series(values, dtype=dtype)})
    return compile_filter(condition, frame.schema).mask(frame).tolist()


@pytest.mark.parametrize(
    ("condition", "values", "expected"),
    [
        ("CAST(v AS NUMBER) > 5", ["70", " 5.5 ", "5", "x", "", None], [True, True, False, False, False, False]),
        ("CAST(v AS NUMBER) IS NULL", ["inf", "nan", "1e3", "1,5"], [True, True, False, True]),
        ("cast(v as text) = '5'", [5, 50, None], [True, False, False]),
        ("CAST(v AS TEXT) = '5'", [5.0, 5.5, None], [True, False, False]),
        ("CAST(v AS TEXT) LIKE '%.5'", [5.0, 5.5], [False, True]),
        ("CAST(v AS TEXT) = 'true'", [True, False, None], [True, False, False]),
        ("CAST(v AS NUMBER) = 1", [True, False, None], [True, False, False]),
        ("CAST(v AS BOOLEAN)", ["Yes", "0", "maybe", None], [True, False, False, False]),
        ("CAST(v AS BOOLEAN) IS NULL", ["true", "n", "maybe", None], [False, False, True, True]),
        ("CAST(v AS BOOLEAN)", [0, 2, None], [False, True, False]),
        ("CAST(v AS TIMESTAMP) >= '2024-05-01'", ["2024-05-01", "2024-04-30", "soon"], [True, False, False]),
        (
            "CAST(v AS TIMESTAMP) = '2024-05-01T12:00:00Z'",
            ["2024-05-01 12:00", "2024-05-01T20:00:00+08:00"],
            [True] * 2,
        ),
        ("CAST(v AS TEXT) = '2024-05-01T12:00:00Z'", [NOON], [True]),
        ("CAST(v AS TEXT) LIKE '2024-05-01%'", [date(2024, 5, 1)], [True]),
        ("CAST(v AS TIMESTAMP) < '2025-01-01'", [NOON], [True]),
        ("CAST(CAST(v AS TEXT) AS NUMBER) = 7", [7, 8], [True, False]),
        ("CAST(user.since AS TIMESTAMP) IS NULL", ["a"], [True]),
    ],
)
def test_a_value_is_read_as_another_type(condition: str, values: list[Any], expected: list[bool]) -> None:
    assert kept(condition, *values) == expected


@pytest.mark.parametrize(
    ("condition", "values", "message"),
    [
        ("CAST(v AS JSON) = 1", ["a"], "no such type: expected NUMBER, TEXT, BOOLEAN or TIMESTAMP"),
        ("CAST(v AS 'TEXT') = 'a'", ["a"], "no such type"),
        ("CAST(v AS \"TEXT\") = 'a'", ["a"], "no such type"),
        ("CAST(v, v) = 1", ["a"], "expected a type after AS"),
        ("CAST(v) = 1", ["a"], "cast() with 1 arguments: expected 2"),
        ("CAST(v AS TEXT AS TEXT) = 'a'", ["a"], "cast() with 3 arguments: expected 2"),
        ("CAST(AS TEXT) = 'a'", ["a"], "expected a value before AS"),
        ("v AS TEXT", ["a"], "misplaced"),
        ("has(v AS TEXT)", [["a"]], "type is not expected here"),
        ("v IN (1 AS TEXT)", [1], "type is not expected here"),
        ("CAST(v AS TEXT) = 'a'", [["a"]], "CAST expects a single value, found v (a list)"),
        ("CAST(v AS TIMESTAMP) > '2024-05-01'", [1], "CAST cannot make a time of v (a number)"),
        ("CAST(v AS NUMBER) > 1", [NOON], "CAST cannot make a number of v (a time)"),
        ("CAST(v AS NUMBER) = 'a'", ["a"], "expected two values of one type, or a CAST"),
    ],
)
def test_a_wrong_cast_is_named(condition: str, values: list[Any], message: str) -> None:
    with pytest.raises(FilterError) as refused:
        kept(condition, *values)
    assert message in str(refused.value)


@pytest.mark.parametrize("name", CAST_TYPES)
def test_every_name_of_a_type_may_also_name_a_column(name: str) -> None:
    frame = pl.DataFrame({name.lower(): ["1"]})
    assert compile_filter(f'CAST("{name.lower()}" AS {name}) IS NOT NULL', frame.schema)
    assert compile_filter(f"{name.lower()} = '1'", frame.schema).mask(frame).tolist() == [True]


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_whole_numbers_survive_as_texts(number: int) -> None:
    assert kept(f"CAST(v AS TEXT) = '{number}'", number) == [True]
    assert kept(f"CAST(v AS NUMBER) = {number}", str(number)) == [True]
