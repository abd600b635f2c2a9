"""The current catalog: that of the bundle with the item changes of the live log, without a change to the bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.fitting.engine import Engine
from recsys.live.catalog_changes import CatalogChanges, ItemChange
from recsys.live.cold_items import ColdContent, ColdItems
from recsys.live.growing_engine import GrowingEngine, changed_columns
from recsys.live.item_timeline import ItemTimeline
from recsys.live.offer_overlay import OfferOverlay

SetAside = Callable[[int, str, str, Exception], None]
"""Records an entry that cannot be applied: its number, type and key, and the reason."""

CONTENT_BATCH: Final = 64
"""Items whose content is computed at once."""


@dataclass(frozen=True)
class SettledItems:
    """The computed content of items.

    Attributes:
        cold_items: where it is stored.
        contents: one per item.
        failures: items whose content could not be computed, with the error; they are listed without it.
    """

    cold_items: ColdItems
    contents: list[ColdContent]
    failures: list[tuple[int, Exception]]


@dataclass(frozen=True)
class UnsettledItems:
    """Items whose content must be computed.

    Attributes:
        cold_items: computes it.
        rows: int64 (n,), ascending, at most `CONTENT_BATCH`.
        table: the items table.
    """

    cold_items: ColdItems
    rows: npt.NDArray[np.int64]
    table: pl.DataFrame

    def settled(self) -> SettledItems:
        """Compute the content, and store the lists of similar items; one thread at a time, while others read."""
        try:
            return SettledItems(self.cold_items, self._computed(self.rows), [])
        except Exception:
            contents: list[ColdContent] = []
            failures: list[tuple[int, Exception]] = []
            for row in self.rows.tolist():
                try:
                    contents += self._computed(np.array([row], np.int64))
                except Exception as error:
                    failures.append((row, error))
            return SettledItems(self.cold_items, contents, failures)

    def _computed(self, rows: npt.NDArray[np.int64]) -> list[ColdContent]:
        found = self.cold_items.compute(rows, self.table[rows])
        self.cold_items.link(found)
        return found


class CatalogOverlay:
    """Item changes over one engine, and the engine that includes them.

    A change is applied completely or not at all: one that raises is undone and set aside.

    Args:
        base: the bundle's engine; never changed.
        set_aside: called with each change that cannot be applied; by default the error is raised.
    """

    def __init__(self, base: Engine, set_aside: SetAside | None = None) -> None:
        self._base, self._set_aside = base, set_aside or _refuse
        self._changes = CatalogChanges(base.items_table, base.items)
        self._growing: GrowingEngine | None = None
        self._offers, self._timeline = OfferOverlay(base.offers), ItemTimeline(base)
        self._pending: list[ItemChange] = []
        self._engine = base
        self.version = 0

    @property
    def engine(self) -> Engine:
        """The engine over the current catalog; the content of changed items is what `settle` has stored."""
        if self._pending:
            self._update()
        return self._engine

    @property
    def is_settled(self) -> bool:
        """Whether the content of no item waits for `settle`."""
        return not self._pending and (self._growing is None or not self._growing.cold_items.stale)

    @property
    def added_columns(self) -> Mapping[str, pl.DataType]:
        """Columns that the bundle's table lacks, and their types."""
        return self._changes.own

    @property
    def position(self) -> int:
        """Number of changes so far."""
        return self._changes.position

    def has_changed(self, rows: Iterable[int], position: int) -> bool:
        """Return whether any of some rows has changed after a position."""
        position_of = self._changes.position_of
        return any(position_of.get(row, 0) > position for row in rows)

    def warm_up(self) -> None:
        """Compute what the first change would otherwise wait for; what new content needs takes memory, and waits."""
        if self._growing is None:
            self._growing = GrowingEngine(self._base, self._changes, self._timeline.past)
        self._base.items.row("")
        self._growing.engine(self._offers.offers)

    def row(self, item_id: str) -> int:
        """Return the row of an item, deleted or not; `UNKNOWN` for an unknown item."""
        row = self._changes.row(item_id)
        if self._pending and row >= self._changes.n_fixed:
            self._update()  # a change that is undone takes its row with it
            row = self._changes.row(item_id)
        return row

    def apply(
        self,
        item_id: str,
        entry_type: str,
        body: Mapping[str, Any],
        seq: int = 0,
        at: float = 0.0,
        *,
        keeps_offers: bool = False,
    ) -> None:
        """Apply a change: `item_put`, `item_patch` or `item_delete`; with `keeps_offers`, not to the item's offers."""
        try:
            change = self._changes.apply(seq, item_id, entry_type, body, at)
            self._pending.append(replace(change, offers=None) if keeps_offers else change)
        except Exception as error:  # no entry may stop the others
            self._set_aside(seq, entry_type, item_id, error)
        self.version += 1

    def unsettled(self) -> UnsettledItems | None:
        """Return the next changed items whose content must be computed, which no longer wait; None for none."""
        engine = self.engine
        if self._growing is None or not self._growing.cold_items.stale:
            return None
        cold = self._growing.cold_items
        rows = np.array(sorted(cold.stale)[:CONTENT_BATCH], np.int64)
        cold.stale.difference_update(rows.tolist())
        return UnsettledItems(cold, rows, engine.items_table)

    def settle(self, found: SettledItems) -> None:
        """Store the content and the vectors of changed items."""
        found.cold_items.place(found.contents)
        for row, error in found.failures:
            self._set_aside(0, "content", self._base_id(row), error)
        if self._growing is not None and not self._pending:
            self._engine = self._growing.engine(self._offers.offers)
        self.version += 1

    def _base_id(self, row: int) -> str:
        return self._engine.items.ids[row]

    def _update(self) -> None:
        """Bring the engine up to date with all changes; those that cannot be applied are undone and set aside."""
        pending, self._pending = self._pending, []
        try:
            self._include(pending)
        except Exception as error:
            self._undo(pending)
            if len(pending) == 1:
                self._set_aside(pending[0].seq, pending[0].entry_type, pending[0].item_id, error)
                return
            for each in pending:
                self.apply(
                    each.item_id, each.entry_type, each.body, each.seq, each.at, keeps_offers=each.offers is None
                )
                self._update()

    def _include(self, changes: list[ItemChange]) -> None:
        if self._growing is None:
            self._growing = GrowingEngine(self._base, self._changes, self._timeline.past)
        self._growing.update(changed_columns(changes))
        for change in changes:
            if change.offers is not None:
                self._offers.replace(change.row, change.offers)
        self._engine = self._growing.engine(self._offers.offers)
        self._offers.keep()
        for change in changes:
            self._timeline.note(change)

    def _undo(self, changes: list[ItemChange]) -> None:
        """Undo changes, and build the engine again from those before them: the arrays may be half changed."""
        for change in reversed(changes):
            self._changes.undo(change)
        self._offers.undo()
        self._growing = GrowingEngine(self._base, self._changes, self._timeline.past)
        changed = {row: frozenset(values) for row, values in self._changes.changed.items()}
        if changed:
            self._growing.update(changed)
        self._engine = self._growing.engine(self._offers.offers)


def _refuse(seq: int, entry_type: str, key: str, error: Exception) -> None:
    raise error
