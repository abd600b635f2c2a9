"""What a change of an item or a user makes of its row of the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import reduce
from typing import Any, Final

import polars as pl

from recsys.core.schema import TIMESTAMP
from recsys.data.catalog import PATH_SEPARATOR

RowDict = dict[str, Any]
"""Values of a row by column, as Python has them; a column that is absent is null."""

ATTRIBUTES: Final = "attributes"
"""Where the body of a change keeps the columns that are the shop's own."""

OFFERS: Final = "offers"
"""Where the body of a change of an item keeps its offers, which are rows of a table of their own."""

UNFIT: Final = (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError)
"""What polars raises for values that are of no column's type."""

_TEXTS: Final = pl.List(pl.String())
_NUMBERS: Final = (pl.Int64(), pl.Float64())
_INT64_END: Final = 2**63


def apply_patch(row: RowDict | None, kind: str, body: Mapping[str, Any]) -> RowDict | None:
    """A row after a change.

    Args:
        row: as it was, None where there was none.
        kind: `…_put` replaces the row, `…_patch` what the body names, `…_delete` removes it.
        body: columns of the table, and the shop's own under `attributes`.

    Returns:
        A new row, None once it is deleted.
    """
    if kind.endswith("_delete"):
        return None
    own = {name: value for name, value in body.items() if name not in (ATTRIBUTES, OFFERS)}
    given = own | (body.get(ATTRIBUTES) or {})
    return (dict(row or {}) if kind.endswith("_patch") else {}) | given


def offers_after(kind: str, body: Mapping[str, Any]) -> list[RowDict] | None:
    """All offers of an item after a change, None where it leaves them as they are; see `apply_patch`."""
    if kind == "item_patch" and OFFERS not in body:
        return None
    given = None if kind == "item_delete" else body.get(OFFERS)
    return list(given or ())


def to_frame(rows: Iterable[RowDict], columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Rows as a frame of the given columns, and of any others that they name; what fits no column is null."""
    kept = list(rows)
    names = dict.fromkeys([*columns, *(name for row in kept for name in row)])
    return pl.DataFrame([_series(name, [row.get(name) for row in kept], columns.get(name)) for name in names])


def promote_dtype(dtype: pl.DataType, value: Any) -> pl.DataType:
    """The type of a column of the shop's own that is to hold one value more.

    It is the same in whatever order, and in whatever parts, values come: booleans, whole numbers, numbers, texts for
    any mixture of these, lists of texts as soon as there is a list.

    Args:
        dtype: as it was; `pl.Null` of a column without values.
        value: as JSON has it.
    """
    if value is None:
        return dtype
    mine = _type_of(value)
    if dtype in (pl.Null(), mine):
        return mine
    if _TEXTS in (dtype, mine):
        return _TEXTS
    return pl.Float64() if dtype in _NUMBERS and mine in _NUMBERS else pl.String()


def _type_of(value: Any) -> pl.DataType:
    if isinstance(value, list | tuple):
        return _TEXTS
    if isinstance(value, bool):
        return pl.Boolean()
    if isinstance(value, int) and -_INT64_END <= value < _INT64_END:
        return pl.Int64()
    return pl.Float64() if isinstance(value, int | float) else pl.String()


def _series(name: str, values: list[Any], dtype: pl.DataType | None) -> pl.Series:
    if dtype is None:
        nothing: pl.DataType = pl.Null()
        dtype = reduce(promote_dtype, values, nothing)
    if dtype == TIMESTAMP:
        return pl.Series(name, [_moment(value) for value in values], dtype)
    if isinstance(dtype, pl.List):
        values = [_levels(value) for value in values]
    try:
        return pl.Series(name, values, dtype, strict=False)
    except UNFIT:
        return pl.Series(name, [_fitting(value, dtype) for value in values], dtype, strict=False)


def _fitting(value: Any, dtype: pl.DataType) -> Any:
    try:
        return pl.Series([value], dtype=dtype, strict=False).item()
    except UNFIT:
        return None


def _moment(value: Any) -> datetime | None:
    """A time from RFC 3339 or seconds since 1970; a time without a zone is UTC."""
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
    except (ValueError, OverflowError, OSError):
        return None
    if not isinstance(value, datetime):
        return None
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def _levels(value: Any) -> Any:
    """A list, from one or from the text that stands for it."""
    if isinstance(value, str):
        return [level.strip() for level in value.split(PATH_SEPARATOR.strip())]
    if value is None or isinstance(value, list | tuple):
        return value
    return [str(value)]
