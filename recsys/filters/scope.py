"""The meaning of names and literals in a filter: columns of the items table, and values of the user and context."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import Final

import polars as pl

from recsys.core.errors import FilterError
from recsys.core.schema import SEGMENTS
from recsys.filters.lexer import filter_error
from recsys.filters.parser import Node
from recsys.filters.values import (
    DTYPES,
    TIMESTAMP_EXAMPLES,
    Scalar,
    TypedValue,
    Value,
    ValueType,
    column_value,
    constant_value,
    read_timestamp,
)

NOW_VALUE: Final = "now()"
"""Name that the moment of a list is bound to; no key of a context can be read by it."""

SEGMENT_PREFIX: Final = "user.segment."
"""Prefix of the names of a user's segments."""

MAX_DURATION_S: Final = 86_400.0 * 366_000

NAMES_SHOWN: Final = 20
SUGGESTED_UP_TO_CHARACTERS: Final = 64
"""Longer names get no suggestion: the search for one would dominate the time of the error."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Definitions of the names of a filter.

    Attributes:
        text: the filter's text, for messages.
        schema: columns of the items table and their dtypes.
        values: bound values by name with its prefix, such as `user.tags`; an absent one is NULL.
    """

    text: str
    schema: Mapping[str, pl.DataType]
    values: Mapping[str, Value]

    def fault(self, at: int, message: str) -> FilterError:
        """Build an error about the position `at` of the text."""
        return filter_error(self.text, at, message)


def column(node: Node, scope: Scope) -> TypedValue:
    """Return a column of the items table.

    Raises:
        FilterError: the column does not exist, or has a type that filters cannot read.
    """
    dtype = scope.schema.get(node.value)
    if dtype is None:
        raise scope.fault(node.at, _unknown_column(node.value, scope))
    term = column_value(node.value, dtype, node.at)
    if term is None:
        raise scope.fault(node.at, f"column {node.value!r} has type {dtype}, which filters cannot read")
    return term


def _unknown_column(name: str, scope: Scope) -> str:
    near: list[str] = []
    if len(name) <= SUGGESTED_UP_TO_CHARACTERS:
        by_lower = {column.lower(): column for column in scope.schema}
        near = [by_lower[found] for found in get_close_matches(name.lower(), by_lower, n=1)]
    known = ", ".join(list(scope.schema)[:NAMES_SHOWN])
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {known}, user.NAME or context.NAME"
    shown = name if len(name) <= SUGGESTED_UP_TO_CHARACTERS else f"{name[:SUGGESTED_UP_TO_CHARACTERS]}…"
    return f"unknown column {shown!r}: {hint}"


def bound(node: Node, scope: Scope) -> TypedValue:
    """Return a value of the user or the context; NULL if none is bound.

    Raises:
        FilterError: there is no such segment.
    """
    name = f"{node.op}.{node.value}"
    if name.startswith(SEGMENT_PREFIX) and name.removeprefix(SEGMENT_PREFIX) not in SEGMENTS:
        raise scope.fault(node.at, _unknown_segment(name.removeprefix(SEGMENT_PREFIX)))
    return constant_value(scope.values.get(name), node.at, name)


def _unknown_segment(name: str) -> str:
    near = get_close_matches(name.lower(), SEGMENTS, n=1) if len(name) <= SUGGESTED_UP_TO_CHARACTERS else []
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(SEGMENTS)}"
    return f"unknown segment {name[:SUGGESTED_UP_TO_CHARACTERS]!r}: {hint}"


def sample_segments(names: Iterable[str]) -> dict[str, Value]:
    """Return a value of the right type for each segment among some names, to check the types of a filter.

    Args:
        names: such as `user.segment.life_cycle` and `user.tags`.
    """
    found: dict[str, Value] = {}
    for name in names:
        dtype = SEGMENTS.get(name.removeprefix(SEGMENT_PREFIX)) if name.startswith(SEGMENT_PREFIX) else None
        if dtype is not None:
            inner = dtype.inner if isinstance(dtype, pl.List) else dtype
            sample: Scalar = "" if inner == pl.String() else True if inner == pl.Boolean() else 0.0
            found[name] = (sample,) if isinstance(dtype, pl.List) else sample
    return found


def now(node: Node, scope: Scope) -> TypedValue:
    """Return the moment of the list; a time that is NULL for every item if none is bound."""
    moment = scope.values.get(NOW_VALUE)
    if moment is None:
        return TypedValue(ValueType.MOMENT, pl.lit(None, DTYPES[ValueType.MOMENT]), node.at, NOW_VALUE)
    return constant_value(moment, node.at, NOW_VALUE)


def literal(node: Node, scope: Scope) -> TypedValue:
    """Return a number, text, time, duration, TRUE or FALSE.

    Raises:
        FilterError: the text is not a time, or the number is too large.
    """
    if node.op == "boolean":
        return constant_value(node.value == "TRUE", node.at, node.value)
    if node.op == "text":
        return constant_value(node.value, node.at, repr(node.value))
    if node.op == "moment":
        moment = read_timestamp(node.value)
        if moment is None:
            raise scope.fault(node.at, f"expected {TIMESTAMP_EXAMPLES}")
        return constant_value(moment, node.at, repr(node.value))
    number = float(node.value)
    if node.op == "duration":
        if number > MAX_DURATION_S:
            raise scope.fault(node.at, "the duration is too long: expected at most a thousand years")
        return constant_value(timedelta(seconds=number), node.at, "the duration")
    if number == float("inf"):
        raise scope.fault(node.at, "the number is too large")
    return constant_value(number, node.at, node.value)
