"""Conversions of CAST between the types of a filter; a value that cannot be converted is NULL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import polars as pl

from recsys.core.schema import TIMESTAMP
from recsys.filters.values import ValueType, finite

TRUE_WORDS: Final = ("true", "t", "yes", "y", "1")
FALSE_WORDS: Final = ("false", "f", "no", "n", "0")

LARGEST_EXACT: Final = 2.0**53
"""Whole numbers below it are written without a decimal point."""

ZONED: Final = "%Y-%m-%dT%H:%M:%S%.f%#z"
LOCAL: Final = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M")


def converted_to(expr: pl.Expr, found: ValueType, wanted: ValueType) -> pl.Expr | None:
    """Return a single value as another type, None if no value of its type can be converted.

    Args:
        expr: of the canonical dtype of `found`, see `recsys.filters.values`.
        found: its type; not NULL.
        wanted: the type of the result.
    """
    if found is wanted:
        return expr
    conversion = CONVERSIONS.get((found, wanted))
    return None if conversion is None else conversion(expr)


def _text_of_number(expr: pl.Expr) -> pl.Expr:
    is_whole = (expr == expr.round()) & (expr.abs() < LARGEST_EXACT)
    whole = pl.when(is_whole).then(expr).cast(pl.Int64, strict=False).cast(pl.String)
    return pl.coalesce(whole, expr.cast(pl.String))


def _text_of_boolean(expr: pl.Expr) -> pl.Expr:
    return pl.when(expr).then(pl.lit("true")).when(~expr).then(pl.lit("false"))


def _text_of_moment(expr: pl.Expr) -> pl.Expr:
    return expr.dt.strftime("%Y-%m-%dT%H:%M:%SZ")


def _number_of_text(expr: pl.Expr) -> pl.Expr:
    return finite(expr.str.strip_chars().cast(pl.Float64, strict=False))


def _boolean_of_text(expr: pl.Expr) -> pl.Expr:
    word = expr.str.strip_chars().str.to_lowercase()
    return pl.when(word.is_in(TRUE_WORDS)).then(True).when(word.is_in(FALSE_WORDS)).then(False)


def _moment_of_text(expr: pl.Expr) -> pl.Expr:
    """Read ISO 8601 dates and times, in UTC without an offset."""
    text = expr.str.strip_chars().str.replace(r"^(\d{4}-\d{2}-\d{2})[ t]", "${1}T").str.replace(r"[zZ]$", "+00:00")
    zoned = text.str.to_datetime(ZONED, strict=False, time_unit="us").cast(TIMESTAMP)
    local = [text.str.to_datetime(form, strict=False, time_unit="us") for form in LOCAL]
    day = text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
    return pl.coalesce(zoned, *(each.dt.replace_time_zone("UTC") for each in (*local, day)))


CONVERSIONS: Final[Mapping[tuple[ValueType, ValueType], Callable[[pl.Expr], pl.Expr]]] = MappingProxyType(
    {
        (ValueType.NUMBER, ValueType.TEXT): _text_of_number,
        (ValueType.BOOLEAN, ValueType.TEXT): _text_of_boolean,
        (ValueType.MOMENT, ValueType.TEXT): _text_of_moment,
        (ValueType.TEXT, ValueType.NUMBER): _number_of_text,
        (ValueType.BOOLEAN, ValueType.NUMBER): lambda expr: expr.cast(pl.Float64),
        (ValueType.TEXT, ValueType.BOOLEAN): _boolean_of_text,
        (ValueType.NUMBER, ValueType.BOOLEAN): lambda expr: expr != 0,
        (ValueType.TEXT, ValueType.MOMENT): _moment_of_text,
    }
)
"""By the type found and the type wanted."""
