"""Files of a shop, read as they are: Parquet, CSV and JSON Lines, or a folder of part files of one kind."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl

from recsys.core.errors import ConfigError, DataError
from recsys.data.payloads import ItemlessRow, parse_payload

KINDS: Final = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
}
SEPARATORS: Final = (",", "\t", ";", "|")
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
BROKEN: Final[dict[str, pl.DataType]] = {"row": pl.UInt32(), "reason": pl.String(), "original": pl.String()}
PAYLOAD_COLUMNS: Final = frozenset({"event_name", "eventType", "properties", "event_params", "productDetails"})


@dataclass(frozen=True)
class RawTable:
    """Rows as the shop wrote them.

    Attributes:
        frame: the columns under the shop's own names; those of a CSV are all text.
        rows: UInt32; each row's number in its source, from 1. A header is not counted, part files follow one
            another, and rows unfolded from one payload share its number.
        broken: `BROKEN` columns of the rows that could not be read at all.
        itemless: UInt32; the numbers of the payloads' events that are not about an item and were passed over.
    """

    frame: pl.DataFrame
    rows: pl.Series
    broken: pl.DataFrame
    itemless: pl.Series = field(default_factory=lambda: pl.Series(dtype=pl.UInt32))


def read_table(path: Path, table: str, encoding: str = "utf-8") -> RawTable:
    """Read a file, or every part file of a folder in the order of their names.

    Args:
        path: Parquet (`.parquet`), CSV (`.csv`, `.tsv`, `.txt`; the separator is the one most frequent in the
            header), JSON Lines or a JSON array (`.jsonl`, `.ndjson`, `.json`); CSV and JSON also as `.gz`. A
            short row of a CSV lacks its last fields. In a folder, names that begin with `_` or `.` are passed
            over.
        table: a key of `recsys.core.schema.TABLES`; payloads unfold in events only.
        encoding: of CSV and JSON; it is never guessed.

    Returns:
        The rows. A line of JSON that cannot be parsed is a broken row.

    Raises:
        ConfigError: no such encoding.
        DataError: the file is missing, empty, without rows, truncated, not of its encoding or ragged.
    """
    files = _files(path)
    parts = [_read_file(file, table, encoding) for file in files]
    raw = parts[0] if len(parts) == 1 else _joined(parts, path)
    if raw.rows.is_empty() and raw.broken.is_empty():
        raise DataError(_without_rows(path, _kind(files[0]), raw.itemless.len()))
    return raw


def _without_rows(path: Path, kind: str, itemless: int) -> str:
    if itemless:
        return f"{path.name} has no event about an item ({itemless:,} of other kinds): export views and purchases too"
    return f"{path.name} has no rows{' under its header' if kind == 'csv' else ''}: export it again"


def _joined(parts: Sequence[RawTable], path: Path) -> RawTable:
    """The rows of part files as one table."""
    try:
        frame = pl.concat([part.frame for part in parts], how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        raise DataError(f"the part files of {path} disagree on their columns' types: {_first_line(error)}") from None
    return _numbered_parts(parts, frame)


def _numbered_parts(parts: Sequence[RawTable], frame: pl.DataFrame) -> RawTable:
    """Number the rows of part files on from one to the next."""
    rows, broken, itemless, offset = [], [], [], 0
    for part in parts:
        rows.append((part.rows + offset).cast(pl.UInt32))
        broken.append(part.broken.with_columns((pl.col("row") + offset).cast(pl.UInt32)))
        itemless.append((part.itemless + offset).cast(pl.UInt32))
        offset = max([offset, *rows[-1].tail(1), *broken[-1]["row"].tail(1), *itemless[-1].tail(1)])
    return RawTable(frame, pl.concat(rows), pl.concat(broken), pl.concat(itemless))


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise DataError(f"{path} does not exist; check the path")
    if not path.is_dir():
        _kind(path)
        return [path]
    files = sorted(file for file in path.iterdir() if _is_part(file))
    kinds = {_kind(file) for file in files}
    if len(kinds) != 1:
        found = "files of several kinds" if kinds else "no file"
        raise DataError(f"the folder {path} holds {found} of {', '.join(KINDS)}; put part files of one kind in it")
    return files


def _suffix(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _is_part(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(("_", ".")) and _suffix(path) in KINDS


def _kind(path: Path) -> str:
    kind = KINDS.get(_suffix(path))
    if kind is None:
        raise DataError(f"{path.name} is of no known kind; name it by what it is, one of {', '.join(KINDS)}")
    return kind


def _read_file(path: Path, table: str, encoding: str) -> RawTable:
    kind = _kind(path)
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path.name} is empty; export it again")
        if kind == "parquet":
            return _read_parquet(path, table)
        text = _text(path, encoding)
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror or error}") from None
    return _read_csv(path, text) if kind == "csv" else _read_json(text, table)


def _plain(frame: pl.DataFrame) -> RawTable:
    return RawTable(frame, pl.int_range(1, frame.height + 1, dtype=pl.UInt32, eager=True), pl.DataFrame(schema=BROKEN))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _read_parquet(path: Path, table: str) -> RawTable:
    try:
        frame = pl.read_parquet(path, glob=False)
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{path.name} is not a whole Parquet file ({_first_line(error)}); export or copy it again"
        ) from None
    if table == "events" and PAYLOAD_COLUMNS & set(frame.columns) and "item_id" not in frame.columns:
        return _table_of_objects(frame.iter_rows(named=True), table)
    return _plain(frame)


def _text(path: Path, encoding: str) -> bytes:
    """The file's text as UTF-8 without a byte order mark."""
    data = path.read_bytes()
    if path.name.lower().endswith(".gz"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path.name} is not a whole gzip file ({error}); copy it again") from None
    try:
        text = data.decode(encoding)
    except LookupError:
        raise ConfigError(f"the encoding {encoding!r} is unknown; write it such as utf-8 or gb18030") from None
    except UnicodeError as error:
        raise DataError(_wrong_encoding(path, encoding, error)) from None
    if "\0" in text:
        raise DataError(f"{path.name} holds NUL characters, so it is no {encoding} text; pass its own --encoding")
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise DataError(f"{path.name} is empty; export it again")
    return text.encode("utf-8", "replace")


