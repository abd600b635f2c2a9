"""The live log in one SQLite file (with its `-wal` and `-shm` files), written and read by several processes.

The file uses WAL with synchronous FULL: an acknowledged entry survives `kill -9` and a power failure. SQLite admits one
writer at a time, so numbers ascend in the order of commits, across processes too.

The only index on events is that of their ids (`recsys.eventlog.sqlite_dedup`), which every append needs. Erasure and
retention scan the log, in seconds: an index over users or times would slow every append.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Final

from recsys.core.errors import ConfigError, DataError, StoreError
from recsys.core.ids import SESSION
from recsys.eventlog.entry_form import END_SECOND, FIRST_SECOND
from recsys.eventlog.group_commit import GroupCommit
from recsys.eventlog.log_rows import LogRow, encode, encoded_rows, row_of, stored_entry, view_entries
from recsys.eventlog.newest_rows import NewestRows
from recsys.eventlog.outcomes import AppendJudge
from recsys.eventlog.sqlite_erasure import ErasureScan
from recsys.eventlog.sqlite_known import SqliteEntries
from recsys.eventlog.sqlite_schema import (
    POLL_S,
    OpenedFiles,
    connect,
    fetch_count,
    open_file,
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
    StoredEvent,
)

ROWS_AT_ONCE: Final = 50
"""Rows of one statement: each statement updates the last number of the table, and has a cost of its own."""

# Queries repeat the condition of the partial index: without it SQLite does not use the index.
_INSERT: Final = (
    "INSERT INTO log (kind, key, at, received_at, user_id, visitor_id, digest, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_MANY: Final = _INSERT + ", (?, ?, ?, ?, ?, ?, ?, ?)" * (ROWS_AT_ONCE - 1)
_READ_AFTER: Final = (
    "SELECT seq, kind, key, at, received_at, body FROM log WHERE seq > ?"
    " AND kind NOT IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT ?"
)
_READ_FOR_VIEW: Final = (
    "SELECT seq, key, at, body, iif(kind = 'event' AND received_at >= ? AND received_at < ?, NULL, kind), received_at"
    " FROM log WHERE seq > ? AND kind != 'impression' ORDER BY seq LIMIT ?"
)
_READ_TYPES: Final = (
    "SELECT seq, kind, key, at, received_at, body FROM log WHERE kind NOT IN ('event', 'impression')"
    " AND kind IN (SELECT value FROM json_each(?)) ORDER BY seq"
)
_LAST_SEQ: Final = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'log'"
_FIRST_SEQ: Final = "SELECT coalesce(min(seq), 1) FROM log"
_ANY_BEFORE: Final = (
    "SELECT EXISTS (SELECT 1 FROM log WHERE seq > ? AND seq <= ? AND at < ?"
    " AND kind IN (SELECT value FROM json_each(?)))"
)
_DELETE_BEFORE: Final = (
    "DELETE FROM log WHERE seq > ? AND seq <= ? AND at < ? AND kind IN (SELECT value FROM json_each(?))"
)
_DELETE_CHANGES: Final = (
    "DELETE FROM log WHERE seq IN (SELECT seq FROM log WHERE kind NOT IN ('event', 'impression')"
    " AND kind IN (SELECT value FROM json_each(?)) AND seq <= ? LIMIT ?)"
)

REMOVE_BATCH: Final = 10_000
"""Numbers per transaction of retention: bounds how long writers wait."""

FILES_S: Final = 0.02
"""How long a reader may go on with files that were deleted or replaced; a writer notices at once."""

MAX_DAMAGE: Final = 100

logger = logging.getLogger(__name__)


class SqliteStore:
    """An `EventStore` in one file. Each process opens its own, after any fork.

    Args:
        path: the file, created if it does not exist; its folder must exist.
        max_waiting: entries that may wait for the next commit of this process.
        timeout_s: how long to wait for commits of other processes.

    Raises:
        StoreError: the file cannot be opened, is not a store or has another schema version.
    """

    def __init__(self, path: Path, max_waiting: int = 50_000, timeout_s: float = 10.0) -> None:
        self._path, self._timeout_s = path, timeout_s
        self._judge = AppendJudge()
        self._files, self._files_hold_until = OpenedFiles(path), 0.0
        self._writing, self._reading, self._watching = threading.Lock(), threading.Lock(), threading.Lock()
        self._writer = open_file(path, timeout_s)
        self._known, self._newest = SqliteEntries(self._writer), NewestRows()
        self._files.check()
        try:
            self._reader, self._watcher = connect(path, timeout_s), connect(path, timeout_s)
        except sqlite3.Error as error:  # such as no free file descriptor
            self._writer.close()
            raise store_error(path, "opened", error) from error
        self._group = GroupCommit(self._commit, max_waiting, f"store {path.name}")

    def append(self, entries: Sequence[LogEntry | LogRow]) -> list[AppendOutcome]:
        """See `EventStore`. Concurrent callers share one sync of the disk."""
        return self.submit(entries).result()

    def submit(self, entries: Sequence[LogEntry | LogRow]) -> Future[list[AppendOutcome]]:
        """See `EventStore`. The caller's thread encodes; another thread commits."""
        return self._group.submit(encoded_rows(entries))

    def read_after(self, after_seq: int, limit: int, without: Sequence[EntryType] = ()) -> list[StoredEntry]:
        """See `EventStore`."""
        with self._reading, self._errors("read"):
            rows = self._reader.execute(_READ_AFTER, (after_seq, encode(list(without)).decode(), limit)).fetchall()
        return [stored_entry(row) for row in rows]

    def read_for_view(self, after_seq: int, limit: int) -> list[StoredEvent | StoredEntry]:
        """See `EventStore`. Only the columns that are needed are decoded; own commits are not read from the file."""
        rows, after_seq = self._newest.after(after_seq, limit)
        if len(rows) < limit:
            span = (FIRST_SECOND, END_SECOND, after_seq, limit - len(rows))
            with self._reading, self._errors("read"):
                rows += self._reader.execute(_READ_FOR_VIEW, span).fetchall()
        return view_entries(rows)

    def version(self) -> int:
        """See `EventStore`. It takes a few microseconds, so every request can call it.

        SQLite's `data_version` counts the commits of other connections; this connection never writes, so it counts the
        commits of this process too. Whether the files are still there is checked at most once per `FILES_S`: that takes
        longer than the rest.
        """
        now = time.monotonic()
        if now >= self._files_hold_until:
            self._files.check()
            self._files_hold_until = now + FILES_S
        with self._watching, self._errors("read"):
            return int(self._watcher.execute("PRAGMA data_version").fetchone()[0])

    def read_types(self, entry_types: Sequence[EntryType]) -> list[StoredEntry]:
        """See `EventStore`. The rare types have an index."""
        if common := sorted(set(entry_types) & set(KEYED)):
            raise DataError(f"{common[0]!r} is not a rare type: use `read_after`")
        with self._reading, self._errors("read"):
            rows = self._reader.execute(_READ_TYPES, (encode(list(entry_types)).decode(),)).fetchall()
        return [stored_entry(row) for row in rows]

    def last_seq(self) -> int:
        """See `EventStore`."""
        with self._reading, self._errors("read"):
            return int(self._reader.execute(_LAST_SEQ).fetchone()[0])

    def erase(self, keys: Iterable[str], received_at: float, at: float | None = None) -> ErasureReceipt:
        """See `EventStore`. Removed bytes are overwritten, in the file and, once `purged`, in its write-ahead log."""
        erased = sorted(set(keys))
        if not erased:
            raise DataError("there is no key to erase: name a user's or a visitor's id")
        at, scan = received_at if at is None else at, ErasureScan(erased)
        # Most entries are found while others write; the transaction finds the entries that arrived meanwhile.
        self._find(scan)
        with self._transaction() as db:
            scan.find(db, fetch_count(db, _LAST_SEQ))
            removed = scan.remove(db)
            keys = [*erased, *(SESSION + session_id for session_id in sorted(scan.sessions))]
            tombstones = [LogEntry("erasure", key, at, received_at, {}) for key in keys]
            last = _insert(db, [row_of(each, place).stored for place, each in enumerate(tombstones)])
        self._newest.forget()
        try:
            is_purged = self.purge()
        except StoreError as error:  # the erasure is durable: its receipt must not be lost
            logger.warning("the removed bytes of an erasure are not overwritten yet: %s", error)
            is_purged = False
        return ErasureReceipt(last, removed, len(scan.linked), is_purged)

    def purge(self) -> bool:
        """See `EventStore`. Checkpoints the write-ahead log and truncates it."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            with self._writing, self._errors("purged"):
                self._files.check()
                is_busy = bool(fetch_count(self._writer, "PRAGMA wal_checkpoint(TRUNCATE)"))
            if not is_busy or time.monotonic() > deadline:
                return not is_busy
            time.sleep(POLL_S)

    def compact(self) -> bool:
        """See `EventStore`. Rewrites the file, during which writers wait for seconds per gigabyte."""
        with self._writing, self._errors("compacted"):
            self._files.check()
            with_retry(lambda: self._writer.execute("VACUUM"), self._timeout_s)
        return self.purge()

    def delete_before(self, before: float, entry_types: Sequence[EntryType] = KEYED) -> int:
        """See `EventStore`. It uses many short transactions, between which others write."""
        if others := sorted(set(entry_types) - set(KEYED)):
            raise DataError(f"{others[0]!r} has no retention: give some of {sorted(KEYED)}")
        wanted, removed = encode(list(entry_types)).decode(), 0
        with self._reading, self._errors("read"):
            first = fetch_count(self._reader, _FIRST_SEQ)
        for low in range(first - 1, self.last_seq(), REMOVE_BATCH):
            span = (low, low + REMOVE_BATCH, before, wanted)
            with self._reading, self._errors("read"):
                is_needed = bool(fetch_count(self._reader, _ANY_BEFORE, span))
            if is_needed:
                with self._transaction() as db:
                    removed += db.execute(_DELETE_BEFORE, span).rowcount
                self._newest.forget()
        return removed

    def delete_changes(self, up_to_seq: int, entry_types: Sequence[EntryType] = ITEM_CHANGES) -> int:
        """See `EventStore`. It uses short transactions, as `delete_before`."""
        changes = {*ITEM_CHANGES, *USER_CHANGES}
        if others := sorted(set(entry_types) - changes):
            raise DataError(f"{others[0]!r} is not a change of an item or user: give some of {sorted(changes)}")
        wanted, removed = encode(list(entry_types)).decode(), 0
        while True:
            with self._transaction() as db:
                dropped = db.execute(_DELETE_CHANGES, (wanted, up_to_seq, REMOVE_BATCH)).rowcount
            self._newest.forget()
            removed += dropped
            if dropped < REMOVE_BATCH:
                return removed

    def damage(self) -> tuple[str, ...]:
        """Return what SQLite finds wrong with the file, at most `MAX_DAMAGE` findings; empty if it is whole."""
        with self._errors("read"), closing(connect(self._path, self._timeout_s)) as db:
            try:
                found = [str(row[0]) for row in db.execute(f"PRAGMA integrity_check({MAX_DAMAGE})").fetchall()]
            except sqlite3.DatabaseError as error:
                found = [str(error)]
        return () if found == ["ok"] else tuple(found)

    def size_bytes(self) -> int:
        """Return the size of the file, without its write-ahead log."""
        return self._path.stat().st_size

    def shared_secret(self) -> str | None:
        """See `EventStore`; a file is of one server."""
        return None

    def close(self) -> None:
        """See `EventStore`."""
        self._group.close()
        for lock, db in ((self._watching, self._watcher), (self._reading, self._reader), (self._writing, self._writer)):
            with lock:
                db.close()

    def _commit(self, rows: list[LogRow]) -> list[AppendOutcome]:
        """Store the rows of all callers in one transaction."""
        try:
            with self._transaction() as db:
                outcomes = self._judge.decide(self._known, rows)
                stored = [row for row, outcome in zip(rows, outcomes, strict=True) if outcome == "stored"]
                last = _insert(db, [row.stored for row in stored])
                self._known.flush()
        except BaseException:
            self._judge.undo()
            raise
        if stored:
            self._known.note(stored, last)
            self._newest.add(stored, last)
        return outcomes

    def _find(self, scan: ErasureScan) -> None:
        """Scan the log on a separate connection."""
        with self._errors("read"), closing(connect(self._path, self._timeout_s)) as db:
            scan.find(db, fetch_count(db, _LAST_SEQ))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block as one transaction, as the only writer of all processes."""
        db = self._writer
        with self._writing, self._errors("written"):
            try:
                self._files.check()
                with_retry(lambda: db.execute("BEGIN IMMEDIATE"), self._timeout_s)
                yield db
                db.execute("COMMIT")
                self._files.check()  # nothing is acknowledged that a deleted file took with it
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


def _insert(db: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> int:
    """Insert rows, and return the number of the last one; the others have the numbers before it."""
    rest = len(rows) % ROWS_AT_ONCE
    for start in range(0, len(rows) - rest, ROWS_AT_ONCE):
        db.execute(_INSERT_MANY, list(chain.from_iterable(rows[start : start + ROWS_AT_ONCE])))
    for row in rows[len(rows) - rest :]:
        db.execute(_INSERT, row)
    return fetch_count(db, "SELECT last_insert_rowid()")


def open_log(path: Path) -> SqliteStore:
    """Open an existing live log.

    Raises:
        ConfigError: the file does not exist.
        StoreError: it cannot be opened.
    """
    if not path.is_file():
        raise ConfigError(f"{path} does not exist: name the live log of `recsys serve`, its --store")
    return SqliteStore(path)
