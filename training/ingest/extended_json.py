"""Values wrapped in their type, as MongoDB exports them (Extended JSON v1 and v2), unwrapped."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import msgspec
import polars as pl

from recsys.core.timestamps import from_micros

MILLISECOND: Final = 1000
"""Microseconds in it."""

OBJECT_ID: Final = r'^ObjectId\(["\']?([0-9a-fA-F]{24})["\']?\)$'
"""Ids as the CSV of `mongoexport` has them."""

WRAPPED_CELL: Final = r'^\{\s*"\$'
"""The first characters of JSON text that is a wrapped value."""


def unwrap(value: Any) -> Any:
    """Replace every wrapped value in decoded JSON, at any depth, by what it contains.

    >>> unwrap({"_id": {"$oid": "65a0c1d2"}, "at": {"$date": {"$numberLong": "1700000000000"}}})
    {'_id': '65a0c1d2', 'at': '2023-11-14T22:13:20+00:00'}
    """
    if isinstance(value, list):
        return [unwrap(part) for part in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((name, inner),) = value.items()
        if name in WRAPPERS:
            try:
                return WRAPPERS[name](unwrap(inner))
            except (ValueError, TypeError, OverflowError, KeyError, binascii.Error):
                return inner
    return {name: unwrap(inner) for name, inner in value.items()}


def unwrap_column(column: pl.Series) -> pl.Series:
    """Unwrap the cells of a column of texts or of structs with one field; other columns stay as they are.

    Bytes are texts if all of them are UTF-8: some writers of Parquet do not mark texts as such.
    """
    if column.dtype == pl.Binary:
        column = _decoded(column)
    if isinstance(column.dtype, pl.Struct):
        is_wrapped = len(column.dtype.fields) == 1 and column.dtype.fields[0].name in WRAPPERS
        return (
            pl.Series(column.name, [unwrap(value) for value in column.to_list()], strict=False)
            if is_wrapped
            else column
        )
    if column.dtype != pl.String:
        return column
    if column.str.starts_with("ObjectId(").any():
        column = column.str.replace(OBJECT_ID, "$1")
    wrapped = column.str.starts_with("{")
    if not wrapped.any() or not (wrapped := column.str.contains(WRAPPED_CELL)).any():
        return column
    cells = [
        _unwrapped_text(text) if wraps else text
        for text, wraps in zip(column.to_list(), wrapped.to_list(), strict=True)
    ]
    return pl.Series(column.name, cells, dtype=pl.String)


def _decoded(column: pl.Series) -> pl.Series:
    try:
        texts = [None if cell is None else cell.decode() for cell in column.to_list()]
    except UnicodeDecodeError:
        return column
    return pl.Series(column.name, texts, dtype=pl.String)


def has_wrapped(text: bytes) -> bool:
    """Return whether a text of JSON may contain wrapped values."""
    return b'"$' in text


def _unwrapped_text(text: str) -> str:
    try:
        value = unwrap(msgspec.json.decode(text))
    except msgspec.DecodeError:
        return text
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _date(value: Any) -> Any:
    """Return a time as text: Extended JSON counts milliseconds, also those of dates before 1973."""
    return value if isinstance(value, str) and not re.fullmatch(r"-?\d+", value) else _iso(int(value) * MILLISECOND)


def _iso(micros: int) -> str:
    return from_micros(micros).isoformat()


def _binary(value: Any) -> str:
    """Return a UUID in its usual form, other bytes as the text they are exported as."""
    encoded, subtype = (value["base64"], value["subType"]) if isinstance(value, dict) else (value, "")
    return str(UUID(bytes=base64.b64decode(encoded))) if subtype in ("03", "04", "3", "4") else str(encoded)


WRAPPERS: Final[dict[str, Callable[[Any], Any]]] = {
    "$oid": str,
    "$date": _date,
    "$numberLong": int,
    "$numberInt": int,
    "$numberDouble": float,
    "$numberDecimal": float,
    "$symbol": str,
    "$uuid": str,
    "$binary": _binary,
    "$timestamp": lambda value: _iso(int(value["t"]) * MILLISECOND * 1000),
}
"""What each wrapper contains."""
