"""What the live log's file has, as a writer's transaction needs it to decide about new rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from typing import Final

from recsys.eventlog.log_rows import LogRow, stored_entry
from recsys.eventlog.sqlite_dedup import DedupIndex
from recsys.eventlog.store import StoredEntry

# Queries repeat the condition of the partial index: without it SQLite does not use the index.
_NEW_MERGES: Final = (
    "SELECT seq, kind, key, at, received_at, body FROM log WHERE kind NOT IN ('event', 'impression')"
    " AND kind IN ('merge', 'unmerge') AND seq > ? ORDER BY seq"
)
_KNOWN: Final = "SELECT kind, key, at, received_at, user_id, visitor_id, digest, body FROM log WHERE seq = ?"

_TOMBSTONES: Final = (
    "SELECT seq, key, at, received_at FROM log WHERE kind NOT IN ('event', 'impression') AND kind = 'erasure'"
    " AND seq > ? AND typeof(at) = 'real' AND typeof(received_at) = 'real' ORDER BY seq"
)


class SqliteEntries:
    """The `KnownEntries` of a file; for use inside the transactions of one writer only.

    Args:
        db: the writer's connection.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db, self._ids = db, DedupIndex()

    def tombstones_after(self, seq: int) -> Iterable[tuple[int, str, float, float]]:
        """See `KnownEntries`."""
        return self._db.execute(_TOMBSTONES, (seq,)).fetchall()

    def merges_after(self, seq: int) -> Iterable[StoredEntry]:
        """See `KnownEntries`."""
        return map(stored_entry, self._db.execute(_NEW_MERGES, (seq,)).fetchall())

    def find(self, digests: Collection[int]) -> dict[int, int]:
        """See `KnownEntries`."""
        return self._ids.find(self._db, digests)

    def row(self, seq: int) -> LogRow | None:
        """See `KnownEntries`."""
        found = self._db.execute(_KNOWN, (seq,)).fetchone()
        return None if found is None else LogRow(*found)

    def note(self, rows: Iterable[LogRow], last: int) -> None:
        """Remember the ids of rows that were committed since `find`; `last` is the number of the last one."""
        self._ids.note([row.digest for row in rows], last)

    def flush(self) -> None:
        """Add new ids to the index of the file, if there are many."""
        self._ids.flush(self._db)