def _wrong_encoding(path: Path, encoding: str, error: UnicodeError) -> str:
    at = f" at byte {error.start}" if isinstance(error, UnicodeDecodeError) else ""
    name = "UTF-8" if encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig") else encoding
    remedy = "pass --encoding gb18030 if the file is Chinese" if name == "UTF-8" else "pass the file's own --encoding"
    return f"{path.name} is not valid {name}{at}; {remedy}"


def _read_csv(path: Path, text: bytes) -> RawTable:
    header = text.split(b"\n", 1)[0].decode().rstrip("\r")
    separator = max(SEPARATORS, key=header.count)
    names = [name.strip() for name in next(csv.reader([header], delimiter=separator), [])]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{path.name} has two columns named {twice[0]!r}; rename one of them")
    try:
        frame = pl.read_csv(text, separator=separator, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise DataError(_ragged(path, text, separator, len(names), error)) from None
    if len(names) == frame.width:
        frame.columns = names
    table = _plain(frame)
    filled = pl.any_horizontal(pl.all().is_not_null())
    written = frame.select(filled).to_series()
    return table if written.all() else RawTable(frame.filter(written), table.rows.filter(written), table.broken)


def _ragged(path: Path, text: bytes, separator: str, width: int, error: Exception) -> str:
    """Name the first row with too many fields."""
    try:
        for row in (reader := csv.reader(io.StringIO(text.decode()), delimiter=separator, strict=True)):
            if len(row) > width:
                return (
                    f"{path.name} is ragged: line {reader.line_num} has {len(row)} fields where the header "
                    f"has {width}; quote the texts that hold {separator!r}"
                )
    except csv.Error as broken:
        return f"{path.name} is not a whole CSV file ({broken}); export it again"
    return f"{path.name} is not a CSV file ({_first_line(error)}); export it again"


def _read_json(text: bytes, table: str) -> RawTable:
    """JSON Lines, or one array of objects."""
    if text.lstrip()[:1] == b"[":
        try:
            return _table_of_objects(msgspec.json.decode(text, type=list[Any]), table)
        except msgspec.DecodeError:
            pass
    decode = msgspec.json.Decoder().decode
    lines = [line for line in enumerate(text.split(b"\n"), 1) if line[1].strip()]
    objects: list[tuple[int, Any]] = []
    broken: list[tuple[int, str, str]] = []
    for number, line in lines:
        try:
            objects.append((number, decode(line)))
        except (msgspec.DecodeError, RecursionError):
            broken.append((number, "unparsable JSON", line.decode()))
    return _table_of_objects((value for _, value in objects), table, [number for number, _ in objects], broken)


def _table_of_objects(
    values: Iterable[Any],
    table: str,
    numbers: Sequence[int] | None = None,
    broken: Sequence[tuple[int, str, str]] = (),
) -> RawTable:
    """Rows out of decoded objects, those of events unfolded; an object of a wrong shape is a broken row."""
    found: list[dict[str, Any]] = []
    rows: list[int] = []
    itemless: list[int] = []
    bad = list(broken)
    for place, value in enumerate(values):
        number = numbers[place] if numbers is not None else place + 1
        try:
            unfolded = parse_payload(value) if table == "events" else [_object(value)]
        except DataError as error:
            bad.append((number, _reason(error), msgspec.json.encode(value, enc_hook=str).decode()))
            continue
        kept = [row for row in unfolded if not isinstance(row, ItemlessRow)]
        found += kept
        rows += [number] * len(kept)
        itemless += [number] * (len(unfolded) - len(kept))
    names = dict.fromkeys(name for row in found for name in row)
    frame = pl.DataFrame([_column(name, [row.get(name) for row in found]) for name in names])
    return RawTable(
        frame,
        pl.Series(rows, dtype=pl.UInt32),
        pl.DataFrame(sorted(bad), schema=BROKEN, orient="row"),
        pl.Series(itemless, dtype=pl.UInt32),
    )


def _reason(error: DataError) -> str:
    """The message without the value found and its place, so that like rows count together."""
    return re.sub(r"\[\d+\]", "[]", str(error)).partition(", got ")[0]


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError("expected an object")
    return value


def _column(name: str, values: list[Any]) -> pl.Series:
    """A column of one type: numbers, truths or lists of texts where all are, else texts."""
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
