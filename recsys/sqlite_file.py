"""The SQLite file of the live log: its schema, how it is opened, and how processes wait for each other."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from recsys.errors import StoreError

STORE_SCHEMA_VERSION: Final = 1

SCHEMA: Final = (
    "CREATE TABLE log (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT, at REAL NOT NULL,"
    " received_at REAL NOT NULL, user_id TEXT, visitor_id TEXT, digest BLOB, body TEXT NOT NULL)",
    "CREATE UNIQUE INDEX keyed ON log (digest) WHERE digest IS NOT NULL",
    "CREATE INDEX others ON log (kind) WHERE kind NOT IN ('event', 'impression')",
    f"PRAGMA user_version = {STORE_SCHEMA_VERSION}",
)

CHECKPOINT_PAGES: Final = 16_000
"""Pages of the write-ahead log after which it is worked in: ids are random, so that many at once are fewer writes."""

CACHE_KB: Final = 16_384
POLL_S: Final = 0.001

T = TypeVar("T")


def open_file(path: Path, timeout_s: float) -> sqlite3.Connection:
    """A connection that writes, to a store that is made if there is none.

    It does not wait by itself where another process writes: `patiently` does.

    Args:
        path: the file.
        timeout_s: how long to wait for another process that opens it.

    Raises:
        StoreError: the file cannot be opened, is no store or is of another schema version.
    """
    try:
        db = connect(path, 0.0)
        try:
            patiently(lambda: _prepare(db, path), timeout_s)
        except BaseException:
            db.close()
            raise
    except sqlite3.Error as error:
        raise store_error(path, "opened", error) from error
    return db


def connect(path: Path, timeout_s: float) -> sqlite3.Connection:
    """A connection that any thread may use, one at a time, without transactions of its own accord."""
    return sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)


def patiently(action: Callable[[], T], timeout_s: float) -> T:
    """Do something once no other process stands in its way; SQLite's own waiting grows as coarse as 0.1 s.

    Raises:
        sqlite3.OperationalError: whatever the action raises, and that the file is locked still after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(POLL_S)


def count(db: sqlite3.Connection, sql: str) -> int:
    """The first value of what a query gives, a whole number."""
    return int(db.execute(sql).fetchone()[0])


def store_error(path: Path, done: str, error: sqlite3.Error) -> StoreError:
    """What SQLite says, with the file and the remedy."""
    return StoreError(f"{path} could not be {done} ({error}): check the file, its folder, the disk's space and rights")


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    """Check the file, or fill an empty one; other processes may be doing the same."""
    db.execute("BEGIN IMMEDIATE")
    try:
        found, n_tables = count(db, "PRAGMA user_version"), count(db, "SELECT count(*) FROM sqlite_master")
        if found != STORE_SCHEMA_VERSION:
            if found or n_tables:
                raise StoreError(
                    f"{path} has schema version {found}, this release keeps {STORE_SCHEMA_VERSION}: export it with the"
                    " release that wrote it, or name another file"
                )
            for sql in SCHEMA:
                db.execute(sql)
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
    pragmas = ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", f"cache_size = -{CACHE_KB}")
    for pragma in (*pragmas, f"wal_autocheckpoint = {CHECKPOINT_PAGES}"):
        db.execute(f"PRAGMA {pragma}")
