"""Lists that one cell has as text: arrays of JSON, lists of Python and arrays of PostgreSQL."""

from __future__ import annotations

import ast
import csv
import re
import warnings
from typing import Any, Final

import msgspec
import polars as pl

JSON_OR_PYTHON: Final = r"(?s)^\s*\[.*\]\s*$"
POSTGRES: Final = r"(?s)^\s*\{.*\}\s*$"
"""An array of PostgreSQL; a single cell in braces can be a text of the shop, a whole column of them is not."""

OBJECT: Final = r'\{\s*"[^"]*"\s*:'
"""The start of an object of JSON, which is no list."""

UNREADABLE: Final = (msgspec.DecodeError, ValueError, SyntaxError, MemoryError, RecursionError)


def written_lists(texts: pl.Series) -> pl.Series:
    """Read the cells of a column that are lists.

    >>> written_lists(pl.Series(['["a", "b, c"]', "['d']", "e"])).to_list()
    [['a', 'b, c'], ['d'], None]
    >>> written_lists(pl.Series(['{a,"b, c"}', "{}"])).to_list()
    [['a', 'b, c'], []]

    Args:
        texts: String (n_rows,).

    Returns:
        List(String) (n_rows,); null where the cell is empty or no list of texts, numbers, truth values and
        objects, which are JSON.
    """
    cells = texts.drop_nulls().unique()
    listed = cells.filter(cells.str.contains(JSON_OR_PYTHON))
    if listed.is_empty() and not cells.is_empty() and cells.str.contains(POSTGRES).all():
        read = {cell: _postgres(cell.strip()) for cell in cells.to_list()}
    else:
        read = {cell: _json_or_python(cell.strip()) for cell in listed.to_list()}
    found = {cell: parts for cell, parts in read.items() if parts is not None}
    if not found:
        return pl.repeat(None, texts.len(), dtype=pl.List(pl.String), eager=True).alias(texts.name)
    return pl.Series(texts.name, [found.get(cell) for cell in texts.to_list()], dtype=pl.List(pl.String))


def _json_or_python(text: str) -> list[str] | None:
    for read in (msgspec.json.decode, _literal):
        try:
            return _plain(read(text))
        except UNREADABLE:
            continue
    return None


def _literal(text: str) -> Any:
    with warnings.catch_warnings(action="ignore"):  # about backslashes in the shop's texts
        return ast.literal_eval(text)


def _plain(parts: Any) -> list[str] | None:
    if not isinstance(parts, list) or any(isinstance(part, list | tuple | set) for part in parts):
        return None
    return [part if isinstance(part, str) else msgspec.json.encode(part).decode() for part in parts if part is not None]


def _postgres(text: str) -> list[str] | None:
    if re.match(OBJECT, text):
        return None
    try:
        rows = list(csv.reader([text[1:-1]], escapechar="\\", doublequote=False))
    except csv.Error:
        return None
    return [part for row in rows for part in row if part != "NULL"]
