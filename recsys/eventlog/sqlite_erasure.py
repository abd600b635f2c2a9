"""What of erased shoppers is in the live log's file, and how it is wiped.

Entries are found by walking the log, which costs seconds an erasure: an index over shoppers would cost every append.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

import msgspec

OWNED: Final = (
    "SELECT seq, kind, json_extract(body, '$.session_id'), json_extract(body, '$.basket_id') FROM log"
    " WHERE seq > ?1 AND seq <= ?2 AND (user_id IN (SELECT value FROM json_each(?3))"
    " OR visitor_id IN (SELECT value FROM json_each(?3)))"
)
ANONYMOUS: Final = (
    "SELECT seq, kind, json_extract(body, '$.session_id') FROM log WHERE seq > ?1 AND seq <= ?2"
    " AND kind IN ('event', 'impression') AND user_id IS NULL AND visitor_id IS NULL"
    " AND (json_extract(body, '$.session_id') IN (SELECT value FROM json_each(?3))"
    " OR json_extract(body, '$.basket_id') IN (SELECT value FROM json_each(?4)))"
)
_WIPE: Final = (
    "UPDATE log SET kind = CAST(zeroblob(length(CAST(kind AS BLOB))) AS TEXT),"
    " key = CAST(zeroblob(length(CAST(key AS BLOB))) AS TEXT),"
    " user_id = CAST(zeroblob(length(CAST(user_id AS BLOB))) AS TEXT),"
    " visitor_id = CAST(zeroblob(length(CAST(visitor_id AS BLOB))) AS TEXT),"
    " body = CAST(zeroblob(length(CAST(body AS BLOB))) AS TEXT) WHERE seq = ?"
)
_REMOVE: Final = "DELETE FROM log WHERE seq = ?"

SCANNED_AT_ONCE: Final = 50_000

_encode: Final = msgspec.json.Encoder().encode


class ErasureScan:
    """Entries of some shoppers, and those that name nobody but a session or basket that was theirs.

    Args:
        keys: user ids and visitor ids.

    Attributes:
        owned: by number, the kind of what names one of the keys.
        linked: by number, the kind of what names nobody, in a session or of a basket of one of the keys.
        sessions: sessions of what is linked.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self.owned: dict[int, str] = {}
        self.linked: dict[int, str] = {}
        self.sessions: set[str] = set()
        self._wanted = _json(keys)
        self._links: tuple[set[str], set[str]] = (set(), set())
        self._seen = 0

    def find(self, db: sqlite3.Connection, last: int) -> None:
        """Look through the log up to a number, from where it was looked through already.

        In parts: a long read would keep the write-ahead log from being worked in.
        """
        before = tuple(map(len, self._links))
        for span in _spans(self._seen, last):
            for seq, kind, *ids in db.execute(OWNED, (*span, self._wanted)).fetchall():
                self.owned[seq] = kind
                for known, id_ in zip(self._links, ids, strict=True):
                    known.update([] if id_ is None else [id_])
        counts = tuple(map(len, self._links))
        if any(counts):
            for span in _spans(self._seen if counts == before else 0, last):
                for seq, kind, session_id in db.execute(ANONYMOUS, (*span, *map(_json, self._links))).fetchall():
                    self.linked[seq] = kind
                    self.sessions.update([] if session_id is None else [session_id])
        self._seen = last

    def remove(self, db: sqlite3.Connection) -> dict[str, int]:
        """Wipe and remove what was found; returns how many there were, by kind.

        When rows are removed, SQLite moves their neighbours about and leaves copies in unused parts of pages,
        `secure_delete` or not. So all are first overwritten where they stand, at their own lengths.
        """
        found = self.owned | self.linked
        db.executemany(_WIPE, [(seq,) for seq in found])
        removed: Counter[str] = Counter()
        for seq, kind in found.items():
            removed[kind] += db.execute(_REMOVE, (seq,)).rowcount
        return {kind: n for kind, n in removed.items() if n}


def _spans(after: int, last: int) -> Iterator[tuple[int, int]]:
    return pairwise([*range(after, last, SCANNED_AT_ONCE), last])


def _json(ids: Iterable[str]) -> str:
    return _encode(sorted(ids)).decode()
