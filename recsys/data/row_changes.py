"""Changes of items and users, applied to the rows of their tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date
from functools import reduce
from typing import Any, Final

import polars as pl

from recsys.core.frames import to_column
from recsys.core.schema import TIMESTAMP
from recsys.core.timestamps import parse_timestamp, to_micros
from recsys.data.catalog import PATH_SEPARATOR

RowDict = dict[str, Any]
"""Values of a row by column, as Python objects; an absent column is null."""

ATTRIBUTES: Final = "attributes"
"""Key of a change's body for the shop's own columns."""

OFFERS: Final = "offers"
"""Key of an item change's body for the item's offers, which are rows of a table of their own."""

_TEXTS: Final = pl.List(pl.String())
_NUMBERS: Final = (pl.Int64(), pl.Float64())
_INT64_END: Final = 2**63


def apply_patch(row: RowDict | None, entry_type: str, body: Mapping[str, Any]) -> RowDict | None:
    """Return a row after a change.

    Args:
        row: the row before, None where there was none.
        entry_type: `…_put` replaces the row, `…_patch` replaces the columns of the body, `…_delete` removes the row.
        body: columns of the table, and the shop's own columns under `attributes`.

    Returns:
        A new row, None once it is deleted.
    """
    if entry_type.endswith("_delete"):
        return None
    columns = {name: value for name, value in body.items() if name not in (ATTRIBUTES, OFFERS)}
    changes = columns | (body.get(ATTRIBUTES) or {})
    return (dict(row or {}) if entry_type.endswith("_patch") else {}) | changes


def offers_after(entry_type: str, body: Mapping[str, Any]) -> list[RowDict] | None:
    """Return all offers of an item after a change, None if the change keeps them; see `apply_patch`."""
    if entry_type == "item_patch" and OFFERS not in body:
        return None
    offers = None if entry_type == "item_delete" else body.get(OFFERS)
    return list(offers or ())


def to_frame(rows: Iterable[RowDict], columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Build a frame of the given columns and of all others in the rows; a value that does not fit becomes null.

    A column that is not given has the type of `promote_dtype`.
    """
    kept = list(rows)
    names = dict.fromkeys([*columns, *(name for row in kept for name in row)])
    return pl.DataFrame([_column(name, [row.get(name) for row in kept], columns.get(name)) for name in names])


def promote_dtype(dtype: pl.DataType, value: Any) -> pl.DataType:
    """Return the type of a column of the shop's own after one more value.

    The result does not depend on the order of the values: booleans, integers, numbers, text for any mixture of these,
    and lists of text as soon as one value is a list.

    Args:
        dtype: the type before; `pl.Null` for a column without values.
        value: a JSON value.
    """
    if value is None:
        return dtype
    own = _type_of(value)
    if dtype in (pl.Null(), own):
        return own
    if _TEXTS in (dtype, own):
        return _TEXTS
    return pl.Float64() if dtype in _NUMBERS and own in _NUMBERS else pl.String()


def _type_of(value: Any) -> pl.DataType:
    if isinstance(value, list | tuple):
        return _TEXTS
    if isinstance(value, bool):
        return pl.Boolean()
    if isinstance(value, int) and -_INT64_END <= value < _INT64_END:
        return pl.Int64()
    return pl.Float64() if isinstance(value, int | float) else pl.String()


def _column(name: str, values: list[Any], dtype: pl.DataType | None) -> pl.Series:
    if dtype is None:
        no_values: pl.DataType = pl.Null()
        dtype = reduce(promote_dtype, values, no_values)
    if dtype == TIMESTAMP:
        values = [_micros(value) for value in values]
    elif isinstance(dtype, pl.List):
        values = [_levels(value) for value in values]
    return to_column(name, values, dtype)


def _micros(value: Any) -> int | None:
    """Return the microseconds of a time, which is in UTC if it has no offset; None if it cannot be parsed."""
    if not isinstance(value, str | int | float | date):
        return None
    try:
        return to_micros(parse_timestamp(value, UTC))
    except ValueError:
        return None


def _levels(value: Any) -> Any:
    """Return a list, also for a path as text."""
    if isinstance(value, str):
        return [level.strip() for level in value.split(PATH_SEPARATOR.strip())]
    if value is None or isinstance(value, list | tuple):
        return value
    return [str(value)]
