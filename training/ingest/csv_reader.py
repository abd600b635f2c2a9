"""CSV text as a table of texts."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl

from recsys.core.errors import DataError
from training.ingest.csv_repair import Fields, LineReader, well_formed
from training.ingest.raw_table import BROKEN, Origin, RawTable
from training.ingest.text_files import UNDECODABLE, TextPiece

SEPARATORS: Final = (",", "\t", ";", "|")
MAX_BLANK_LINES: Final = 100
"""Lines before the first one that has text."""

MAX_HEADER_LINES: Final = 20
"""Lines of a header whose names contain line ends."""

NAMED_SEPARATOR: Final = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
"""A first line that spreadsheets write and read: it names the separator."""

LOOKS_LIKE_DATA: Final = re.compile(r"[+-]?\d+([.,]\d+)*|\d{4}-\d{2}-\d{2}.*")
"""A number or a time, which is no name of a column."""


@dataclass(frozen=True)
class CsvHeader:
    """Where the column names of CSV files come from.

    Attributes:
        columns: their names, where the files have no header; empty if the first line is one.
        is_trusted: whether the first line is a header even if most of its fields are numbers or times.
    """

    columns: tuple[str, ...] = ()
    is_trusted: bool = False


FIRST_LINE: Final = CsvHeader()


@dataclass(frozen=True)
class CsvForm:
    """The form of a CSV file.

    Attributes:
        separator: text between two fields; the most frequent one in the first line.
        names: column names.
        header_lines: lines before the first row.
    """

    separator: str
    names: tuple[str, ...]
    header_lines: int

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Return the columns, all of them texts."""
        return {name: pl.String() for name in self.names}


def read_csv(name: str, pieces: Iterable[TextPiece], header: CsvHeader = FIRST_LINE) -> Iterator[RawTable]:
    """Parse CSV piece by piece; every line is part of a row or broken, and lines without a value are skipped.

    Rows are numbered by the line that they begin with, from 1 for the line after the header. A short row lacks its
    last fields.

    Args:
        name: name of the file, for error messages.
        pieces: its text.
        header: where the column names come from.

    Raises:
        DataError: two columns have one name, or the first line looks like data or does not fit the given names.
    """
    form: CsvForm | None = None
    for piece in pieces:
        text, line = piece.text, piece.first_line
        if form is None:
            start, end, separator = _first_record(text)
            if start == end:
                continue
            form = _read_form(name, text[start:end].decode().removesuffix("\n"), header, separator)
            text = text[end if form.header_lines else start :]
            line += piece.text.count(b"\n") - text.count(b"\n")
        frame, rows, broken = _parse(text, line - form.header_lines, form)
        broken += [(number - form.header_lines, UNDECODABLE, line) for number, line in piece.undecodable]
        is_filled = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
        if not is_filled.all():
            frame, rows = frame.filter(is_filled), rows.filter(is_filled)
        left_out = pl.DataFrame(sorted(broken), schema=BROKEN, orient="row")
        yield RawTable(frame, rows, left_out, (Origin(name, 0, form.header_lines),), has_types=False)


def _first_record(text: bytes) -> tuple[int, int, str | None]:
    """Return where the first line with text begins and ends, and the separator that a line `sep=;` before it names.

    A line end between quotes belongs to the line, as spreadsheets write it into names of columns.
    """
    start, separator = 0, None
    for _ in range(MAX_BLANK_LINES):
        end = text.find(b"\n", start) + 1
        line = text[start:end].strip()
        named = NAMED_SEPARATOR.fullmatch(line.decode())
        if line and not named:
            break
        separator, start = named[1] if named else separator, end
    first_end = end
    while text.count(b'"', start, end) % 2 and end < len(text) and text.count(b"\n", start, end) < MAX_HEADER_LINES:
        end = text.find(b"\n", end) + 1
    return start, end if text.count(b'"', start, end) % 2 == 0 else first_end, separator


def _read_form(name: str, first: str, header: CsvHeader, separator: str | None) -> CsvForm:
    separator = separator or max(SEPARATORS, key=first.count)
    try:
        fields = [field.strip() for field in next(csv.reader([first], delimiter=separator, strict=True), [])]
    except csv.Error:  # a quote that is not closed
        fields = [field.strip(' "') for field in first.split(separator)]
    return CsvForm(separator, tuple(_column_names(name, fields, header)), 0 if header.columns else 1)


