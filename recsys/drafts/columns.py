"""The columns of a catalog with their frequent values: what a writer of filters can choose from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

MAX_VALUES: Final = 50
MAX_VALUE_CHARS: Final = 200


@dataclass(frozen=True)
class ColumnValue:
    """A value of a column.

    Attributes:
        value: a text, or true or false.
        n_items: number of items that have it.
    """

    value: str | bool
    n_items: int


@dataclass(frozen=True)
class CatalogColumn:
    """A column that filters can read.

    Attributes:
        name: as filters write it.
        type: `text`, `number`, `boolean`, `time` or `texts` for a list of texts; `other` for what filters cannot read.
        n_known: number of items that have a value.
        n_distinct: number of distinct values.
        low: the smallest number, or the earliest time in RFC 3339; null for other types.
        high: the largest, likewise.
        values: the most frequent texts and booleans, the most frequent first.
    """

    name: str
    type: str
    n_known: int
    n_distinct: int
    low: float | str | None
    high: float | str | None
    values: tuple[ColumnValue, ...]


def catalog_columns(items: pl.DataFrame, n_values: int = MAX_VALUES) -> list[CatalogColumn]:
    """Describe the columns of a catalog.

    Args:
        items: one row per item, with `schema` and columns by name.
        n_values: number of values per column.

    >>> items = pl.DataFrame({"brand": ["a", "b", "b"], "price": [1.0, None, 3.0]})
    >>> [(each.name, each.n_known, [value.value for value in each.values]) for each in catalog_columns(items)]
    [('brand', 3, ['b', 'a']), ('price', 2, [])]
    """
    return [catalog_column(items[name], n_values) for name in items.schema]


def catalog_column(column: pl.Series, n_values: int = MAX_VALUES) -> CatalogColumn:
    """Describe one column; see `catalog_columns`."""
    kind = _kind(column.dtype)
    known = (column.explode() if kind == "texts" else column).drop_nulls()
    n_known = len(column) - column.null_count()
    low = high = None
    if kind in ("number", "time") and len(known):
        low, high = _bound(known.min()), _bound(known.max())
    values = _frequent(known, n_values) if kind in ("text", "texts", "boolean") else ()
    return CatalogColumn(column.name, kind, n_known, known.n_unique() if kind != "other" else 0, low, high, values)


def _frequent(known: pl.Series, n_values: int) -> tuple[ColumnValue, ...]:
    counts = known.rename("value").value_counts().sort(["count", "value"], descending=[True, False]).head(n_values)
    rows = zip(counts["value"].to_list(), counts["count"].to_list(), strict=True)
    return tuple(
        ColumnValue(value[:MAX_VALUE_CHARS] if isinstance(value, str) else value, count) for value, count in rows
    )


def _kind(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.List) and dtype.inner == pl.String():
        return "texts"
    if dtype == pl.Boolean():
        return "boolean"
    if dtype.is_numeric():
        return "number"
    if dtype.is_temporal():
        return "time"
    return "text" if dtype in (pl.String(), pl.Categorical()) else "other"


def _bound(value: object) -> float | str:
    return float(value) if isinstance(value, int | float) else str(value.isoformat())  # type: ignore[attr-defined]
