"""Which ids the live log's file knows: the older ones in a table, the newest in each writer's memory.

Ids are random, so a row an id in a tree of its own rewrites a page of the tree an event. Here an event is appended to
the log alone; writers remember the newest ids from there, and once there are many they go into the tree together, in
its order, which rewrites a page for many of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from hashlib import blake2b
from typing import Final

import msgspec

DIGEST_BYTES: Final = 8

FOLDED_AT_ONCE: Final = 50_000
"""Newest ids that go into the table together: bounds the memory of a writer, and how long others are kept out."""

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

_FOLDED: Final = "SELECT seq FROM folded"
_NEWEST: Final = "SELECT digest, seq FROM log WHERE seq > ? AND digest IS NOT NULL"
_FIND: Final = "SELECT digest, seq FROM ids WHERE digest IN (SELECT value FROM json_each(?))"
_FOLD: Final = (
    "INSERT OR IGNORE INTO ids SELECT digest, seq FROM log WHERE seq > ? AND digest IS NOT NULL ORDER BY digest"
)
_MARK: Final = "UPDATE folded SET seq = (SELECT seq FROM sqlite_sequence WHERE name = 'log')"

_encode: Final = msgspec.json.Encoder().encode


def digest_of(kind: str, key: str) -> int:
    """An id as 64 bits: a small index, and one in whose pages no remains of an id can lie.

    Of logs of ten million ids, one in a few hundred thousand has two with the same bits; the later one is refused as a
    conflict.
    """
    return int.from_bytes(blake2b(f"{kind} {key}".encode(), digest_size=DIGEST_BYTES).digest(), "little", signed=True)


class DedupIndex:
    """What one writer knows of the ids in the log; to be used within its transactions alone."""

    def __init__(self) -> None:
        self._newest: dict[int, int] = {}
        self._folded = self._seen = 0

    def find(self, db: sqlite3.Connection, digests: Collection[int]) -> dict[int, int]:
        """By digest, the number of the entry that has it, of those that the log knows."""
        self._catch_up(db)
        found = dict(db.execute(_FIND, (_encode(sorted(digests)).decode(),)).fetchall()) if digests else {}
        newest = self._newest
        return found | {digest: newest[digest] for digest in digests if digest in newest}

    def fold(self, db: sqlite3.Connection) -> None:
        """Put the newest ids into the table, if they are many."""
        if len(self._newest) >= FOLDED_AT_ONCE:
            db.execute(_FOLD, (self._folded,))
            db.execute(_MARK)

    def _catch_up(self, db: sqlite3.Connection) -> None:
        """Read what any process has stored or folded since; this one's own too, so that nothing undone is known."""
        (folded,) = db.execute(_FOLDED).fetchone()
        if folded != self._folded:
            self._newest = {digest: seq for digest, seq in self._newest.items() if seq > folded}
            self._folded, self._seen = folded, max(folded, self._seen)
        for digest, seq in db.execute(_NEWEST, (self._seen,)):
            self._newest[digest] = seq
            self._seen = seq
