"""What the log in PostgreSQL has, as a writer's transaction needs it to decide about new rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from recsys.eventlog.log_rows import LogRow, stored_entry
from recsys.eventlog.postgres.connection import Connection
from recsys.eventlog.postgres.schema import from_text, int_array
from recsys.eventlog.store import StoredEntry

_TOMBSTONES: Final = (
    "SELECT seq, key, at, received_at FROM recsys_log_change WHERE kind = 'erasure' AND seq > %s ORDER BY seq"
)
_MERGES: Final = (
    "SELECT seq, kind, key, at, received_at, body FROM recsys_log_change WHERE kind IN ('merge', 'unmerge')"
    " AND seq > %s ORDER BY seq"
)
_FIND: Final = "SELECT digest, seq FROM recsys_ids WHERE digest = ANY(%s::bigint[])"
_ROWS: Final = (
    "SELECT seq, kind, key, at, received_at, user_id, visitor_id, digest, body FROM recsys_log"
    " WHERE seq = ANY(%s::bigint[])"
)


class PostgresEntries:
    """The `KnownEntries` of one transaction that has locked `recsys_state`.

    Args:
        db: the connection of the transaction.
        rare_seq: number of the last merge or erasure of the log: nothing is asked for after it.
    """

    def __init__(self, db: Connection, rare_seq: int) -> None:
        self._db, self._rare_seq = db, rare_seq
        self._rows: dict[int, LogRow] = {}

    def tombstones_after(self, seq: int) -> Iterable[tuple[int, str, float, float]]:
        """See `KnownEntries`."""
        rows = self._db.execute(_TOMBSTONES, (seq,)).fetchall() if seq < self._rare_seq else []
        return [(seq, from_text(key) or "", at, received_at) for seq, key, at, received_at in rows]

    def merges_after(self, seq: int) -> Iterable[StoredEntry]:
        """See `KnownEntries`."""
        rows = self._db.execute(_MERGES, (seq,)).fetchall() if seq < self._rare_seq else []
        return [stored_entry((seq, kind, from_text(key), *rest)) for seq, kind, key, *rest in rows]

    def find(self, digests: Collection[int]) -> dict[int, int]:
        """See `KnownEntries`; their rows are read at once."""
        rows = self._db.execute(_FIND, (int_array(digests),)).fetchall() if digests else []
        found: dict[int, int] = dict(rows)
        if found:
            for seq, kind, key, at, received_at, user_id, visitor_id, digest, body in self._db.execute(
                _ROWS, (int_array(found.values()),)
            ):
                ids = (from_text(user_id), from_text(visitor_id))
                self._rows[seq] = LogRow(kind, from_text(key), at, received_at, *ids, digest, body)
        return found

    def row(self, seq: int) -> LogRow | None:
        """See `KnownEntries`; of the entries that were found."""
        return self._rows.get(seq)
