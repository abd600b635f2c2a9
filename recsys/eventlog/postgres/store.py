"""The live log in a PostgreSQL database, written and read by the processes of several servers."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from typing import Final

import psycopg
from psycopg import sql

from recsys.core.errors import DataError, StoreError
from recsys.core.ids import SESSION
from recsys.eventlog.group_commit import GroupCommit
from recsys.eventlog.log_rows import LogRow, encoded_rows, row_of, stored_entry, view_entries
from recsys.eventlog.outcomes import AppendJudge
from recsys.eventlog.postgres import removal
from recsys.eventlog.postgres.append import Writing, writing
from recsys.eventlog.postgres.connection import Connection, Database, Session
from recsys.eventlog.postgres.known import PostgresEntries
from recsys.eventlog.postgres.listener import Listener
from recsys.eventlog.postgres.schema import fetch_int, from_text, prepare
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

_READ_AFTER: Final = (
    "SELECT seq, kind, key, at, received_at, body FROM recsys_log WHERE seq > %s AND kind <> ALL(%s)"
    " ORDER BY seq LIMIT %s"
)
_READ_FOR_VIEW: Final = (
    "SELECT seq, key, at, body, nullif(kind, 'event'), received_at FROM recsys_log"
    " WHERE seq > %s AND kind <> 'impression' ORDER BY seq LIMIT %s"
)
_READ_TYPES: Final = (
    "SELECT seq, kind, key, at, received_at, body FROM recsys_log_change WHERE kind = ANY(%s) ORDER BY seq"
)
_LAST_SEQ: Final = "SELECT last_seq FROM recsys_state"
_NEWER: Final = "SELECT count(*) FROM recsys_log WHERE seq > %s"
_WITHOUT_ID: Final = (
    "SELECT count(*) FROM recsys_log WHERE digest IS NOT NULL"
    " AND NOT EXISTS (SELECT FROM recsys_ids WHERE recsys_ids.digest = recsys_log.digest)"
)
_SIZE: Final = (
    "SELECT sum(pg_total_relation_size(relid))::bigint FROM (SELECT relid FROM pg_partition_tree('recsys_log')"
    " UNION ALL SELECT 'recsys_ids'::regclass) AS parts"
)
_OWN_XID: Final = "SELECT pg_current_xact_id()::xid::text"
_OLDER_SNAPSHOTS: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND age(backend_xmin) > age(%s::xid)"
)

POLL_S: Final = 0.02

logger = logging.getLogger(__name__)


class PostgresStore:
    """An `EventStore` in a database. Each process opens its own, after any fork.

    `version` is known from notifications: a commit of this process changes it at once, one of another process within
    milliseconds, and within about a second where a notification is late. While the database is lost every method raises
    `StoreError` at once; a thread tries to reach it, and then all go on.

    Args:
        url: address of the database, `postgresql://user@host:5432/name`. The tables are in the first schema of the
            search path; another one is chosen by `?options=-csearch_path%3Dshop`.
        max_waiting: entries that may wait for the next commit of this process.
        timeout_s: how long to wait for commits of other processes.

    Raises:
        ConfigError: the address is not one.
        StoreError: the database cannot be reached, or has another schema version.
    """

    def __init__(self, url: str, max_waiting: int = 50_000, timeout_s: float = 10.0) -> None:
        self._database, self._timeout_s = Database(url), timeout_s
        self._judge, self._known_days = AppendJudge(), set[int]()
        try:
            with self._database.connect() as db:
                prepare(db, self._database)
        except psycopg.Error as error:
            raise self._database.error("opened", error) from error
        self._listener = Listener(self._database, self._reopen)
        limit = f"SET lock_timeout = {round(timeout_s * 1000)}; SET idle_in_transaction_session_timeout = 30000"
        self._writer = Session(self._database, self._listener.check, limit)
        self._reader = Session(self._database, self._listener.check, limit)
        self._cleaner = Session(self._database, self._listener.check, limit)
        self._group = GroupCommit(self._commit, max_waiting, "store postgres")

    def append(self, entries: Sequence[LogEntry | LogRow]) -> list[AppendOutcome]:
        """See `EventStore`. Concurrent callers share one commit."""
        return self.submit(entries).result()

    def submit(self, entries: Sequence[LogEntry | LogRow]) -> Future[list[AppendOutcome]]:
        """See `EventStore`. The caller's thread encodes; another thread commits."""
        rows = encoded_rows(entries)
        self._listener.check()
        return self._group.submit(rows)

    def read_after(self, after_seq: int, limit: int, without: Sequence[EntryType] = ()) -> list[StoredEntry]:
        """See `EventStore`."""
        with self._reader.use("read") as db:
            rows = db.execute(_READ_AFTER, (after_seq, list(without), limit)).fetchall()
        return [stored_entry((seq, kind, from_text(key), *rest)) for seq, kind, key, *rest in rows]

    def read_for_view(self, after_seq: int, limit: int) -> list[StoredEvent | StoredEntry]:
        """See `EventStore`. Only the columns that are needed are decoded."""
        with self._reader.use("read") as db:
            rows = db.execute(_READ_FOR_VIEW, (after_seq, limit)).fetchall()
        return view_entries((seq, from_text(key), *rest) for seq, key, *rest in rows)

    def version(self) -> int:
        """See `EventStore`. It takes about a microsecond, so every request can call it."""
        return self._listener.version()

    def read_types(self, entry_types: Sequence[EntryType]) -> list[StoredEntry]:
        """See `EventStore`. The rare types have a partition of their own."""
        if common := sorted(set(entry_types) & set(KEYED)):
            raise DataError(f"{common[0]!r} is not a rare type: use `read_after`")
        with self._reader.use("read") as db:
            rows = db.execute(_READ_TYPES, (list(entry_types),)).fetchall()
        return [stored_entry((seq, kind, from_text(key), *rest)) for seq, kind, key, *rest in rows]

    def last_seq(self) -> int:
        """See `EventStore`."""
        with self._reader.use("read") as db:
            return fetch_int(db, _LAST_SEQ)

    def erase(self, keys: Iterable[str], received_at: float, at: float | None = None) -> ErasureReceipt:
        """See `EventStore`. Entries are found by indexes; `purge` says what becomes of their bytes."""
        erased = sorted(set(keys))
        if not erased:
            raise DataError("there is no key to erase: name a user's or a visitor's id")
        at = received_at if at is None else at
        with self._write() as block:
            found = removal.erase_users(block.db, erased)
            gone = [*erased, *(SESSION + session_id for session_id in found.sessions)]
            last = block.add([row_of(LogEntry("erasure", key, at, received_at, {}), 0) for key in gone])
        try:
            is_purged = self._vacuum(found.tables)
        except StoreError as error:  # the erasure is durable: its receipt must not be lost
            logger.warning("the removed bytes of an erasure are not overwritten yet: %s", error)
            is_purged = False
        return ErasureReceipt(last, dict(found.removed), found.n_linked, is_purged)

    def purge(self) -> bool:
        """See `EventStore`. Vacuums the tables once no transaction can see the removed entries any more.

        Nobody can read them then, and their space in the tables is used again. Bytes may remain in that space until it
        is used, and in the write-ahead log and its archives until they are recycled; `compact` writes the tables anew.
        """
        return self._vacuum(["recsys_log", "recsys_ids"])

    def _vacuum(self, tables: Sequence[str]) -> bool:
        """Vacuum some tables, after a wait for older transactions; return whether these have ended."""
        with self._cleaner.use("purged") as db:
            (xid,) = db.execute(_OWN_XID).fetchone() or ("0",)
            deadline = time.monotonic() + self._timeout_s
            while is_seen := bool(fetch_int(db, _OLDER_SNAPSHOTS, (xid,))):
                if time.monotonic() > deadline:
                    break
                time.sleep(POLL_S)
            for table in tables:
                db.execute(sql.SQL("VACUUM {}").format(sql.Identifier(table)))
        return not is_seen

    def compact(self) -> bool:
        """See `EventStore`. Rewrites the tables, during which readers and writers wait for seconds per gigabyte."""
        with self._cleaner.use("compacted") as db:
            db.execute("VACUUM (FULL, ANALYZE) recsys_log, recsys_ids")
        return self.purge()

    def delete_before(self, before: float, entry_types: Sequence[EntryType] = KEYED) -> int:
        """See `EventStore`. Partitions of whole days are dropped."""
        if others := sorted(set(entry_types) - set(KEYED)):
            raise DataError(f"{others[0]!r} has no retention: give some of {sorted(KEYED)}")
        return sum(removal.delete_before(self._cleaner, self._write, before, kind) for kind in entry_types)

    def delete_changes(self, up_to_seq: int, entry_types: Sequence[EntryType] = ITEM_CHANGES) -> int:
        """See `EventStore`. It uses short transactions."""
        changes = {*ITEM_CHANGES, *USER_CHANGES}
        if others := sorted(set(entry_types) - changes):
            raise DataError(f"{others[0]!r} is not a change of an item or user: give some of {sorted(changes)}")
        return removal.delete_changes(self._write, up_to_seq, entry_types)

    def import_rows(self, rows: Sequence[tuple[int, LogRow]], up_to_seq: int) -> None:
        """Store rows of another log with the numbers that they have there, and continue after a number.

        Args:
            rows: with ascending numbers, higher than the last one here.
            up_to_seq: the new last number, at least that of the last row.
        """
        with self._write() as block:
            block.add_numbered(rows)
            block.last_seq = up_to_seq

    @contextmanager
    def rewriting(self) -> Iterator[Connection]:
        """Yield a connection in a transaction beside which nothing is written."""
        with self._write() as block:
            yield block.db

    def damage(self) -> tuple[str, ...]:
        """Return what is wrong between the tables; the database checks its files itself."""
        with self._reader.use("read") as db:
            n_newer = fetch_int(db, _NEWER, (fetch_int(db, _LAST_SEQ),))
            n_unknown = fetch_int(db, _WITHOUT_ID)
        found = ((n_newer, "have a higher number than the last one"), (n_unknown, "have an id that is not indexed"))
        return tuple(f"{n} entries {what}" for n, what in found if n)

    def size_bytes(self) -> int:
        """Return the space of the tables and their indexes, in bytes."""
        with self._reader.use("read") as db:
            return fetch_int(db, _SIZE)

    def shared_secret(self) -> str | None:
        """See `EventStore`."""
        with self._reader.use("read") as db:
            row = db.execute("SELECT secret FROM recsys_state").fetchone()
        return None if row is None else str(row[0])

    def close(self) -> None:
        """See `EventStore`."""
        self._group.close()
        self._listener.close()
        for session in (self._writer, self._reader, self._cleaner):
            session.close()

    def _commit(self, rows: list[LogRow]) -> list[AppendOutcome]:
        """Store the rows of all callers in one transaction."""
        try:
            with self._write() as block:
                outcomes = self._judge.decide(PostgresEntries(block.db, block.rare_seq), rows)
                block.add([row for row, outcome in zip(rows, outcomes, strict=True) if outcome == "stored"])
        except BaseException:
            self._judge.undo()
            raise
        return outcomes

    def _write(self) -> AbstractContextManager[Writing]:
        return writing(self._writer, self._known_days, self._listener.note)

    def _reopen(self) -> None:
        for session in (self._writer, self._reader, self._cleaner):
            session.reopen()
