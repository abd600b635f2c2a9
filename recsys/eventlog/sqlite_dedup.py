"""The ids that the live log's file knows: older ones in a table, the newest in each writer's memory.

Ids are random, so an index entry per event would rewrite one page of the index per event. Here an event is only
appended to the log; writers remember the newest ids from there and insert many at once, in the order of the index,
which rewrites one page for many ids.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from recsys.eventlog.log_rows import ERASED_SEQ

FLUSH_SIZE: Final = 50_000
"""Newest ids that are flushed to the table together: bounds the memory of a writer and the time others wait."""

IDS_SCHEMA: Final = (
    "CREATE TABLE ids (digest INTEGER PRIMARY KEY, seq INTEGER NOT NULL)",
    "CREATE TABLE folded (seq INTEGER NOT NULL)",
    "CREATE TRIGGER unknown AFTER DELETE ON log WHEN old.digest IS NOT NULL"
    " BEGIN DELETE FROM ids WHERE digest = old.digest AND seq = old.seq; END",
)
FILL: Final = (
    "INSERT OR IGNORE INTO ids SELECT digest, seq FROM log WHERE digest IS NOT NULL ORDER BY digest",
    "INSERT INTO folded SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'log'",
)

_FLUSHED: Final = "SELECT seq FROM folded"
_NEWEST: Final = "SELECT digest, seq FROM log WHERE seq > ? AND digest IS NOT NULL"
_FIND: Final = "SELECT digest, seq FROM json_each(?) CROSS JOIN ids ON digest = value"
_FLUSH: Final = (
    "INSERT OR IGNORE INTO ids SELECT digest, seq FROM log WHERE seq > ? AND digest IS NOT NULL ORDER BY digest"
)
_KEEP_ERASED: Final = "INSERT OR REPLACE INTO ids SELECT value, ? FROM json_each(?)"
_MARK: Final = "UPDATE folded SET seq = (SELECT seq FROM sqlite_sequence WHERE name = 'log')"

_encode: Final = msgspec.json.Encoder().encode


def keep_erased(db: sqlite3.Connection, digests: Collection[int]) -> None:
    """Keep the digests of erased ids, inside the transaction that has removed their entries."""
    db.execute(
        _KEEP_ERASED,
        (
            ERASED_SEQ,
            _encode(sorted(digests)).decode(),
        ),
    )


class DedupIndex:
    """The ids of the log that one writer knows; for use inside its transactions only."""

    def __init__(self) -> None:
        self._newest: dict[int, int] = {}
        self._flushed = self._seen = 0

    def find(self, db: sqlite3.Connection, digests: Collection[int]) -> dict[int, int]:
        """Return the numbers of the entries with some digests, by digest; `ERASED_SEQ` for erased ones."""
        self._catch_up(db)
        found = dict(db.execute(_FIND, (_encode(sorted(digests)).decode(),)).fetchall()) if digests else {}
        newest = self._newest
        if newest.keys().isdisjoint(digests):
            return found
        return {digest: newest[digest] for digest in digests if digest in newest} | found

    def note(self, digests: Iterable[int | None], last: int) -> None:
        """Remember the digests of entries that this writer has committed since `find`, so that they need not be read.

        Args:
            digests: of all of them, in order; None for entries without one.
            last: number of the last one; those before have the numbers before it.
        """
        digests = list(digests)
        numbers = range(last - len(digests) + 1, last + 1)
        self._newest.update({digest: seq for digest, seq in zip(digests, numbers, strict=True) if digest is not None})
        self._seen = last

    def flush(self, db: sqlite3.Connection) -> None:
        """Insert the newest ids into the table, if there are many."""
        if len(self._newest) >= FLUSH_SIZE:
            db.execute(_FLUSH, (self._flushed,))
            db.execute(_MARK)

    def _catch_up(self, db: sqlite3.Connection) -> None:
        """Read what other processes have stored since, and any process has flushed; no rolled-back id is ever known."""
        (flushed,) = db.execute(_FLUSHED).fetchone()
        if flushed != self._flushed:
            self._newest = {digest: seq for digest, seq in self._newest.items() if seq > flushed}
            self._flushed, self._seen = flushed, max(flushed, self._seen)
        for digest, seq in db.execute(_NEWEST, (self._seen,)):
            self._newest[digest] = seq
            self._seen = seq
