from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from recsys.core.errors import FilterError
from recsys.filters.membership import covers, matched, shares, shares_any
from recsys.filters.scope import Scope
from recsys.filters.values import TypedValue, ValueType, column_value, constant_value

ITEMS = pl.DataFrame(
    {
        "brand": ["a", "b", None, "a"],
        "tags": [["a", "x"], ["b"], ["a"], None],
        "labels": [["x"], ["a", None], [], ["a"]],
        "created_at": ["2024-05-01", "2024-05-02", None, "2024-05-01"],
    }
).with_columns(pl.col("created_at").str.to_datetime("%Y-%m-%d", time_zone="UTC"))
SCOPE = Scope("a filter", ITEMS.schema, {})


def column(name: str) -> TypedValue:
    found = column_value(name, ITEMS.schema[name], 0)
    assert found is not None
    return found


def constant(value: Any) -> TypedValue:
    return constant_value(value, 0, repr(value))


def read(expr: pl.Expr) -> list[bool | None]:
    return ITEMS.with_columns(result=expr)["result"].to_list()


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (column("brand"), constant("a"), [True, False, None, True]),
        (constant("a"), column("brand"), [True, False, None, True]),
        (column("brand"), constant(("a", "b")), [True, True, None, True]),
        (column("brand"), constant(()), [False, False, None, False]),
        (column("tags"), constant("a"), [True, False, True, None]),
        (column("tags"), constant(("b", "x")), [True, True, False, None]),
        (column("tags"), column("brand"), [True, True, None, None]),
        (column("brand"), column("tags"), [True, True, None, None]),
        (column("tags"), column("labels"), [True, False, False, None]),
        (column("brand"), constant(None), [None] * 4),
        (constant("a"), constant(("a", "b")), [True] * 4),
        (constant("c"), constant(("a", "b")), [False] * 4),
    ],
)
def test_values_and_lists_are_equal_if_they_share_an_entry(
    left: TypedValue, right: TypedValue, expected: list[bool | None]
) -> None:
    assert read(shares(left, right, SCOPE)) == expected


def test_any_of_several_values_may_be_shared() -> None:
    assert read(shares_any(column("brand"), [constant("b"), constant("c")], SCOPE)) == [False, True, None, False]
    assert read(shares_any(column("brand"), [constant("b"), column("tags")], SCOPE)) == [True, True, None, None]
    with pytest.raises(FilterError, match="several types"):
        shares_any(constant(None), [constant("b"), constant(1.0)], SCOPE)


@pytest.mark.parametrize(
    ("subject", "wanted", "expected"),
    [
        (column("tags"), constant(("a", "x")), [True, False, False, None]),
        (column("tags"), constant(()), [True, True, True, None]),
        (column("tags"), constant("a"), [True, False, True, None]),
        (column("tags"), column("labels"), [True, False, True, None]),
        (constant(("a", "x")), column("labels"), [True, True, True, True]),
        (constant(("x",)), column("labels"), [True, False, True, False]),
        (constant(("a", "b")), constant(("a",)), [True] * 4),
        (constant(None), constant(("a",)), [None] * 4),
    ],
)
def test_a_list_covers_another_if_it_contains_all_entries(
    subject: TypedValue, wanted: TypedValue, expected: list[bool | None]
) -> None:
    assert read(pl.all_horizontal(covers(subject, wanted, SCOPE))) == expected


def test_constant_text_is_a_time_where_it_is_compared_with_one() -> None:
    moments = column("created_at")
    for pair in ((moments, constant("2024-05-01")), (constant("2024-05-01"), moments)):
        assert {value.value_type for value in matched(*pair, SCOPE)} == {ValueType.MOMENT}
        assert read(shares(*pair, SCOPE)) == [True, False, None, True]


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        (column("created_at"), constant("noon"), "'noon' is not a time"),
        (column("brand"), constant(1.0), "brand is text, 1.0 is a number: expected two values of one type"),
        (column("created_at"), column("brand"), "expected two values of one type"),
    ],
)
def test_different_types_are_refused(left: TypedValue, right: TypedValue, message: str) -> None:
    with pytest.raises(FilterError, match=message):
        matched(left, right, SCOPE)