def _column_names(name: str, fields: list[str], header: CsvHeader) -> list[str]:
    """Return the names of the columns, given the first line."""
    names = list(header.columns) or [field or f"column_{position}" for position, field in enumerate(fields, 1)]
    if len(names) != len(fields):
        raise DataError(
            f"{name} has {len(fields)} fields in its first line, and --columns names {len(names)} "
            f"({', '.join(names)}): name each column, in the order of the file"
        )
    repeated = [column for column, count in Counter(names).items() if count > 1]
    if repeated:
        remedy = "name each column once" if header.columns else "rename one of them"
        raise DataError(f"{name} has two columns named {repeated[0]!r}; {remedy}")
    n_data = sum(LOOKS_LIKE_DATA.fullmatch(field) is not None for field in fields)
    if not header.columns and not header.is_trusted and 2 * n_data >= len(fields):
        raise DataError(
            f"{name} has no header: its first line is {', '.join(fields)!r}; name the columns with --no-header "
            f"--columns, such as --columns user_id,item_id,event,timestamp, or add --header if these are names"
        )
    return names


Parsed = tuple[pl.DataFrame, pl.Series, list[tuple[int, str, str]]]


def _parse(text: bytes, first_row: int, form: CsvForm) -> Parsed:
    """Parse lines at once where each is a record of its own, else the damaged ones one by one."""
    n_lines = text.count(b"\n")
    if b'"' not in text or _is_well_formed(lines := _lines(text), form):
        frame = _fast(text, form)
        if frame is not None and frame.height == n_lines:
            return frame, _numbers(first_row, n_lines), []
        lines = _lines(text)
    return _repaired(lines, first_row, form)


def _numbers(first: int, count: int) -> pl.Series:
    return pl.int_range(first, first + count, dtype=pl.UInt32, eager=True)


def _lines(text: bytes) -> pl.Series:
    """Return the lines of a text; the last one ends with a line end like all others."""
    return pl.Series("line", text.decode().split("\n")[:-1], dtype=pl.String)


def _is_well_formed(lines: pl.Series, form: CsvForm) -> bool:
    return bool(_are_well_formed(lines.filter(lines.str.contains('"', literal=True)), form).all())


def _are_well_formed(lines: pl.Series, form: CsvForm) -> pl.Series:
    return lines.str.contains(f"^{well_formed(form.separator, len(form.names))}$")


def _fast(text: bytes, form: CsvForm) -> pl.DataFrame | None:
    """Parse well-formed lines; None if a line has too many fields."""
    first = text[: text.find(b"\n")]
    is_whole = first.count(form.separator.encode()) == len(form.names) - 1 > 0 and b'"' not in first
    if not is_whole:  # a short or blank first row would hide columns
        text = form.separator.join(map(str, range(len(form.names)))).encode() + b"\n" + text
    try:
        return pl.read_csv(
            text,
            has_header=not is_whole,
            separator=form.separator,
            infer_schema=False,
            new_columns=form.names,
        )
    except pl.exceptions.PolarsError:
        return None


def _repaired(lines: pl.Series, first_row: int, form: CsvForm) -> Parsed:
    """Parse the well-formed lines at once, and the others and what belongs to them one by one."""
    is_good = _are_well_formed(lines, form)
    good = _fast_lines(lines.filter(is_good), form)
    taken, repaired, broken = _read_damaged(lines, is_good, LineReader(form.separator, len(form.names), good), form)
    stays = is_good & ~pl.Series(taken)
    rows = _numbers(first_row, lines.len())
    frame = pl.concat([_fast_lines(lines.filter(stays), form), repaired.drop("at")])
    numbers = pl.concat([rows.filter(stays), rows.gather(repaired["at"])])
    order = numbers.arg_sort()
    return frame[order], numbers.gather(order), [(int(rows[at]), reason, line) for at, reason, line in broken]


def _read_damaged(
    lines: pl.Series, is_good: pl.Series, reader: LineReader, form: CsvForm
) -> tuple[list[bool], pl.DataFrame, list[tuple[int, str, str]]]:
    """Read the damaged lines: which lines they take, their rows by the position `at`, and what cannot be read."""
    taken = [False] * lines.len()
    found: list[tuple[int, Fields]] = []
    broken: list[tuple[int, str, str]] = []
    texts = lines.to_list()
    for at in (~is_good).arg_true().to_list():
        if taken[at]:
            continue
        record = reader.read(texts, at)
        taken[at : at + record.n_lines] = [True] * record.n_lines
        found += [(at, fields + [""] * (len(form.names) - len(fields))) for fields in record.rows]
        if not record.rows:
            broken.append((at, record.reason, texts[at]))
    columns = {name: [fields[place] or None for _, fields in found] for place, name in enumerate(form.names)}
    rows = pl.DataFrame(columns, schema=form.schema)
    return taken, rows.insert_column(0, pl.Series("at", [at for at, _ in found], dtype=pl.UInt32)), broken


def _fast_lines(lines: pl.Series, form: CsvForm) -> pl.DataFrame:
    """Parse well-formed lines, each of which is a record."""
    frame = _fast("\n".join([*lines, ""]).encode(), form)
    assert frame is not None
    assert frame.height == lines.len()
    return frame
