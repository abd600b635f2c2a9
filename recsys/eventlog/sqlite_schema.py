"""The SQLite file of the live log: its schema, opening and migration, and waiting for other processes."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from recsys.core.errors import StoreError
from recsys.eventlog.log_rows import digest_of
from recsys.eventlog.sqlite_dedup import FILL, IDS_SCHEMA

STORE_SCHEMA_VERSION: Final = 2

SCHEMA: Final = (
    "CREATE TABLE log (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT, at REAL NOT NULL,"
    " received_at REAL NOT NULL, user_id TEXT, visitor_id TEXT, digest INTEGER, body TEXT NOT NULL)",
    "CREATE INDEX others ON log (kind) WHERE kind NOT IN ('event', 'impression')",
    *IDS_SCHEMA,
    *FILL,
    f"PRAGMA user_version = {STORE_SCHEMA_VERSION}",
)
MIGRATIONS: Final = {
    1: (
        "DROP INDEX keyed",
        "UPDATE log SET digest = digest_of(kind, key) WHERE digest IS NOT NULL",
        *IDS_SCHEMA,
        *FILL,
        "PRAGMA user_version = 2",
    ),
}
"""Statements that migrate each older version to the next, in one transaction, in seconds per million events."""

CHECKPOINT_PAGES: Final = 16_000
"""Pages of the write-ahead log before a checkpoint: large checkpoints write fewer pages."""

CACHE_KB: Final = 16_384
FILE_MODE: Final = 0o600
POLL_S: Final = 0.001

T = TypeVar("T")


class OpenedFiles:
    """The files of a store as they were opened; others may delete or replace them.

    Besides the store and its write-ahead log there is the index of the log, in which processes lock each other out: one
    that makes a new index does not see the locks of the others, and both write to the same pages.

    Args:
        path: of the store.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._paths = (path, *(Path(f"{path}{suffix}") for suffix in ("-wal", "-shm")))
        self._opened: dict[Path, tuple[int, int]] = {}

    def check(self) -> None:
        """Check that the files are those of the first check; takes a few microseconds.

        SQLite makes the write-ahead log and its index when it first needs them, and keeps them while the store is open.

        Raises:
            StoreError: a file was deleted or replaced: what is written to it would be lost.
        """
        for path in self._paths:
            found = _identity(path)
            if found is not None:
                self._opened.setdefault(path, found)
            if self._opened.get(path) != found:
                raise StoreError(
                    f"{path} was deleted or replaced while the store was open: nothing is stored; put the file back,"
                    " or restart the server to open the new one"
                )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def open_file(path: Path, timeout_s: float) -> sqlite3.Connection:
    """Open a connection that writes, to a store that is created if it does not exist.

    The connection does not wait for other writers by itself: `with_retry` does.

    Args:
        path: the file.
        timeout_s: how long to wait for another process that opens the file.

    Raises:
        StoreError: the file cannot be opened, is not a store or has another schema version.
    """
    try:
        _create(path)
        db = connect(path, 0.0)
        try:
            db.create_function("digest_of", 2, digest_of, deterministic=True)
            with_retry(lambda: _prepare(db, path), timeout_s)
        except BaseException:
            db.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise store_error(path, "opened", error) from error
    return db


def _create(path: Path) -> None:
    """Create the file, if it does not exist, for its owner alone: it contains what shoppers did."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, FILE_MODE))


def connect(path: Path, timeout_s: float) -> sqlite3.Connection:
    """Open a connection in autocommit mode that any thread may use, one at a time."""
    return sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)


def with_retry(action: Callable[[], T], timeout_s: float) -> T:
    """Repeat an action until no other process blocks it; SQLite's own waiting has steps of up to 0.1 s.

    Raises:
        sqlite3.OperationalError: the action raised it, or the file is still locked after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(POLL_S)


def fetch_count(db: sqlite3.Connection, sql: str, values: tuple[object, ...] = ()) -> int:
    """Return the first value of a query, an integer."""
    return int(db.execute(sql, values).fetchone()[0])


def store_error(path: Path, done: str, error: sqlite3.Error | OSError) -> StoreError:
    """Build the error for one of SQLite's, with the file and the remedy."""
    return StoreError(f"{path} could not be {done} ({error}): check the file, its folder, the disk's space and rights")


def _run(db: sqlite3.Connection, statements: Iterable[str]) -> None:
    for sql in statements:
        db.execute(sql)


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    """Check the file, migrate an older one or create the tables; other processes may do the same at once."""
    db.execute("BEGIN IMMEDIATE")
    try:
        found, n_tables = fetch_count(db, "PRAGMA user_version"), fetch_count(db, "SELECT count(*) FROM sqlite_master")
        if not found and not n_tables:
            _run(db, SCHEMA)
        while (found := fetch_count(db, "PRAGMA user_version")) in MIGRATIONS:
            _run(db, MIGRATIONS[found])
        if found != STORE_SCHEMA_VERSION:
            raise StoreError(
                f"{path} has schema version {found}, this release reads {STORE_SCHEMA_VERSION}: export it with the"
                " release that wrote it, or name another file"
            )
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
    pragmas = ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", f"cache_size = -{CACHE_KB}")
    for pragma in (*pragmas, f"wal_autocheckpoint = {CHECKPOINT_PAGES}"):
        db.execute(f"PRAGMA {pragma}")
