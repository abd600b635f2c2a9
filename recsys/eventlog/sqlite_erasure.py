"""Erasure in the live log's file: the entries of a user are found, overwritten and removed.

Entries are found by a scan of the log, which takes seconds per erasure: an index over users would slow every append.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

import msgspec

from recsys.eventlog.sqlite_dedup import keep_erased

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
_DIGESTS: Final = (
    "SELECT digest FROM log WHERE seq IN (SELECT value FROM json_each(?)) AND digest IS NOT NULL AND kind = 'event'"
)

SCANNED_AT_ONCE: Final = 50_000

_encode: Final = msgspec.json.Encoder().encode


class ErasureScan:
    """Search for the entries of some users, and for anonymous entries of their sessions and baskets.

    Args:
        keys: user ids and visitor ids.

    Attributes:
        owned: types of the entries that name one of the keys, by number.
        linked: types of the anonymous entries in a session or basket of one of the keys, by number.
        sessions: sessions of the linked entries.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self.owned: dict[int, str] = {}
        self.linked: dict[int, str] = {}
        self.sessions: set[str] = set()
        self._wanted = _json(keys)
        self._links: tuple[set[str], set[str]] = (set(), set())
        self._seen = 0

    def find(self, db: sqlite3.Connection, last: int) -> None:
        """Scan the log up to a number, from where the last scan ended.

        The scan runs in parts, as a long read would block checkpoints of the write-ahead log.
        """
        before = tuple(map(len, self._links))
        for span in _spans(self._seen, last):
            for seq, entry_type, *ids in db.execute(OWNED, (*span, self._wanted)).fetchall():
                self.owned[seq] = entry_type
                for known, id_ in zip(self._links, ids, strict=True):
                    known.update([] if id_ is None else [id_])
        counts = tuple(map(len, self._links))
        if any(counts):
            for span in _spans(self._seen if counts == before else 0, last):
                for seq, entry_type, session_id in db.execute(ANONYMOUS, (*span, *map(_json, self._links))).fetchall():
                    self.linked[seq] = entry_type
                    self.sessions.update([] if session_id is None else [session_id])
        self._seen = last

    def remove(self, db: sqlite3.Connection) -> dict[str, int]:
        """Overwrite and remove the entries that were found; return their numbers by type.

        The digests of event ids stay, so that the events are refused when they are sent again.

        When rows are removed, SQLite moves their neighbors and leaves copies in unused parts of pages, even with
        `secure_delete`. So all are first overwritten in place, at their own lengths.
        """
        found = self.owned | self.linked
        digests = [digest for (digest,) in db.execute(_DIGESTS, (_encode(sorted(found)).decode(),))]
        db.executemany(_WIPE, [(seq,) for seq in found])
        removed: Counter[str] = Counter()
        for seq, entry_type in found.items():
            removed[entry_type] += db.execute(_REMOVE, (seq,)).rowcount
        keep_erased(db, digests)
        return {entry_type: n for entry_type, n in removed.items() if n}


def _spans(after: int, last: int) -> Iterator[tuple[int, int]]:
    return pairwise([*range(after, last, SCANNED_AT_ONCE), last])


def _json(ids: Iterable[str]) -> str:
    return _encode(sorted(ids)).decode()
