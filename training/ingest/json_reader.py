"""JSON text, and objects of any source, as a table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import polars as pl

from recsys.core.errors import DataError
from recsys.core.schema import EVENT_ALIASES
from recsys.data.payloads import parse_payload
from training.ingest.raw_table import BROKEN, RawTable


def read_json(text: bytes, table: str, aliases: Mapping[str, str] = EVENT_ALIASES) -> RawTable:
    """Parse JSON Lines, or one array of objects; a line that cannot be parsed is a broken row.

    Args:
        text: UTF-8 without a byte order mark.
        table: a key of `recsys.core.schema.TABLES`; payloads are expanded in events only.
        aliases: the engine's name of an event by another name.
    """
    if text.lstrip()[:1] == b"[":
        try:
            return table_of_objects(msgspec.json.decode(text, type=list[Any]), table, aliases=aliases)
        except msgspec.DecodeError:
            pass
    decode = msgspec.json.Decoder().decode
    objects: list[tuple[int, Any]] = []
    broken: list[tuple[int, str, str]] = []
    for number, line in enumerate(text.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            objects.append((number, decode(line)))
        except (msgspec.DecodeError, RecursionError):
            broken.append((number, "unparsable JSON", line.decode()))
    numbers = [number for number, _ in objects]
    return table_of_objects((value for _, value in objects), table, numbers, broken, aliases)


def table_of_objects(
    values: Iterable[Any],
    table: str,
    numbers: Sequence[int] | None = None,
    broken: Sequence[tuple[int, str, str]] = (),
    aliases: Mapping[str, str] = EVENT_ALIASES,
) -> RawTable:
    """Make rows of decoded objects; those of events are expanded, and an object of a wrong shape is a broken row.

    Args:
        values: decoded JSON.
        table: a key of `recsys.core.schema.TABLES`.
        numbers: number of each object in its source; None counts from 1.
        broken: `BROKEN` rows of the same source.
        aliases: the engine's name of an event by another name.
    """
    found: list[dict[str, Any]] = []
    rows: list[int] = []
    failed = list(broken)
    for position, value in enumerate(values):
        number = numbers[position] if numbers is not None else position + 1
        try:
            expanded = parse_payload(value, aliases) if table == "events" else [_object(value)]
        except DataError as error:
            failed.append((number, _reason(error), msgspec.json.encode(value, enc_hook=str).decode()))
            continue
        found += expanded
        rows += [number] * len(expanded)
    names = dict.fromkeys(name for row in found for name in row)
    return RawTable(
        pl.DataFrame([_column(name, [row.get(name) for row in found]) for name in names]),
        pl.Series(rows, dtype=pl.UInt32),
        pl.DataFrame(sorted(failed), schema=BROKEN, orient="row"),
    )


def _reason(error: DataError) -> str:
    """Return the message without the position of the value, so that equal faults count together."""
    return re.sub(r"\[\d+\]", "[]", str(error)).replace("; ", ";")


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError("expected an object")
    return value


def _column(name: str, values: list[Any]) -> pl.Series:
    """Make a column of one type: numbers, booleans or lists of texts where all values are, else texts."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {str}:
        return pl.Series(name, values, dtype=pl.String)
    try:
        if kinds <= {int} or kinds <= {bool} or kinds <= {float, int}:
            return pl.Series(name, values, strict=kinds != {float, int})
        if kinds == {list}:
            return pl.Series(name, [_texts(value) for value in values], dtype=pl.List(pl.String))
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        pass
    return pl.Series(name, [_as_text(value) for value in values], dtype=pl.String)


def _texts(values: list[Any] | None) -> list[str | None] | None:
    return None if values is None else [_as_text(value) for value in values]


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return msgspec.json.encode(value, enc_hook=str).decode()
