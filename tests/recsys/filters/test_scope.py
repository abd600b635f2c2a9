from __future__ import annotations

import polars as pl
import pytest

from recsys.core.errors import FilterError
from recsys.filters.parser import Node
from recsys.filters.scope import SUGGESTED_UP_TO_CHARACTERS, Scope, bound, column, literal
from recsys.filters.values import ValueType

SCHEMA = {"price": pl.Float64(), "brand": pl.String(), "raw": pl.Binary()}
SCOPE = Scope("price < 10", SCHEMA, {"user.region": "north"})


def test_a_column_has_its_type_and_position() -> None:
    found = column(Node("column", 4, value="price"), SCOPE)
    assert (found.value_type, found.at, found.name) == (ValueType.NUMBER, 4, "price")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Price", "did you mean 'price'"),
        ("prise", "did you mean 'price'"),
        ("zzzzzz", "expected one of price, brand, raw, user.NAME or context.NAME"),
        ("p" * (SUGGESTED_UP_TO_CHARACTERS + 1), "…"),
        ("raw", "has type Binary, which filters cannot read"),
    ],
)
def test_a_wrong_column_is_named_with_its_position(name: str, message: str) -> None:
    with pytest.raises(FilterError, match=message) as caught:
        column(Node("column", 4, value=name), SCOPE)
    assert caught.value.position == 5


def test_a_bound_value_is_a_constant_and_an_absent_one_is_null() -> None:
    assert bound(Node("user", 0, value="region"), SCOPE).constant == ("north",)
    assert bound(Node("user", 0, value="tags"), SCOPE).is_null
    assert bound(Node("context", 0, value="region"), SCOPE).is_null


def test_literals_have_their_values() -> None:
    assert literal(Node("number", 0, value="1e2"), SCOPE).constant == (100.0,)
    assert literal(Node("text", 0, value="a"), SCOPE).constant == ("a",)
    assert literal(Node("boolean", 0, value="FALSE"), SCOPE).constant == (False,)
    moment = literal(Node("moment", 0, value="2024-05-01"), SCOPE)
    assert moment.value_type is ValueType.MOMENT


@pytest.mark.parametrize(
    ("op", "value", "message"), [("moment", "noon", "a time such as"), ("number", "1e999", "large")]
)
def test_a_wrong_literal_is_refused(op: str, value: str, message: str) -> None:
    with pytest.raises(FilterError, match=message):
        literal(Node(op, 0, value=value), SCOPE)
