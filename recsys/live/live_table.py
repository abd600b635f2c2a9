"""The items table with the changes of the live log: rows are built when they are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import or_
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.offers import OfferedColumns
from recsys.data.row_changes import RowDict, to_frame
from recsys.live.catalog_changes import CatalogChanges

Rows = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class LiveTable:
    """A table of a fixed number of rows and columns, whose values follow the changes.

    It has the part of a frame's interface that requests use. `recsys.filters.cache` keeps masks up to date with
    `changed_since`.

    Attributes:
        base: the bundle's table, with all columns that changes have added.
        changes: its changed rows.
        height: number of rows.
        offered: prices and availability in the place of the table's columns of these names; None for these columns.
    """

    base: pl.DataFrame
    changes: CatalogChanges
    height: int
    offered: OfferedColumns | None = None

    @classmethod
    def frame(cls, base: pl.DataFrame, changes: CatalogChanges) -> pl.DataFrame:
        """Build the current table, typed as a frame."""
        return cast(pl.DataFrame, cls(base, changes, changes.n_items))

    def with_offers(self, offered: OfferedColumns) -> pl.DataFrame:
        """Return the table with prices and availability in the place of its own, typed as a frame."""
        return cast(pl.DataFrame, replace(self, offered=offered))

    @cached_property
    def schema(self) -> Mapping[str, pl.DataType]:
        """Columns and their types."""
        return self.base.schema

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.schema)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return self.height, len(self.schema)

    @property
    def position(self) -> int:
        """Number of changes so far."""
        return self.changes.position

    def __len__(self) -> int:
        return self.height

    def __getitem__(self, key: Any) -> Any:
        """Return some rows as a frame, or one column."""
        if isinstance(key, str):
            return self._column(key)
        rows = np.arange(self.height)[key] if isinstance(key, slice) else np.asarray(key)
        return self.take(rows)

    def _column(self, name: str) -> pl.Series:
        rows = self.changed_since(-1)
        source = np.arange(self.height)
        source[rows] = len(self.base) + np.arange(len(rows))
        return self.unchanged.get_column(name).clone().append(self.take(rows, [name]).get_column(name))[source]

    def row(self, index: int, *, named: bool) -> RowDict:
        """Return one row as a mapping, as `DataFrame.row`."""
        assert named
        return self.take(np.array([index])).row(0, named=True)

    def take(self, rows: Rows, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return rows as a frame.

        Args:
            rows: int (n,).
            columns: names; all if not given.
        """
        schema = {name: self.schema[name] for name in (self.schema if columns is None else columns)}
        changed, n_fixed = self.changes.changed, len(self.base)
        is_new = rows >= n_fixed
        at = np.flatnonzero(is_new | np.fromiter((row in changed for row in rows.tolist()), np.bool_, len(rows)))
        fixed = _gathered(self.base, schema, np.where(is_new, 0, rows) if n_fixed else rows[:0])
        if len(at):
            known = [{} if is_new[n] else fixed.row(n, named=True) for n in at.tolist()]
            later = [changed.get(row, {}) for row in rows[at].tolist()]
            values = [{name: row.get(name) for name in schema} for row in map(or_, known, later)]
            fixed = _patched(fixed, at, to_frame(values, schema)) if n_fixed else to_frame(values, schema)
        return self._with_offers(fixed, rows)

    @cached_property
    def unchanged(self) -> pl.DataFrame:
        """The rows of `base` without their changes."""
        return self._with_offers(self.base, np.arange(len(self.base)))

    def changed_since(self, position: int) -> npt.NDArray[np.int64]:
        """Return the rows that changed after a position, int64, ascending."""
        found = []
        for row, changed_at in reversed(self.changes.position_of.items()):
            if changed_at <= position:
                break
            found.append(row)
        rows = np.array(sorted(found), np.int64)
        return rows[rows < self.height]

    def _with_offers(self, frame: pl.DataFrame, rows: Rows) -> pl.DataFrame:
        if self.offered is None:
            return frame
        return frame.with_columns(expr for name, expr in self.offered.columns(rows).items() if name in frame.columns)


def live_table(table: object) -> LiveTable | None:
    """Return the items table of an engine if it follows changes, None for a frame."""
    return table if isinstance(table, LiveTable) else None


# Frames are built column by column: polars hands operations on whole frames to its threads, which takes milliseconds.


def _gathered(frame: pl.DataFrame, names: Iterable[str], rows: Rows) -> pl.DataFrame:
    at = pl.Series(rows, dtype=pl.UInt32)
    return pl.DataFrame([frame.get_column(name)[at] for name in names])


def _patched(frame: pl.DataFrame, at: npt.NDArray[np.int64], rows: pl.DataFrame) -> pl.DataFrame:
    """Replace the rows of a frame at some positions."""
    source = np.arange(len(frame))
    source[at] = len(frame) + np.arange(len(at))
    order = pl.Series(source, dtype=pl.UInt32)
    columns = frame.get_columns()
    return pl.DataFrame([each.clone().append(rows.get_column(each.name))[order] for each in columns])
