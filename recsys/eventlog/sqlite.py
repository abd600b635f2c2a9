"""The live log in one SQLite file (with its `-wal` and `-shm` beside it), written and read by several processes.

WAL with synchronous FULL: what is acknowledged survives `kill -9` and a power cut. SQLite admits one writer at a time,
so numbers ascend in the order of commits, across processes too.

Events have no index but that of their ids (`recsys.eventlog.sqlite_dedup`), which every append must ask. Erasure and
retention
walk the log instead: that costs seconds a night or an erasure, an index over shoppers or times would cost every append.
"""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from recsys.core.errors import DataError
from recsys.eventlog.group_commit import GroupCommit
from recsys.eventlog.identities import SESSION, Identities
from recsys.eventlog.sqlite_dedup import DedupIndex
from recsys.eventlog.sqlite_erasure import ErasureScan
from recsys.eventlog.sqlite_schema import (
    POLL_S,
    LogRow,
    connect,
    encode,
    fetch_count,
    open_file,
    row_of,
    store_error,
    with_retry,
)
from recsys.eventlog.store import (
    ITEM_CHANGES,
    KEYED,
    USER_CHANGES,
    AppendOutcome,
    EntryType,
    ErasureReceipt,
    LogEntry,
    StoredEntry,
)

# Queries repeat the condition of the partial index that is to serve them: without it SQLite does not see that it can.
_INSERT: Final = (
    "INSERT INTO log (kind, key, at, received_at, user_id, visitor_id, digest, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_TAIL: Final = (
    "SELECT seq, kind, key, at, received_at, body FROM log WHERE seq > ?"
    " AND kind NOT IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT ?"
)
_OF_KINDS: Final = (
    "SELECT seq, kind, key, at, received_at, body FROM log WHERE kind NOT IN ('event', 'impression')"
    " AND kind IN (SELECT value FROM json_each(?)) ORDER BY seq"
)
_KNOWN: Final = "SELECT kind, key, at, received_at, user_id, visitor_id, digest, body FROM log WHERE seq = ?"
_LAST_SEQ: Final = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'log'"
_FIRST_SEQ: Final = "SELECT coalesce(min(seq), 1) FROM log"
_ERASURES: Final = (
    "SELECT seq, key, at FROM log WHERE kind NOT IN ('event', 'impression') AND kind = 'erasure' AND seq > ?"
    " ORDER BY seq"
)
_DELETE_BEFORE: Final = "DELETE FROM log WHERE seq > ? AND seq <= ? AND at < ? AND kind IN ('event', 'impression')"
_DROP: Final = (
    "DELETE FROM log WHERE seq IN (SELECT seq FROM log WHERE kind NOT IN ('event', 'impression')"
    " AND kind IN (SELECT value FROM json_each(?)) AND seq <= ? LIMIT ?)"
)

REMOVED_AT_ONCE: Final = 10_000
"""Numbers that one transaction of retention covers: bounds how long it keeps writers out."""

_MERGES: Final = '["merge", "unmerge"]'
_REFUSED: Final[tuple[AppendOutcome, ...]] = ("conflict", "erased")
"""Outcomes of one part that are those of its whole event, the first that there is."""

