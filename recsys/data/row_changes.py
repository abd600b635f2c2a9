"""Changes of items and users, applied to the rows of their tables."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from functools import reduce
from typing import Any, Final

import polars as pl

from recsys.core.frames import to_column
from recsys.core.schema import TIMESTAMP
from recsys.core.timestamps import MICROSECONDS, parse_timestamp, to_micros
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
_EXACT: Final = 2**53


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


def change_time(body: Mapping[str, Any], received_at: float) -> float:
    """Return when a change was made, seconds since 1970: its `updated_at`, else when it was received."""
    micros = _micros(body.get("updated_at"))
    return received_at if micros is None else micros / MICROSECONDS


def offers_after(entry_type: str, body: Mapping[str, Any]) -> list[RowDict] | None:
    """Return all offers of an item after a change, None if the change keeps them; see `apply_patch`."""
    if entry_type == "item_patch" and OFFERS not in body:
        return None
    offers = None if entry_type == "item_delete" else body.get(OFFERS)
    return list(offers or ())


def to_frame(rows: Iterable[RowDict], columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Build a frame of the given columns and of all others in the rows.

    A value is converted to the type of its column as `fitted`; one that does not fit becomes null. A column that is not
    given has the type of `promote_dtype`.
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


def fitted(value: Any, dtype: pl.DataType) -> Any:
    """Return a JSON value as a value of a column of the shop's own, converted where nothing is lost.

    Texts of numbers, of `true` and `false` and of times become such values, and a single value becomes a text or a list
    of one text; the other way round nothing is rounded or cut.

    >>> fitted("5", pl.Float64()), fitted(5, pl.String()), fitted("true", pl.Boolean())
    (5.0, '5', True)
    >>> fitted("many", pl.Float64())
    Traceback (most recent call last):
    ValueError: expected a number

    Args:
        value: the value; None stays None.
        dtype: the column's type.

    Raises:
        ValueError: naming what was expected.
    """
    if value is None or dtype == pl.Null():
        return value
    if isinstance(dtype, pl.List):
        return [_fitted_text(entry) for entry in value] if isinstance(value, list | tuple) else [_fitted_text(value)]
    if isinstance(value, list | tuple):
        raise ValueError("expected a single value")
    if dtype == pl.String():
        return _fitted_text(value)
    if dtype == pl.Boolean():
        return _fitted_boolean(value)
    if dtype.is_numeric():
        return _fitted_number(value, dtype)
    if isinstance(dtype, pl.Datetime | pl.Date):
        moment = _fitted_moment(value)
        return moment.date() if dtype == pl.Date() else moment
    raise ValueError(f"expected a value of type {dtype}")


def _fitted_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _EXACT else str(value)
    if not isinstance(value, str | int):
        raise ValueError("expected a text")
    return str(value)


def _fitted_boolean(value: Any) -> bool:
    word = value.strip().lower() if isinstance(value, str) else value
    if word is True or word == "true":
        return True
    if word is False or word == "false":
        return False
    raise ValueError("expected true or false")


def _fitted_number(value: Any, dtype: pl.DataType) -> float:
    text = value.strip() if isinstance(value, str) else ""
    if text and re.fullmatch(r"-?\d{1,15}(\.\d{1,15})?", text):
        value = float(text)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("expected a number")
    if not dtype.is_integer():
        return float(value)
    try:
        return int(pl.Series([int(value)] if value == int(value) else [value], dtype=dtype)[0])
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        raise ValueError(f"expected a whole number that fits {dtype}") from None


def _fitted_moment(value: Any) -> datetime:
    if isinstance(value, str | date):
        try:
            return parse_timestamp(value, UTC)
        except ValueError:
            pass
    raise ValueError("expected a time such as 2024-05-01 or 2024-05-01T08:00:00+08:00")


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
    else:
        values = [_fitted_or_none(value, dtype) for value in values]
    return to_column(name, values, dtype)


def _fitted_or_none(value: Any, dtype: pl.DataType) -> Any:
    try:
        return fitted(value, dtype)
    except ValueError:
        return None


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
