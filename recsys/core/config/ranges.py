"""Types of settings, each with the values that are valid for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final

from msgspec import Meta
from msgspec import inspect as types

PositiveInt = Annotated[int, Meta(ge=1)]
NonNegativeInt = Annotated[int, Meta(ge=0)]
PositiveFloat = Annotated[float, Meta(gt=0)]
NonNegativeFloat = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
PositiveShare = Annotated[float, Meta(gt=0, le=1)]
Text = Annotated[str, Meta(pattern=r"\S")]
"""Aliases for the common ranges. A float without a range is any finite number."""

ASCENDING: Final = "ascending"
UNIQUE: Final = "unique"
SINGLE: Final = "single"
"""Keys of `Meta.extra` that the reader of settings applies: the values of a list ascend, or are distinct; a list of one
value may be written as the value."""

Number = types.IntType | types.FloatType


def in_range(kind: Number, number: float) -> bool:
    """Return whether a number is finite and within the range of its type."""
    return (
        math.isfinite(number)
        and (kind.gt is None or number > kind.gt)
        and (kind.ge is None or number >= kind.ge)
        and (kind.lt is None or number < kind.lt)
        and (kind.le is None or number <= kind.le)
    )


def range_text(kind: types.Type) -> str:
    """Write the valid values of a type, "" where its name says all.

    >>> range_text(types.type_info(Share)), range_text(types.type_info(PositiveInt))
    ('in [0, 1]', '>= 1')
    """
    kind, extra = unwrap(kind)
    if isinstance(kind, types.LiteralType):
        return f"one of {', '.join(map(repr, kind.values))}"
    if isinstance(kind, types.VarTupleType):
        return ", ".join(
            filter(None, (range_text(kind.item_type), *(word for word in (ASCENDING, UNIQUE) if word in extra)))
        )
    if isinstance(kind, types.DictType):
        return range_text(kind.value_type)
    return _interval(kind) if isinstance(kind, Number) else ""


def type_text(kind: types.Type) -> str:
    """Name a type as an engineer reads it.

    >>> type_text(types.type_info(PositiveInt)), type_text(types.type_info(tuple[float, ...]))
    ('whole number', 'list of numbers')
    """
    kind, _ = unwrap(kind)
    if isinstance(kind, types.VarTupleType):
        return f"list of {type_text(kind.item_type)}s"
    if isinstance(kind, types.DictType):
        return f"table of {type_text(kind.value_type)}s"
    return NAMES[type(kind)]


def expected_text(kind: types.Type) -> str:
    """Write what an error message says is expected.

    >>> expected_text(types.type_info(Share))
    'a number in [0, 1]'
    """
    inner, _ = unwrap(kind)
    if isinstance(inner, types.LiteralType):
        return range_text(kind)
    if isinstance(inner, types.DataclassType):
        return "a table {" + ", ".join(f"{field.name} = …" for field in inner.fields) + "}"
    article = "" if isinstance(inner, types.BoolType) else "a "
    return f"{article}{type_text(kind)} {range_text(kind) if isinstance(inner, Number) else ''}".rstrip()


def unwrap(kind: types.Type) -> tuple[types.Type, Mapping[str, Any]]:
    """Strip metadata and `None` from a type, and return the entries of `Meta.extra` with it."""
    extra: dict[str, Any] = {}
    while isinstance(kind, types.Metadata | types.UnionType):
        if isinstance(kind, types.Metadata):
            extra |= kind.extra or {}
            kind = kind.type
        else:
            kind = next(choice for choice in kind.types if not isinstance(choice, types.NoneType))
    return kind, extra


NAMES: Final[Mapping[type[types.Type], str]] = {
    types.BoolType: "true or false",
    types.IntType: "whole number",
    types.FloatType: "number",
    types.StrType: "text",
    types.LiteralType: "text",
    types.DataclassType: "table",
}


def _interval(kind: Number) -> str:
    low, high = (kind.ge if kind.gt is None else kind.gt), (kind.le if kind.lt is None else kind.lt)
    if low is not None and high is not None:
        return f"in {'[' if kind.gt is None else '('}{low:g}, {high:g}{']' if kind.lt is None else ')'}"
    if high is not None:
        return f"{'<=' if kind.lt is None else '<'} {high:g}"
    return (
        f"{'>=' if kind.gt is None else '>'} {low:g}"
        if low is not None
        else "finite" * isinstance(kind, types.FloatType)
    )