_encode_sorted: Final = msgspec.json.Encoder(order="sorted").encode
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class SqliteStore:
    """An `EventStore` in one file. Each process opens its own, after any fork.

    Args:
        path: the file, made if it is not there; its folder must be.
        max_waiting: entries that may wait for the next commit of this process.
        timeout_s: how long to wait for other processes' commits.

    Raises:
        StoreError: the file cannot be opened, is no store or is of another schema version.
    """

    def __init__(self, path: Path, max_waiting: int = 50_000, timeout_s: float = 10.0) -> None:
        self._path, self._timeout_s = path, timeout_s
        self._erased: dict[str, float] = {}
        self._erased_seq = 0
        self._ids = DedupIndex()
        self._writing, self._reading, self._watching = threading.Lock(), threading.Lock(), threading.Lock()
        self._writer = open_file(path, timeout_s)
        self._reader = connect(path, timeout_s)
        self._watcher = connect(path, timeout_s)
        self._group = GroupCommit(self._commit, max_waiting, f"store {path.name}")

    def append(self, entries: Sequence[LogEntry]) -> list[AppendOutcome]:
        """See `EventStore`; many callers at once share a sync of the disk."""
        return self.submit(entries).result()

    def submit(self, entries: Sequence[LogEntry]) -> Future[list[AppendOutcome]]:
        """See `EventStore`. Encodes in the caller's thread; the commit is another thread's."""
        return self._group.submit([row_of(entry, place) for place, entry in enumerate(entries)])

    def tail(self, after_seq: int, limit: int, without: Sequence[EntryType] = ()) -> list[StoredEntry]:
        """See `EventStore`."""
        with self._reading, self._errors("read"):
            rows = self._reader.execute(_TAIL, (after_seq, encode(list(without)).decode(), limit)).fetchall()
        return [_stored(row) for row in rows]

    def version(self) -> int:
        """See `EventStore`. A few microseconds, so that it can be asked at every request.

        SQLite's `data_version` counts commits of other connections than the one that asks; the one that asks here
        never writes, so commits of this process count too.
        """
        with self._watching, self._errors("read"):
            return int(self._watcher.execute("PRAGMA data_version").fetchone()[0])

    def read_types(self, kinds: Sequence[EntryType]) -> list[StoredEntry]:
        """See `EventStore`. An index holds the rare kinds."""
        if common := sorted(set(kinds) & set(KEYED)):
            raise DataError(f"{common[0]!r} is no rare kind: read all entries with `tail`")
        with self._reading, self._errors("read"):
            rows = self._reader.execute(_OF_KINDS, (encode(list(kinds)).decode(),)).fetchall()
        return [_stored(row) for row in rows]

    def last_seq(self) -> int:
        """See `EventStore`."""
        with self._reading, self._errors("read"):
            return int(self._reader.execute(_LAST_SEQ).fetchone()[0])

    def erase(self, keys: Iterable[str], received_at: float, at: float | None = None) -> ErasureReceipt:
        """See `EventStore`. Removed bytes are overwritten, in the file and, once `purged`, in its write-ahead log."""
        erased = sorted(set(keys))
        if not erased:
            raise DataError("there is no key to erase: name a user's or a visitor's id")
        at, traces = received_at if at is None else at, ErasureScan(erased)
        # Most is found without keeping writers out; what came meanwhile is found within the transaction.
        self._find(traces)
        with self._transaction() as db:
            traces.find(db, fetch_count(db, _LAST_SEQ))
            removed = traces.remove(db)
            gone = [*erased, *(SESSION + session_id for session_id in sorted(traces.sessions))]
            tombstones = [LogEntry("erasure", key, at, received_at, {}) for key in gone]
            db.executemany(_INSERT, [row_of(each, place).stored for place, each in enumerate(tombstones)])
            last = fetch_count(db, _LAST_SEQ)
        return ErasureReceipt(last, removed, len(traces.linked), self.purge())

    def purge(self) -> bool:
        """See `EventStore`. Works the write-ahead log into the file and cuts it to nothing."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            with self._writing, self._errors("purged"):
                is_busy = bool(fetch_count(self._writer, "PRAGMA wal_checkpoint(TRUNCATE)"))
            if not is_busy or time.monotonic() > deadline:
                return not is_busy
            time.sleep(POLL_S)

    def compact(self) -> bool:
        """See `EventStore`. Writes the file anew, which keeps writers out for seconds a gigabyte."""
        with self._writing, self._errors("compacted"):
            with_retry(lambda: self._writer.execute("VACUUM"), self._timeout_s)
        return self.purge()

    def delete_before(self, before: float) -> int:
        """See `EventStore`. In many short transactions, between which others write."""
        removed = 0
        with self._reading, self._errors("read"):
            first = fetch_count(self._reader, _FIRST_SEQ)
        for low in range(first - 1, self.last_seq(), REMOVED_AT_ONCE):
            with self._transaction() as db:
                removed += db.execute(_DELETE_BEFORE, (low, low + REMOVED_AT_ONCE, before)).rowcount
        return removed

    def delete_changes(self, up_to_seq: int, kinds: Sequence[EntryType] = ITEM_CHANGES) -> int:
        """See `EventStore`. In short transactions, as `delete_before`."""
        changes = {*ITEM_CHANGES, *USER_CHANGES}
        if others := sorted(set(kinds) - changes):
            raise DataError(f"{others[0]!r} is no change of an item or user: give some of {sorted(changes)}")
        wanted, removed = encode(list(kinds)).decode(), 0
        while True:
            with self._transaction() as db:
                dropped = db.execute(_DROP, (wanted, up_to_seq, REMOVED_AT_ONCE)).rowcount
            removed += dropped
            if dropped < REMOVED_AT_ONCE:
                return removed

    def close(self) -> None:
        """See `EventStore`."""
        self._group.close()
        for lock, db in ((self._watching, self._watcher), (self._reading, self._reader), (self._writing, self._writer)):
            with lock:
                db.close()

    def _commit(self, rows: list[LogRow]) -> list[AppendOutcome]:
        """One transaction for the rows of all callers."""
        with self._transaction() as db:
            self._learn_erasures(db)
            outcomes = self._judge(db, rows)
            db.executemany(
                _INSERT, [row.stored for row, outcome in zip(rows, outcomes, strict=True) if outcome == "stored"]
            )
            self._ids.fold(db)
        return outcomes

    def _judge(self, db: sqlite3.Connection, rows: list[LogRow]) -> list[AppendOutcome]:
        """What becomes of rows; of those with one id, the first that can be stored is."""
        known = self._ids.find(db, {row.digest for row in rows if row.digest is not None})
        circles = self._circles(db, rows) if any(row.kind == "merge" for row in rows) else set()
        taken: dict[int, LogRow] = {}
        outcomes: list[AppendOutcome] = []
        start = 0
        for stop in (*(place for place, row in enumerate(rows) if place and not row.follows), len(rows)):
            parts = rows[start:stop]
            judged = [self._outcome(db, row, known, taken) for row in parts]
            if start in circles:
                judged = ["conflict"]
            start = stop
            refused = [outcome for outcome in _REFUSED if outcome in judged]
            if refused:
                outcomes += refused[:1] * len(parts)
                continue
            outcomes += judged
            for row, outcome in zip(parts, judged, strict=True):
                if outcome == "stored" and row.digest is not None:
                    taken[row.digest] = row
        return outcomes

    def _circles(self, db: sqlite3.Connection, rows: list[LogRow]) -> set[int]:
        """Places of the merges that would close a circle, with those in the log and those before them."""
        identities = Identities()
        for row in db.execute(_OF_KINDS, (_MERGES,)).fetchall():
            identities.take(_stored(row).entry)
        return {
            place
            for place, row in enumerate(rows)
            if row.kind in ("merge", "unmerge") and not identities.take(_entry(row))
        }

    def _outcome(
        self, db: sqlite3.Connection, row: LogRow, known: Mapping[int, int], taken: Mapping[int, LogRow]
    ) -> AppendOutcome:
        """What becomes of a row by itself: `known` by the log, or `taken` earlier in this commit."""
        if self._erased and self._is_erased(row):
            return "erased"
        if row.digest is None:
            return "stored"
        if row.digest in taken:
            return _again(row, taken[row.digest])
        if row.digest in known and (found := db.execute(_KNOWN, (known[row.digest],)).fetchone()):
            return _again(row, LogRow(*found))
        return "stored"

    def _learn_erasures(self, db: sqlite3.Connection) -> None:
        """Read the tombstones that any process has written since."""
        for seq, key, at in db.execute(_ERASURES, (self._erased_seq,)).fetchall():
            self._erased[key] = max(at, self._erased.get(key, -math.inf))
            self._erased_seq = seq

    def _is_erased(self, row: LogRow) -> bool:
        return any(
            row.at < self._erased.get(who, -math.inf) for who in (row.user_id, row.visitor_id, row.session) if who
        )

    def _find(self, traces: ErasureScan) -> None:
        """Look through the log on a connection of its own."""
        with self._errors("read"), closing(connect(self._path, self._timeout_s)) as db:
            traces.find(db, fetch_count(db, _LAST_SEQ))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """The only writer of all processes, for the length of a block that is kept whole or not at all."""
        db = self._writer
        with self._writing, self._errors("written"):
            try:
                with_retry(lambda: db.execute("BEGIN IMMEDIATE"), self._timeout_s)
                yield db
                db.execute("COMMIT")
            finally:
                with suppress(sqlite3.Error):
                    if db.in_transaction:
                        db.execute("ROLLBACK")

    @contextmanager
    def _errors(self, done: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise store_error(self._path, done, error) from error


def _again(row: LogRow, known: LogRow) -> AppendOutcome:
    """What becomes of a row whose digest another has."""
    if (row.kind, row.key) != (known.kind, known.key):
        return "conflict"
    is_same = known.body == row.body or _encode_sorted(_decode(known.body)) == _encode_sorted(_decode(row.body))
    return "duplicate" if is_same else "conflict"


def _entry(row: LogRow) -> LogEntry:
    return LogEntry(row.kind, row.key, row.at, row.received_at, _decode(row.body))


def _stored(row: tuple[int, EntryType, str | None, float, float, str]) -> StoredEntry:
    seq, kind, key, at, received_at, body = row
    return StoredEntry(seq, LogEntry(kind, key, at, received_at, _decode(body)))
