"""JSON text, and objects of any source, as a table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import polars as pl

from recsys.core.errors import DataError
from recsys.core.schema import EVENT_ALIASES
from recsys.data.payloads import parse_payload
from training.ingest.extended_json import has_wrapped, unwrap
from training.ingest.raw_table import BROKEN, UNNAMED, Origin, RawTable, concat_pieces
from training.ingest.text_files import UNDECODABLE, TextPiece


def read_json(
    name: str, pieces: Iterable[TextPiece], table: str, aliases: Mapping[str, str] = EVENT_ALIASES
) -> RawTable:
    """Parse JSON Lines, or one array of objects; a line that cannot be parsed is a broken row.

    Args:
        name: name of the file.
        pieces: its text.
        table: a key of `recsys.core.schema.TABLES`; payloads are expanded in events only.
        aliases: the engine's name of an event by another name.
    """
    parts = []
    remaining = iter(pieces)
    for piece in remaining:
        if piece.first_line == 1 and piece.text.lstrip()[:1] == b"[":
            piece = _whole([piece, *remaining])
            try:
                return table_of_objects(_decode_array(piece.text), table, aliases=aliases, origin=Origin(name, 0, 0))
            except msgspec.DecodeError:
                pass
        parts.append(_read_lines(Origin(name, 0, 0), piece, table, aliases))
    return concat_pieces(_of_one_type(parts), name)


def _of_one_type(parts: list[RawTable]) -> list[RawTable]:
    """Make texts of the columns that have different types in the pieces of a file, as `_column` does in one piece."""
    dtypes: dict[str, set[pl.DataType]] = {}
    for part in parts:
        for column, dtype in part.frame.schema.items():
            dtypes.setdefault(column, set()).update({dtype} - {pl.Null()})
    mixed = [
        column for column, found in dtypes.items() if len(found) > 1 and not all(dtype.is_numeric() for dtype in found)
    ]
    return [
        replace(part, frame=part.frame.with_columns(_texts_of(part.frame[column]) for column in names))
        if (names := [column for column in mixed if column in part.frame.columns])
        else part
        for part in parts
    ]


def _texts_of(column: pl.Series) -> pl.Series:
    return pl.Series(column.name, [_as_text(value) for value in column.to_list()], dtype=pl.String)


def _whole(pieces: Sequence[TextPiece]) -> TextPiece:
    """Join all pieces of a file: an array has no ends of rows that a piece could end with."""
    undecodable = tuple(line for piece in pieces for line in piece.undecodable)
    return TextPiece(b"".join(piece.text for piece in pieces), 1, undecodable)


def _decode_array(text: bytes) -> list[Any]:
    values = msgspec.json.decode(text, type=list[Any])
    return unwrap(values) if has_wrapped(text) else values


def _read_lines(origin: Origin, piece: TextPiece, table: str, aliases: Mapping[str, str]) -> RawTable:
    decode = msgspec.json.Decoder().decode
    is_wrapped = has_wrapped(piece.text)
    objects: list[tuple[int, Any]] = []
    broken = [(number, UNDECODABLE, line) for number, line in piece.undecodable]
    for number, line in enumerate(piece.text.split(b"\n"), piece.first_line):
        if not line.strip():
            continue
        try:
            value = decode(line)
            objects.append((number, unwrap(value) if is_wrapped else value))
        except (msgspec.DecodeError, RecursionError):
            broken.append((number, "unparsable JSON", line.decode()))
    numbers = [number for number, _ in objects]
    return table_of_objects((value for _, value in objects), table, numbers, broken, aliases, origin)


def table_of_objects(
    values: Iterable[Any],
    table: str,
    numbers: Sequence[int] | None = None,
    broken: Sequence[tuple[int, str, str]] = (),
    aliases: Mapping[str, str] = EVENT_ALIASES,
    origin: Origin = UNNAMED,
) -> RawTable:
    """Make rows of decoded objects; those of events are expanded, and an object of a wrong shape is a broken row.

    Args:
        values: decoded JSON.
        table: a key of `recsys.core.schema.TABLES`.
        numbers: number of each object in its source; None counts from 1.
        broken: `BROKEN` rows of the same source.
        aliases: the engine's name of an event by another name.
        origin: the source.
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
    columns = dict.fromkeys(column for row in found for column in row)
    return RawTable(
        pl.DataFrame([_column(column, [row.get(column) for row in found]) for column in columns]),
        pl.Series(rows, dtype=pl.UInt32),
        pl.DataFrame(sorted(failed), schema=BROKEN, orient="row"),
        (origin,),
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
