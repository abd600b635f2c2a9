"""Files of a shop as raw tables: Parquet, CSV, JSON Lines and spreadsheets, or a folder of part files of one kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import polars as pl

from recsys.core.errors import DataError
from recsys.core.schema import EVENT_ALIASES
from training.exports.feed_xml import read_feed
from training.ingest.csv_reader import FIRST_LINE, CsvHeader, read_csv
from training.ingest.json_reader import read_json, table_of_objects
from training.ingest.raw_table import Origin, RawTable, concat_parts, concat_pieces, first_line, numbered
from training.ingest.spreadsheet_reader import read_spreadsheet
from training.ingest.text_files import text_pieces

KINDS: Final = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".xlsx": "spreadsheet",
    ".xlsm": "spreadsheet",
    ".xls": "spreadsheet",
    ".ods": "spreadsheet",
    ".xml": "feed",
}
PAYLOAD_COLUMNS: Final = frozenset({"event_name", "eventType", "properties", "event_params", "productDetails"})


def read_table(
    path: Path,
    table: str,
    encoding: str = "utf-8",
    header: CsvHeader = FIRST_LINE,
    aliases: Mapping[str, str] = EVENT_ALIASES,
    sheet: str | None = None,
) -> RawTable:
    """Read a file, or every part file of a folder in the order of their names.

    Args:
        path: Parquet (`.parquet`), CSV (`.csv`, `.tsv`, `.txt`; the separator is the most frequent one in the
            header), JSON Lines or a JSON array (`.jsonl`, `.ndjson`, `.json`), a spreadsheet (`.xlsx`, `.xlsm`,
            `.xls`, `.ods`), or a product feed (`.xml`, items only); CSV, JSON and XML also as `.gz`. A short row of a
            CSV file lacks its last fields. In a folder, names that begin with `_` or `.` are skipped.
        table: a key of `recsys.core.schema.TABLES`; payloads are expanded in events only.
        encoding: encoding of CSV and JSON; it is never guessed.
        header: where the column names of CSV files come from.
        aliases: the engine's name of an event by another name.
        sheet: name of the sheet of spreadsheets; None for the first one.

    Returns:
        The rows. A line that cannot be parsed is a broken row.

    Raises:
        ConfigError: the encoding or the sheet is unknown.
        DataError: the file is missing, empty, without rows, truncated or not of its encoding.
    """
    files = _files(path)
    parts = [_read_file(file, table, encoding, header, aliases, sheet) for file in files]
    raw = parts[0] if len(parts) == 1 else concat_parts(parts, str(path))
    if raw.rows.is_empty() and raw.broken.is_empty():
        raise DataError(
            f"{path.name} has no rows{' under its header' if _kind(files[0]) == 'csv' else ''}: export it again"
        )
    return raw


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
        raise DataError(f"the folder {path} has {found} of {', '.join(KINDS)}; put part files of one kind in it")
    return files


def _suffix(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _is_part(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(("_", ".")) and _suffix(path) in KINDS


def _kind(path: Path) -> str:
    kind = KINDS.get(_suffix(path))
    if kind is None:
        raise DataError(f"{path.name} has an unknown suffix; expected one of {', '.join(KINDS)}")
    return kind


def _read_file(
    path: Path, table: str, encoding: str, header: CsvHeader, aliases: Mapping[str, str], sheet: str | None
) -> RawTable:
    kind = _kind(path)
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path.name} is empty; export it again")
        if kind == "parquet":
            return _read_parquet(path, table, aliases)
        if kind == "spreadsheet":
            return read_spreadsheet(path, sheet, header)
        if kind == "feed":
            return read_feed(path, table)
        pieces = text_pieces(path, encoding, is_csv=kind == "csv")
        if kind == "json":
            return read_json(path.name, pieces, table, aliases)
        return concat_pieces(list(read_csv(path.name, pieces, header)), path.name)
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror or error}") from None


def _read_parquet(path: Path, table: str, aliases: Mapping[str, str]) -> RawTable:
    try:
        frame = pl.read_parquet(path, glob=False)
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{path.name} is not a whole Parquet file ({first_line(error)}); export or copy it again"
        ) from None
    if table == "events" and PAYLOAD_COLUMNS & set(frame.columns) and "item_id" not in frame.columns:
        return table_of_objects(frame.iter_rows(named=True), table, aliases=aliases, origin=Origin(path.name))
    return numbered(frame, Origin(path.name))
