"""Backup and restoration of the live log's file; an erasure stays an erasure through both."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from recsys.core.errors import StoreError
from recsys.core.files import remove, replacing
from recsys.eventlog.log_rows import ERASED_SEQ
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.sqlite_dedup import keep_erased
from recsys.eventlog.sqlite_schema import FILE_MODE, fetch_count, store_error

BEFORE_RESTORE: Final = ".before-restore"
"""Added to the name of a log that a restoration has replaced."""

_COUNT: Final = "SELECT count(*) FROM log"
_LAST_SEQ: Final = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'log'"
_TOMBSTONES: Final = "SELECT key, at, received_at FROM log WHERE kind = 'erasure' ORDER BY seq"
_ERASED_IDS: Final = "SELECT digest FROM ids WHERE seq = ?"
_RAISE_SEQ: Final = (
    "INSERT OR REPLACE INTO sqlite_sequence (rowid, name, seq)"
    " SELECT (SELECT rowid FROM sqlite_sequence WHERE name = 'log'), 'log', ?"
)


@dataclass(frozen=True)
class Replaced:
    """What a restored log takes from the log that it replaces.

    Attributes:
        tombstones: key, moment and time of request of each erasure.
        erased_ids: digests of the ids of erased events.
        last_seq: its highest number: numbers are never reused.
    """

    tombstones: tuple[tuple[str, float, float], ...] = ()
    erased_ids: tuple[int, ...] = ()
    last_seq: int = 0


@dataclass(frozen=True)
class RestoreReport:
    """What a restoration did.

    Attributes:
        entries: number of entries of the restored log.
        removed: entries of the backup that were removed again, because their users were erased after the backup.
        replaced: the log that was in its place, under its new name; None if there was none.
        unreadable: why the replaced log could not be read, so that its erasures are not repeated; "" if it could.
    """

    entries: int
    removed: int
    replaced: Path | None
    unreadable: str


def backup_log(path: Path, target: Path) -> int:
    """Write a consistent copy of a log that others may use meanwhile, without the unused parts of its file.

    Args:
        path: the log.
        target: the copy; replaced as a whole or not at all, readable for its owner alone.

    Returns:
        The number of its entries.

    Raises:
        StoreError: the log cannot be read, or the copy cannot be written.
    """
    try:
        with replacing(target) as partial:
            return _copy(path, partial)
    except (sqlite3.Error, OSError) as error:
        raise store_error(path, f"copied to {target}", error) from error


def restore_log(backup: Path, path: Path, min_seq: int = 0) -> RestoreReport:
    """Put a backup in the place of a log that no process uses; the old log stays beside it.

    Users that the replaced log has erased are erased from the backup too, and new entries get higher numbers than any
    of both logs had.

    Args:
        backup: as `backup_log` wrote it; not changed.
        path: the log; it need not exist, its folder must.
        min_seq: the number that the next entry must exceed, as the `store_seq` of a bundle that will be served.

    Raises:
        StoreError: the backup is damaged or is not a log, another process uses the log, or a file cannot be written.
    """
    try:
        with replacing(path) as partial:
            entries = _copy(backup, partial)
            found, unreadable = _unused(path) if path.exists() else (Replaced(), "")
            removed = _continue(partial, found, max(min_seq, found.last_seq))
            old = _set_aside(path) if path.exists() else None
    except (sqlite3.Error, OSError) as error:
        raise store_error(backup, f"restored to {path}", error) from error
    return RestoreReport(entries - removed, removed, old, unreadable)


def _copy(path: Path, target: Path) -> int:
    """Copy a log in one read transaction, and check the copy."""
    if not path.is_file():
        raise StoreError(f"{path} does not exist: name a live log, or its backup")
    target.touch(FILE_MODE)
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as db:
        db.execute("VACUUM INTO ?", (str(target),))
    with closing(sqlite3.connect(target, isolation_level=None)) as copied:
        if (found := copied.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
            raise StoreError(f"{path} is damaged ({found}): use another backup")
        return fetch_count(copied, _COUNT)


def _unused(path: Path) -> tuple[Replaced, str]:
    """Read what a log passes on, and check that no process uses it; return an error's text if it cannot be read."""
    with closing(sqlite3.connect(path, timeout=0.0, isolation_level=None)) as db:
        try:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("BEGIN IMMEDIATE")
            tombstones = tuple(db.execute(_TOMBSTONES).fetchall())
            erased_ids = tuple(digest for (digest,) in db.execute(_ERASED_IDS, (ERASED_SEQ,)))
            return Replaced(tombstones, erased_ids, fetch_count(db, _LAST_SEQ)), ""
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise StoreError(f"{path} is in use: stop the server, then restore") from error
            return Replaced(), str(error)


def _continue(path: Path, replaced: Replaced, last_seq: int) -> int:
    """Repeat the erasures of the replaced log in a copy, and continue its numbers; return the removed entries."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(_RAISE_SEQ, (max(last_seq, fetch_count(db, _LAST_SEQ)),))
    by_moment: dict[tuple[float, float], list[str]] = defaultdict(list)
    with closing(SqliteStore(path)) as store:
        known = {(each.entry.key, each.entry.at) for each in store.read_types(["erasure"])}
        for key, at, received_at in replaced.tombstones:
            if (key, at) not in known:
                by_moment[received_at, at].append(key)
        removed = sum(
            sum(store.erase(keys, received_at, at).removed.values()) for (received_at, at), keys in by_moment.items()
        )
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        keep_erased(db, replaced.erased_ids)
        db.execute("PRAGMA journal_mode = DELETE")  # one file, until it is opened in its place
    return removed


def _set_aside(path: Path) -> Path:
    """Rename a log, with what its write-ahead log still has."""
    old = path.with_name(path.name + BEFORE_RESTORE)
    for suffix in ("", "-wal", "-shm"):
        remove(old.with_name(old.name + suffix))
        if (part := path.with_name(path.name + suffix)).exists():
            part.rename(old.with_name(old.name + suffix))
    return old
