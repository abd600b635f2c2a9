"""Typed values of a filter: columns of the items table, literals, and values bound from the user and the context.

Every column that a filter can read has one of four types: number (64-bit float), text, boolean and time (UTC), each
alone or in a list. A number that is not finite is NULL. A duration is a literal, or the difference of two times.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any, Final

import polars as pl
import polars.selectors as cs

from recsys.core.errors import FilterError
from recsys.core.schema import TIMESTAMP
from recsys.core.timestamps import parse_iso

TIMESTAMP_EXAMPLES: Final = "a time such as '2024-05-01' or '2024-05-01T08:00:00+08:00'"
MAX_BOUND_ENTRIES: Final = 1000
MAX_BOUND_CHARACTERS: Final = 10_000

Scalar = float | str | bool | datetime | timedelta
Value = Scalar | tuple[Scalar, ...] | None


class ValueType(Enum):
    """Type of a value, as error messages name it."""

    NUMBER = "a number"
    TEXT = "text"
    BOOLEAN = "true or false"
    MOMENT = "a time"
    DURATION = "a duration"
    NULL = "NULL"


DTYPES: Final[dict[ValueType, pl.DataType]] = {
    ValueType.NUMBER: pl.Float64(),
    ValueType.TEXT: pl.String(),
    ValueType.BOOLEAN: pl.Boolean(),
    ValueType.MOMENT: TIMESTAMP,
    ValueType.DURATION: pl.Duration("us"),
    ValueType.NULL: pl.Null(),
}


@dataclass(frozen=True, slots=True)
class TypedValue:
    """A typed part of a filter.

    Attributes:
        value_type: its type, or that of its entries; `NULL` fits every type.
        expr: its value for every item, of the type's dtype or a list of it; not used for a constant list.
        at: 0-based position in the filter's text.
        name: its name in error messages.
        is_list: whether it is a list.
        constant: its entries if they are the same for every item (empty for NULL), else None.
    """

    value_type: ValueType
    expr: pl.Expr
    at: int
    name: str
    is_list: bool = False
    constant: tuple[Scalar, ...] | None = None

    @property
    def is_null(self) -> bool:
        """Whether it is NULL for every item."""
        return self.value_type is ValueType.NULL and not self.is_list

    def __str__(self) -> str:
        return f"{self.name} ({'a list' if self.is_list else self.value_type.value})"


def column_value(name: str, dtype: pl.DataType, at: int) -> TypedValue | None:
    """Return a column of the items table with its type; None if filters cannot read such a column."""
    column = cs.by_name(name).as_expr()  # `pl.col` takes `*` and `^…$` as patterns
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    value_type = _value_type(inner)
    if value_type is None:
        return None
    if value_type is ValueType.NULL:
        return constant_value(None, at, name)
    canonical = inner == DTYPES[value_type] and value_type is not ValueType.NUMBER
    if isinstance(dtype, pl.List):
        expr = column if canonical else column.list.eval(_canonical(pl.element(), inner, value_type))
        return TypedValue(value_type, expr, at, name, is_list=True)
    return TypedValue(value_type, column if canonical else _canonical(column, inner, value_type), at, name)


def constant_value(value: Value, at: int, name: str) -> TypedValue:
    """Return a value that is the same for every item."""
    if value is None:
        return TypedValue(ValueType.NULL, pl.lit(None), at, name, constant=())
    entries = value if isinstance(value, tuple) else (value,)
    value_type = value_type_of(entries[0]) if entries else ValueType.NULL
    is_list = isinstance(value, tuple)
    expr = pl.lit(None) if is_list else pl.lit(value, DTYPES[value_type])
    return TypedValue(value_type, expr, at, name, is_list, entries)


def finite(expr: pl.Expr) -> pl.Expr:
    """Return a number, or NULL if it is not finite."""
    return pl.when(expr.is_finite()).then(expr)


def value_type_of(value: Scalar) -> ValueType:
    """Return the type of one value."""
    if isinstance(value, bool):
        return ValueType.BOOLEAN
    if isinstance(value, str):
        return ValueType.TEXT
    if isinstance(value, timedelta):
        return ValueType.DURATION
    return ValueType.MOMENT if isinstance(value, datetime) else ValueType.NUMBER


def as_timestamp(term: TypedValue) -> TypedValue | None:
    """Return a constant text as a time; None if it is not a time."""
    moments = [read_timestamp(entry) for entry in term.constant or () if isinstance(entry, str)]
    known = tuple(moment for moment in moments if moment is not None)
    if not known or len(known) < len(moments):
        return None
    if term.is_list:
        return replace(term, value_type=ValueType.MOMENT, constant=known)
    return constant_value(known[0], term.at, term.name)


def read_timestamp(text: str) -> datetime | None:
    """Return an ISO 8601 date or time, in UTC if it has no offset; None if the text is neither."""
    try:
        return parse_iso(text, UTC)
    except ValueError:
        return None


def bound_value(name: str, raw: Any) -> Value:
    """Return an attribute of a user or a value of a context in canonical form.

    Args:
        name: such as `context.region`, for error messages.
        raw: None, a bool, number, text, date, aware time, or a list, tuple or set of one of these types; entries that
            are None or not finite are left out.

    Raises:
        FilterError: the value has another type or is too long.
    """
    if isinstance(raw, list | tuple | set | frozenset):
        entries = tuple(dict.fromkeys(_entries(name, raw)))
        if set(map(type, entries)) <= {str}:
            return entries
        if len({value_type_of(entry) for entry in entries}) > 1:
            raise FilterError(f"{name} is a list of several types: expected entries of one type", 0, name)
        return entries
    return next(iter(_entries(name, (raw,))), None)


def _entries(name: str, raw: Iterable[Any]) -> list[Scalar]:
    values = list(raw)
    if len(values) > MAX_BOUND_ENTRIES:
        raise FilterError(f"{name} has {len(values)} entries: expected at most {MAX_BOUND_ENTRIES}", 0, name)
    if set(map(type, values)) == {str}:
        # Tags are read for every request: one check of all takes a third of the time of one check each.
        _text(name, "".join(values))
        return values
    return [entry for value in values if (entry := _scalar(name, value)) is not None]


def _scalar(name: str, raw: Any) -> Scalar | None:
    if raw is None or isinstance(raw, bool):
        return raw
    if isinstance(raw, str):
        return _text(name, raw)
    if isinstance(raw, int | float):
        try:
            number = float(raw)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    if isinstance(raw, date):
        moment = raw if isinstance(raw, datetime) else datetime(raw.year, raw.month, raw.day, tzinfo=UTC)
        if moment.tzinfo is None:
            raise FilterError(f"{name} is a time without a zone: give its offset", 0, name)
        return moment.astimezone(UTC)
    found = type(raw).__name__
    raise FilterError(f"{name} is of type {found}: expected text, a number, true or false, a time, or a list", 0, name)


def _text(name: str, raw: str) -> str:
    if len(raw) > MAX_BOUND_CHARACTERS:
        raise FilterError(f"{name} has {len(raw)} characters: expected at most {MAX_BOUND_CHARACTERS}", 0, name)
    try:
        raw.encode()
    except UnicodeEncodeError:
        raise FilterError(f"{name} contains half a surrogate pair: expected whole characters", 0, name) from None
    return raw


def _value_type(dtype: Any) -> ValueType | None:
    if dtype.is_numeric():
        return ValueType.NUMBER
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return ValueType.TEXT
    if isinstance(dtype, pl.Datetime | pl.Date):
        return ValueType.MOMENT
    return {pl.Boolean(): ValueType.BOOLEAN, pl.Null(): ValueType.NULL}.get(dtype)


def _canonical(expr: pl.Expr, dtype: Any, value_type: ValueType) -> pl.Expr:
    if value_type is ValueType.NUMBER:
        number = expr.cast(pl.Float64)
        return finite(number) if dtype.is_float() else number
    if value_type is ValueType.MOMENT:
        moment = expr.cast(pl.Datetime("us", getattr(dtype, "time_zone", None)))
        zone = getattr(dtype, "time_zone", None)
        return moment.dt.convert_time_zone("UTC") if zone else moment.dt.replace_time_zone("UTC")
    return expr.cast(DTYPES[value_type])
