"""XML product feeds, RSS or Atom, as a table of texts."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Final
from xml.parsers import expat

import polars as pl

from recsys.core.errors import DataError
from training.ingest.raw_table import Origin, RawTable, numbered

ENTRIES: Final = ("item", "entry")
"""Elements of one product: RSS's and Atom's."""

REPEATED: Final = "product_type"
"""The field that may have several values."""


def read_feed(path: Path, table: str = "items") -> RawTable:
    """Read a feed; rows are numbered by the product, from 1.

    A `product_type` that is repeated has one line per value; of any other field the first value counts.

    Raises:
        DataError: it is not well-formed XML, has a document type, or has no product; the table is not that of items.
    """
    if table != "items":
        raise DataError(f"{path.name} is XML, which is read for items only: export {table} as CSV, JSON or Parquet")
    reader = FeedReader(path.name)
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        rows = reader.read(stream.read())
    if not rows:
        raise DataError(f"{path.name} has no product: expected <item> (RSS) or <entry> (Atom) elements")
    names = dict.fromkeys(name for row in rows for name in row)
    raw = numbered(pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String())), Origin(path.name))
    return RawTable(raw.frame, raw.rows, raw.broken, raw.origins, has_types=False)


class FeedReader:
    """Collects the products of a feed; it reads no document type, so no entity of a file can grow.

    Args:
        name: of the file, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._rows: list[dict[str, str]] = []
        self._depth = 0
        self._field, self._text, self._link = "", "", ""

    def read(self, content: bytes) -> list[dict[str, str]]:
        """Return the fields of each product, names without prefix and in lower case.

        Raises:
            DataError: it is not well-formed XML, or has a document type.
        """
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._add
        try:
            parser.Parse(content, True)
        except expat.ExpatError as error:
            raise DataError(f"{self._name} is not well-formed XML ({error}): export it again") from None
        return self._rows

    def _refuse(self, *_declaration: object) -> None:
        raise DataError(f"{self._name} has a document type (<!DOCTYPE …>), which feeds do not need: leave it out")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._depth:
            self._depth += 1
            if self._depth == 2:
                self._field, self._text, self._link = _local(tag), "", attributes.get("href", "")
        elif _local(tag) in ENTRIES:
            self._depth = 1
            self._rows.append({})

    def _add(self, text: str) -> None:
        if self._depth == 2:
            self._text += text

    def _end(self, _tag: str) -> None:
        if self._depth == 2:
            row, text = self._rows[-1], self._text.strip() or self._link
            if text and self._field not in row:
                row[self._field] = text
            elif text and self._field == REPEATED:
                row[self._field] += f"\n{text}"
        self._depth = max(0, self._depth - 1)


def _local(tag: str) -> str:
    return tag.rpartition(":")[2].lower()
