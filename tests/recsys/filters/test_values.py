from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from recsys.core.errors import FilterError
from recsys.filters.values import (
    MAX_BOUND_CHARACTERS,
    MAX_BOUND_ENTRIES,
    ValueType,
    as_timestamp,
    bound_value,
    column_value,
    constant_value,
    read_timestamp,
    value_type_of,
)

DAY = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("dtype", "value_type"),
    [
        (pl.Int8(), ValueType.NUMBER),
        (pl.Float32(), ValueType.NUMBER),
        (pl.String(), ValueType.TEXT),
        (pl.Categorical(), ValueType.TEXT),
        (pl.Boolean(), ValueType.BOOLEAN),
        (pl.Date(), ValueType.MOMENT),
        (pl.Datetime("ms", "Asia/Shanghai"), ValueType.MOMENT),
        (pl.Null(), ValueType.NULL),
    ],
)
def test_a_column_has_the_type_of_its_dtype_alone_and_in_a_list(dtype: pl.DataType, value_type: ValueType) -> None:
    alone, many = column_value("x", dtype, 3), column_value("x", pl.List(dtype), 3)
    assert alone is not None
    assert many is not None
    assert (alone.value_type, many.value_type, alone.at, alone.is_list) == (value_type, value_type, 3, False)
    assert many.is_list == (value_type is not ValueType.NULL)


@pytest.mark.parametrize("dtype", [pl.Binary(), pl.Struct({"a": pl.Int8()}), pl.Object(), pl.List(pl.List(pl.Int8()))])
def test_other_columns_cannot_be_read(dtype: pl.DataType) -> None:
    assert column_value("x", dtype, 0) is None


def test_columns_are_brought_to_one_representation() -> None:
    items = pl.DataFrame(
        {
            "price": [1.5, float("nan"), float("inf"), None],
            "day": [DAY.date(), None, None, None],
            "local": pl.Series([DAY, None, None, None]).dt.convert_time_zone("Asia/Shanghai"),
            "sizes": [[1, 2], [], None, [None]],
        }
    )
    columns = [column_value(name, dtype, 0) for name, dtype in items.schema.items()]
    read = items.select(column.expr.alias(column.name) for column in columns if column is not None)
    assert read["price"].to_list() == [1.5, None, None, None]
    assert read["day"].to_list() == read["local"].to_list() == [DAY, None, None, None]
    assert read["sizes"].to_list() == [[1.0, 2.0], [], None, [None]]


@pytest.mark.parametrize(
    ("value", "value_type"),
    [(True, ValueType.BOOLEAN), (1.0, ValueType.NUMBER), ("a", ValueType.TEXT), (DAY, ValueType.MOMENT)],
)
def test_a_constant_has_the_type_of_its_value(value: Any, value_type: ValueType) -> None:
    assert value_type_of(value) is value_type
    one, many = constant_value(value, 0, "x"), constant_value((value,), 0, "x")
    assert (one.value_type, one.constant, one.is_list) == (value_type, (value,), False)
    assert (many.value_type, many.constant, many.is_list) == (value_type, (value,), True)
    assert not one.is_null


def test_null_and_the_empty_list_fit_every_type() -> None:
    null, empty = constant_value(None, 0, "x"), constant_value((), 0, "x")
    assert (null.value_type, null.is_null, null.constant) == (ValueType.NULL, True, ())
    assert (empty.value_type, empty.is_null, empty.constant) == (ValueType.NULL, False, ())


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-05-01", DAY),
        ("2024-05-01T08:00:00+08:00", DAY),
        ("2024-05-01 00:00", DAY),
        ("yesterday", None),
        ("2024-13-01", None),
        ("1714521600", None),
    ],
)
def test_text_is_a_time_if_it_is_iso(text: str, moment: datetime | None) -> None:
    assert read_timestamp(text) == moment
    parsed = as_timestamp(constant_value(text, 0, "x"))
    assert (None if parsed is None else parsed.constant) == (None if moment is None else (moment,))


def test_a_list_of_text_is_a_list_of_times_if_all_are() -> None:
    parsed = as_timestamp(constant_value(("2024-05-01", "2024-05-01"), 0, "x"))
    assert parsed is not None
    assert (parsed.value_type, parsed.is_list, parsed.constant) == (ValueType.MOMENT, True, (DAY, DAY))
    assert as_timestamp(constant_value(("2024-05-01", "no"), 0, "x")) is None
    assert as_timestamp(constant_value((), 0, "x")) is None


@pytest.mark.parametrize(
    ("raw", "bound"),
    [
        (None, None),
        (True, True),
        (3, 3.0),
        (float("nan"), None),
        (10**400, None),
        (date(2024, 5, 1), DAY),
        (DAY, DAY),
        ("a", "a"),
        (["b", "a", "b"], ("b", "a")),
        ({1}, (1.0,)),
        ((1, None, float("inf")), (1.0,)),
        ([], ()),
    ],
)
def test_bound_values_are_canonical(raw: Any, bound: Any) -> None:
    assert bound_value("user.x", raw) == bound


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (object(), "of type object"),
        ([1, "a"], "several types"),
        (datetime(2024, 5, 1), "without a zone"),  # noqa: DTZ001 - the fault under test
        ("\ud800", "surrogate"),
        ("x" * (MAX_BOUND_CHARACTERS + 1), "characters"),
        (["x"] * (MAX_BOUND_ENTRIES + 1), "entries"),
        ([["nested"]], "of type list"),
    ],
)
def test_other_values_are_refused_by_name(raw: Any, message: str) -> None:
    with pytest.raises(FilterError, match=message) as caught:
        bound_value("user.x", raw)
    assert (caught.value.field, caught.value.position) == ("user.x", 0)
