"""Sums of counts: what parts of a shop's users count, added to what all of them count."""

from __future__ import annotations

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
    one: Any = first
    other: Any = second
    if not is_dataclass(one):
        total: T = one + other
        return total
    build: Any = type(one)
    summed: T = build(**{each.name: add(getattr(one, each.name), getattr(other, each.name)) for each in fields(one)})
    return summed
