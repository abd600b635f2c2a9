"""Erasure in the live log's file: the entries of a user are found, overwritten and removed.

Entries are found by a scan of the log, which takes seconds per erasure: an index over users would slow every append.
"""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

import msgspec

from recsys.eventlog.sqlite_dedup import keep_erased
from recsys.eventlog.sqlite_schema import LogRow

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

_TOMBSTONES: Final = (
    "SELECT seq, key, at, received_at FROM log WHERE kind NOT IN ('event', 'impression') AND kind = 'erasure'"
    " AND seq > ? AND typeof(at) = 'real' AND typeof(received_at) = 'real' ORDER BY seq"
)

_NEVER: Final = (-math.inf, -math.inf, 0)

SCANNED_AT_ONCE: Final = 50_000

_encode: Final = msgspec.json.Encoder().encode


class Tombstones:
    """The erasures of the log that one writer knows; for use inside its transactions only."""

    def __init__(self) -> None:
        self._erased: dict[str, tuple[float, float, int]] = {}
        self._seq = 0

    def learn(self, db: sqlite3.Connection) -> None:
        """Read the tombstones that any process has written since the last call."""
        for seq, key, *moments in db.execute(_TOMBSTONES, (self._seq,)).fetchall():
            at, received_at = map(max, moments, self._erased.get(key, _NEVER))
            self._erased[key], self._seq = (at, received_at, seq), seq

    def __bool__(self) -> bool:
        return bool(self._erased)

    def refuse(self, row: LogRow) -> bool:
        """Return whether a row is older than an erasure of its user.

        Lists are written some time after they were shown: one that was shown before the request of the erasure, or that
        was made without knowing of it, is older.
        """
        if not self._erased:
            return False
        is_list = row.entry_type == "impression"
        found = (self._erased.get(key, _NEVER) for key in (row.user_id, row.visitor_id, row.session) if key)
        made_with = math.inf if row.made_with is None else row.made_with
        return any(
            row.at < at or (is_list and (row.received_at < received_at or made_with < seq))
            for at, received_at, seq in found
        )


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
