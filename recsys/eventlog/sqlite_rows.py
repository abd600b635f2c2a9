"""Rows of the live log's table as a live view reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from recsys.eventlog.entry_form import END_SECOND, FIRST_SECOND
from recsys.eventlog.sqlite_schema import stored_entry
from recsys.eventlog.store import EntryType, HistoryColumns, StoredEntry, StoredEvent

ViewRow = tuple[int, str | None, float, str, EntryType | None, float]
"""Number, key, time and body of an entry, its type (None for an event) and when it was received."""

_history_columns: Final = msgspec.json.Decoder(HistoryColumns).decode


def view_entries(rows: Iterable[ViewRow]) -> list[StoredEvent | StoredEntry]:
    """Return the entries of rows as `recsys.eventlog.store.for_view` returns them."""
    found: list[StoredEvent | StoredEntry] = []
    for seq, key, at, body, entry_type, received_at in rows:
        if entry_type is None:
            try:
                if FIRST_SECOND <= at < END_SECOND:
                    found.append(StoredEvent(seq, key, at, _history_columns(body)))
                    continue
            except (msgspec.MsgspecError, TypeError, ValueError):
                pass  # the general form names the fault
        found.append(stored_entry((seq, entry_type or "event", key, at, received_at, body)))
    return found
