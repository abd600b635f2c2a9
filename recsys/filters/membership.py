"""Equality and membership of values and lists in a filter.

Two lists are equal if they share an entry, and a list equals a value that it contains: a category is a path, and
`category = 'Snacks'` matches any of its levels. Entries that are NULL are ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import polars as pl

from recsys.filters.scope import Scope
from recsys.filters.values import (
    DTYPES,
    TIMESTAMP_EXAMPLES,
    Scalar,
    TypedValue,
    ValueType,
    as_timestamp,
    constant_value,
)

UNKNOWN: Final = pl.lit(None, pl.Boolean())


def matched(left: TypedValue, right: TypedValue, scope: Scope) -> tuple[TypedValue, TypedValue]:
    """Return both values with one type; a constant text that is compared with a time is parsed as a time."""
    if left.value_type is right.value_type or ValueType.NULL in (left.value_type, right.value_type):
        return left, right
    if left.value_type is ValueType.MOMENT and right.value_type is ValueType.TEXT and right.constant is not None:
        return left, read_as_timestamp(right, scope)
    if right.value_type is ValueType.MOMENT and left.value_type is ValueType.TEXT and left.constant is not None:
        return read_as_timestamp(left, scope), right
    found = f"{left.name} is {left.value_type.value}, {right.name} is {right.value_type.value}"
    raise scope.fault(right.at, f"{found}: expected two values of one type, or a CAST")


def read_as_timestamp(term: TypedValue, scope: Scope) -> TypedValue:
    """Return a constant text as a time.

    Raises:
        FilterError: it is not a time.
    """
    moment = as_timestamp(term)
    if moment is None:
        raise scope.fault(term.at, f"{term.name} is not a time: expected {TIMESTAMP_EXAMPLES}")
    return moment


def shares(left: TypedValue, right: TypedValue, scope: Scope) -> pl.Expr:
    """Return whether two values are equal, or any entries of lists."""
    left, right = matched(left, right, scope)
    if left.is_null or right.is_null:
        return UNKNOWN
    if left.constant is not None and right.constant is not None:
        return pl.lit(not set(left.constant).isdisjoint(right.constant))
    swapped = left.constant is not None or (right.constant is None and right.is_list)
    many, one = (right, left) if swapped else (left, right)
    if one.constant is not None:
        return any_entry(many, lambda entry: _among(entry, one.constant or (), one.value_type))
    if one.is_list:
        return _some(many.expr.list.set_intersection(one.expr))
    if many.is_list:
        return pl.when(one.expr.is_not_null()).then(many.expr.list.contains(one.expr))
    return many.expr == one.expr


def shares_any(subject: TypedValue, others: list[TypedValue], scope: Scope) -> pl.Expr:
    """Return whether the subject equals any of the others; constants are looked up together."""
    others = [matched(subject, other, scope)[1] for other in others]
    value_types = {other.value_type for other in others if other.constant}
    if len(value_types) > 1:
        raise scope.fault(others[-1].at, "values of several types: expected one type")
    known = tuple(entry for other in others for entry in other.constant or ())
    parts = [shares(subject, other, scope) for other in others if other.constant is None or other.is_null]
    if known or not parts:
        together = constant_value(known, others[0].at, "the list")
        parts.append(shares(subject, together, scope))
    return parts[0] if len(parts) == 1 else pl.any_horizontal(parts)


def covers(subject: TypedValue, term: TypedValue, scope: Scope) -> list[pl.Expr]:
    """Return conditions which together state that the subject contains all entries of a value."""
    if not term.is_list:
        return [shares(subject, term, scope)]
    subject, term = matched(subject, term, scope)
    if subject.is_null:
        return [UNKNOWN]
    if term.constant is not None and subject.constant is not None:
        return [pl.lit(set(term.constant) <= set(subject.constant))]
    if subject.constant is not None:
        held = subject.constant
        return [~any_entry(term, lambda entry: ~_among(entry, held, subject.value_type))]
    known = pl.when(subject.expr.is_not_null()).then(True)
    if term.constant is None:
        return [known, ~_some(term.expr.list.set_difference(subject.expr))]
    wanted = list(set(term.constant))
    if not wanted:
        return [known]
    shared = subject.expr.list.set_intersection(pl.lit(pl.Series([wanted], dtype=pl.List(DTYPES[subject.value_type]))))
    return [known, shared.list.len() == len(wanted)]


def _some(entries: pl.Expr) -> pl.Expr:
    """Return whether a list has an entry that is not NULL."""
    return entries.list.eval(pl.element().is_not_null()).list.any()


def any_entry(term: TypedValue, test: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
    """Return whether a value, or any entry of a list column, passes a test; an unknown result does not pass."""
    return term.expr.list.eval(test(pl.element())).list.any() if term.is_list else test(term.expr)


def _among(expr: pl.Expr, values: tuple[Scalar, ...], value_type: ValueType) -> pl.Expr:
    if not values:
        return pl.when(expr.is_not_null()).then(False)
    if len(values) == 1:
        return expr == pl.lit(values[0], DTYPES[value_type])
    return expr.is_in(list(values))
