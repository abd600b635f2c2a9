"""A compiled filter, which maps an items table to a mask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.errors import DataError
from recsys.filters.compiler import compile_predicate
from recsys.filters.parser import Node, parse
from recsys.filters.scope import NOW_VALUE, Scope, sample_segments
from recsys.filters.values import Value, bound_value

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Filter:
    """A filter, checked against the columns of one items table; see `compile_filter`.

    Attributes:
        text: as the caller wrote it.
        schema: the columns that it was checked against.
        depends_on: the values of user and context that it reads, such as `user.tags`, and `now()`; empty if the mask is
            the same for all users at any time.
        columns: the columns of the items table that it reads.
    """

    text: str
    schema: Mapping[str, pl.DataType] = field(repr=False)
    depends_on: frozenset[str]
    columns: frozenset[str]
    _root: Node = field(repr=False)
    _predicate: pl.Expr = field(repr=False)
    _names: tuple[tuple[str, str, str], ...] = field(repr=False)

    def bind(self, user: Mapping[str, Any] = NOTHING, context: Mapping[str, Any] = NOTHING) -> dict[str, Value]:
        """Return the values of a user and a context that the filter reads, in canonical form; an absent one is NULL.

        Raises:
            FilterError: a value has a type that filters cannot read.
        """
        values: dict[str, Value] = {}
        for name, scope, attribute in self._names:
            raw = (user if scope == "user" else context).get(attribute)
            values[name] = None if raw is None else bound_value(name, raw)
        return values

    def mask(
        self, items: pl.DataFrame, user: Mapping[str, Any] = NOTHING, context: Mapping[str, Any] = NOTHING
    ) -> npt.NDArray[np.bool_]:
        """Return the items for which the condition is true; not those for which it is false or unknown.

        Args:
            items: one row per item, with the columns that the filter was compiled for.
            user: attributes by name: None, a bool, number, text, date, aware time, or a list of one of these types.
            context: the same, of the request; `now()` is the moment of the list, NULL if there is none.

        Returns:
            bool (n_items,).

        Raises:
            FilterError: a value of the user or the context has the wrong type for its use in the filter.
            DataError: the table has other columns than the filter was compiled for.
        """
        return self.evaluate(items, self.bind(user, context))

    def evaluate(self, items: pl.DataFrame, values: Mapping[str, Value]) -> npt.NDArray[np.bool_]:
        """Return the mask for the values of `bind`; see `mask`."""
        if items.schema != self.schema:
            raise DataError("the items table has other columns than the filter was compiled for: compile it again")
        return self.evaluate_columns(items, values)

    def evaluate_columns(self, items: pl.DataFrame, values: Mapping[str, Value]) -> npt.NDArray[np.bool_]:
        """Return the mask of a table of which only the columns that the filter reads are needed."""
        predicate = self._predicate
        if any(value is not None for value in values.values()):
            predicate = compile_predicate(self._root, Scope(self.text, self.schema, values))
        column = items.select(predicate.fill_null(value=False).alias("mask")).to_series()
        # A condition without a column has one value for any number of items.
        if len(column) != items.height:
            return np.full(items.height, bool(column[0]))
        return column.to_numpy()


def compile_filter(text: str, schema: Mapping[str, pl.DataType]) -> Filter:
    """Parse a filter and check it against the columns of an items table.

    Args:
        text: a condition in the syntax of docs/filters.md, within the bounds of `recsys.filters.lexer`.
        schema: dtype of each column, as `items.schema`.

    Raises:
        FilterError: the text is not a condition, names an unknown column, or types do not fit; with the position.

    Example:
        >>> items = pl.DataFrame({"price": [3.0, 12.0, None], "tags": [["vegan"], ["vegan"], []]})
        >>> compile_filter("price < 10 AND has(tags, 'vegan')", items.schema).mask(items).tolist()
        [True, False, False]
    """
    root = parse(text)
    predicate = compile_predicate(root, Scope(text, schema, {}))
    names = {(f"{node.op}.{node.value}", node.op, node.value) for node in _walk(root) if node.op in ("user", "context")}
    if any(node.op == "now" for node in _walk(root)):
        names.add((NOW_VALUE, "context", NOW_VALUE))
    depends_on = frozenset(name for name, _, _ in names)
    if samples := sample_segments(depends_on):
        compile_predicate(root, Scope(text, schema, samples))
    columns = frozenset(node.value for node in _walk(root) if node.op == "column")
    return Filter(text, schema, depends_on, columns, root, predicate, tuple(sorted(names)))


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for arg in node.args:
        yield from _walk(arg)
