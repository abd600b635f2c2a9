"""Sums of counts: what parts of a shop's users count, added to what all of them count."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

T = TypeVar("T")


def add(first: T, second: T) -> T:
    """Add two results of one count.

    Args:
        first: a number, an array, a sparse matrix, or a dataclass of these.
        second: of the same type and shape.

    >>> add(1, 3), add(1.5, 2.0)
    (4, 3.5)
    """
    return _joined(first, second, operator.add)


def subtract(first: T, second: T) -> T:
    """Take the result of one count from another one; the inverse of `add`.

    >>> subtract(add(1, 3), 3)
    1
    """
    return _joined(first, second, operator.sub)


def _joined(first: T, second: T, join: Callable[[Any, Any], Any]) -> T:
    one: Any = first
    other: Any = second
    if not is_dataclass(one):
        joined: T = join(one, other)
        return joined
    build: Any = type(one)
    pairs = {each.name: (getattr(one, each.name), getattr(other, each.name)) for each in fields(one)}
    found: T = build(**{name: _joined(*pair, join) for name, pair in pairs.items()})
    return found
