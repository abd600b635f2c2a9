"""Changes of items since the bundle was trained, as rows of the items table, each of which can be undone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from recsys.core.ids import UNKNOWN, IdMap
from recsys.data.row_changes import RowDict, apply_patch, offers_after, promote_dtype


@dataclass(frozen=True)
class ItemChange:
    """One change that was applied, and what it replaced.

    Attributes:
        seq: number of its entry in the log.
        item_id: the item.
        entry_type: `item_put`, `item_patch` or `item_delete`.
        body: of the entry.
        row: of the item.
        is_new: whether the item had no row before.
        columns: the columns whose values changed.
        before: the earlier values of changed columns, None for an item as in the bundle.
        was_deleted: whether the item was deleted before.
        offers: all offers of the item from now on, None if the change keeps them.
        own_before: types of the shop's own columns before.
        at: when it was made, seconds since 1970.
    """

    seq: int
    item_id: str
    entry_type: str
    body: Mapping[str, Any]
    row: int
    is_new: bool
    columns: frozenset[str]
    before: RowDict | None
    was_deleted: bool
    offers: list[RowDict] | None
    own_before: dict[str, pl.DataType]
    at: float = 0.0


class CatalogChanges:
    """The changed rows of one items table.

    Rows of new items follow those of the table. A deleted item keeps its row, so histories stay valid, but it has no id
    until it is put again.

    Args:
        table: the bundle's items; never changed.
        items: ids of its rows.

    Attributes:
        changed: by row, the values of the columns that differ from the table, in the order of the latest change.
        position_of: by row, the number of the latest change, in the same order.
        own: types of the columns that the table does not have.
        n_fixed: number of rows of the table.
        rows: rows of the new items, in their order.
        added: ids of the new items, in their order.
        deleted: ids of deleted items.
        position: number of changes so far.
        n_schemas: number of different schemas so far.
    """

    def __init__(self, table: pl.DataFrame, items: IdMap) -> None:
        self._table, self._items = table, items
        self._names = frozenset(table.columns)
        self.n_fixed = len(items)
        self.changed: dict[int, RowDict] = {}
        self.position_of: dict[int, int] = {}
        self.own: dict[str, pl.DataType] = {}
        self.rows: dict[str, int] = {}
        self.added: list[str] = []
        self.deleted: set[str] = set()
        self.position = self.n_schemas = 0

    @property
    def n_items(self) -> int:
        """Number of rows."""
        return self.n_fixed + len(self.rows)

    def row(self, item_id: str) -> int:
        """Return the row of an item, deleted or not; `UNKNOWN` for an unknown item."""
        row = self._items.row(item_id)
        return row if row != UNKNOWN else self.rows.get(item_id, UNKNOWN)

    def values(self, row: int) -> RowDict:
        """Return all values of a row that are known; an absent column is null."""
        changed = self.changed.get(row, {})
        return {**self._table.row(row, named=True), **changed} if row < self.n_fixed else dict(changed)

    def apply(self, seq: int, item_id: str, entry_type: str, body: Mapping[str, Any], at: float = 0.0) -> ItemChange:
        """Apply one change; if it raises, nothing has changed."""
        row = self.row(item_id)
        is_new = row == UNKNOWN
        row = self.n_items if is_new else row
        before: RowDict = {} if is_new else self.values(row)
        after = apply_patch(before, entry_type, body)
        if after is None:
            after = before | {"available": False}
        after["item_id"] = item_id
        fixed = self._table.row(row, named=True) if row < self.n_fixed else {}
        names = dict.fromkeys([*fixed, *after])
        differs = {name: after.get(name) for name in names if after.get(name) != fixed.get(name)}
        own = dict(self.own)
        for name, value in after.items():
            if name not in self._names:
                own[name] = promote_dtype(own.get(name, pl.Null()), value)
        offers = offers_after(entry_type, body)
        columns = frozenset(name for name in names | before.keys() if after.get(name) != before.get(name))
        change = ItemChange(
            seq, item_id, entry_type, body, row, is_new, columns, self.changed.get(row), item_id in self.deleted,
            offers, self.own, at,
        )  # fmt: skip
        if is_new:
            self.rows[item_id] = row
            self.added.append(item_id)
        self._set(row, differs, own)
        (self.deleted.add if entry_type == "item_delete" else self.deleted.discard)(item_id)
        return change

    def undo(self, change: ItemChange) -> None:
        """Undo the latest change that is not undone yet."""
        self._set(change.row, change.before, change.own_before)
        if change.is_new:
            del self.rows[change.item_id]
            self.added.pop()
        (self.deleted.add if change.was_deleted else self.deleted.discard)(change.item_id)

    def _set(self, row: int, values: RowDict | None, own: dict[str, pl.DataType]) -> None:
        self.changed.pop(row, None)
        self.position_of.pop(row, None)
        self.position += 1
        if values is not None:
            self.changed[row] = values
        self.position_of[row] = self.position
        if own != self.own:
            self.own = own
            self.n_schemas += 1
