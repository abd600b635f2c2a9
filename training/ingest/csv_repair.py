"""Damaged lines of CSV text: quotes that are not doubled or not closed, and too many fields."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

MAX_RECORD_LINES: Final = 1000
"""Lines that one quoted text may have."""

SAMPLE_ROWS: Final = 1000
MIN_SHAPE_SHARE: Final = 0.05
MIN_REGULAR_SHARE: Final = 0.9
"""Share of a column's values, in shapes of at least `MIN_SHAPE_SHARE` each, from which the column has a form."""

Fields = list[str]


def well_formed(separator: str, width: int) -> str:
    """Return the pattern of a line that is a whole record of at most `width` fields (RFC 4180)."""
    field = f'(?:"(?:[^"]|"")*"|[^"{re.escape(separator)}]*)'
    return f"{field}(?:{re.escape(separator)}{field}){{0,{width - 1}}}"


def _still_open(separator: str, width: int) -> str:
    """Return the pattern of the beginning of a record that ends inside a quoted text."""
    field = f'(?:"(?:[^"]|"")*"|[^"{re.escape(separator)}]*)'
    return f'(?:{field}{re.escape(separator)}){{0,{width - 1}}}"(?:[^"]|"")*'


@dataclass(frozen=True)
class Record:
    """A record that begins with a damaged line.

    Attributes:
        n_lines: lines of the file that it takes, at least 1.
        rows: its fields; several rows where line ends of another kind separate them, none if they cannot be read.
        reason: why they cannot be read.
    """

    n_lines: int
    rows: tuple[Fields, ...]
    reason: str = ""


class LineReader:
    """Reads damaged lines one by one, with the form that the other rows have.

    Args:
        separator: text between two fields.
        width: fields of the header.
        rows: rows that were read without a doubt.
    """

    def __init__(self, separator: str, width: int, rows: pl.DataFrame) -> None:
        self._separator = separator
        self._width = width
        self._record = re.compile(well_formed(separator, width))
        self._open = re.compile(_still_open(separator, width))
        self._shapes = _regular_shapes(rows)

    def read(self, lines: Sequence[str], at: int) -> Record:
        """Read the record that begins with line `at`, which is not well formed alone.

        A quoted text goes on over further lines if they end it properly and are no rows themselves. Otherwise its
        first line is read alone: only quotes next to a separator delimit a text.
        """
        joined = self._read_joined(lines, at)
        if joined is not None:
            return joined
        pieces = lines[at].split("\r")
        if len(pieces) > 1 and all(self._is_row(self._split(piece)) for piece in pieces if piece.strip()):
            return Record(1, tuple(self._split(piece) for piece in pieces if piece.strip()))
        fields = self._split(lines[at])
        if len(fields) == self._width:
            return Record(1, (fields,))
        return Record(1, (), f"{len(fields)} fields where the header has {self._width}")

    def _read_joined(self, lines: Sequence[str], at: int) -> Record | None:
        n_rows = int(self._is_row(self._split(lines[at])))
        text = lines[at]
        if not self._open.fullmatch(text):
            return None
        for n_lines in range(2, min(MAX_RECORD_LINES, len(lines) - at) + 1):
            line = lines[at + n_lines - 1]
            fields = self._split(line)
            if self._is_row(fields):
                n_rows += 1
                if self._record.fullmatch(line):
                    return None
            text += "\n" + line
            if '"' not in line:
                continue
            if self._record.fullmatch(text):
                whole = None if n_rows == n_lines else self._parse(text)
                return None if whole is None else Record(n_lines, (whole,))
            if not self._open.fullmatch(text):
                return None
        return None

    def _is_row(self, fields: Fields) -> bool:
        """Return whether fields look like a row: as many as the header has, and half of them in their column's form.

        Without columns that have a form there is no sign of it, and a valid record counts as one.
        """
        if len(fields) != self._width or not self._shapes:
            return False
        fit = sum(not fields[at] or _shape(fields[at]) in shapes for at, shapes in self._shapes.items())
        return 2 * fit >= len(self._shapes)

    def _parse(self, text: str) -> Fields | None:
        """Return the fields of a valid record; None if it is none, as with a CR outside of quotes."""
        try:
            return next(csv.reader([text], delimiter=self._separator, strict=True))
        except csv.Error:
            return None

    def _split(self, line: str) -> Fields:
        """Split one line; of several readings, return the first that has as many fields as the header."""
        if line and self._record.fullmatch(line) and (fields := self._parse(line)) is not None:
            return fields
        readings = list(_readings(line, self._separator))
        return next((fields for fields in readings if len(fields) == self._width), readings[-1])


def _readings(line: str, separator: str) -> Iterator[Fields]:
    """Yield the fields of a line: by doubled quotes, by quotes next to separators, and by separators alone."""
    sep = re.escape(separator)
    for quoted in (f'"((?:[^"]|""|"(?!{sep}|$))*)"', '"(.*?)"'):
        field = re.compile(f"(?:{quoted}|([^{sep}]*))({sep}|$)")
        fields, at, end = [], 0, separator
        while end:
            found = field.match(line, at)
            if found is None:
                break
            text, plain, end = found.groups()
            fields.append(plain if text is None else text.replace('""', '"'))
            at = found.end()
        else:
            if not any(field.startswith('"') for field in fields):
                yield fields
    yield [_without_lone_quotes(field) for field in line.split(separator)]


def _without_lone_quotes(field: str) -> str:
    if len(field) > 1 and field[0] == field[-1] == '"':
        return field[1:-1]
    return field.removeprefix('"')


def _regular_shapes(rows: pl.DataFrame) -> dict[int, set[str]]:
    """Return the shapes of the columns that have a form, by position."""
    found: dict[int, set[str]] = {}
    for position, column in enumerate(rows.head(SAMPLE_ROWS).get_columns()):
        counts = Counter(_shape(text) for text in column.drop_nulls())
        enough = max(2.0, MIN_SHAPE_SHARE * counts.total())
        common = {shape: count for shape, count in counts.items() if count >= enough}
        if common and sum(common.values()) >= MIN_REGULAR_SHARE * counts.total():
            found[position] = set(common)
    return found


def _shape(text: str) -> str:
    """Return a text without quotes, with runs of digits as `9` and runs of letters as `a`."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", text.replace('"', "").strip()))
