"""Copies the live log of a file into a database, also while a server writes to the file.

Entries keep their numbers, so bundles that were trained on the file go on from the same place. A second run copies what
was added since, and removes what was removed since: erased users, retention, changes that the shop's files contain.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from recsys.core.errors import ConfigError
from recsys.eventlog.log_rows import ERASED_SEQ, LogRow
from recsys.eventlog.postgres.connection import Connection
from recsys.eventlog.postgres.removal import KEEP_ERASED
from recsys.eventlog.postgres.schema import DAY_BITS, fetch_int, int_array
from recsys.eventlog.postgres.store import PostgresStore
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.sqlite_schema import store_error

COPY_BATCH: Final = 5_000
COMPARE_SPAN: Final = 200_000
"""Numbers that are compared at once."""

_LAST: Final = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'log'"
_ROWS: Final = (
    "SELECT seq, kind, key, at, received_at, user_id, visitor_id, digest, body FROM log WHERE seq > ? AND seq <= ?"
    " ORDER BY seq LIMIT ?"
)
_SEQS: Final = "SELECT seq FROM log WHERE seq > ? AND seq <= ?"
_ERASED: Final = "SELECT digest FROM ids WHERE seq = ?"

_COPIED_SEQS: Final = "SELECT seq FROM recsys_log WHERE seq > %s AND seq <= %s"
_REMOVE: Final = """
WITH gone AS (DELETE FROM recsys_log WHERE seq = ANY(%s::bigint[]) RETURNING digest, seq),
forgotten AS (DELETE FROM recsys_ids USING gone WHERE recsys_ids.digest = gone.digest AND recsys_ids.seq = gone.seq)
SELECT count(*) FROM gone
"""


@dataclass(frozen=True)
class MigrationReport:
    """What a migration did.

    Attributes:
        copied: number of entries that were copied by this run.
        removed: number of entries that an earlier run had copied and that the file has not any more.
        unreadable: number of entries that no reader can read, which were left out.
        last_seq: number of the last entry of the file.
    """

    copied: int
    removed: int
    unreadable: int
    last_seq: int


def migrate_log(
    path: Path, store: PostgresStore, progress: Callable[[float], None] = lambda share: None
) -> MigrationReport:
    """Copy a log into a database that has no entries of its own.

    Args:
        path: the file; a server may use it meanwhile.
        store: of the database.
        progress: gets the share that is done, in [0, 1].

    Raises:
        ConfigError: the file does not exist, or the database has other entries than those of an earlier run.
        StoreError: the file cannot be read, or the database cannot be written.
    """
    if not path.is_file():
        raise ConfigError(f"{path} does not exist: name the live log of `recsys serve`, its --store")
    SqliteStore(path).close()  # a log of an earlier release gets the newest schema, and another file is refused
    first = store.last_seq()
    if first >> DAY_BITS:
        raise ConfigError("the database has entries of its own already: use an empty one, or another schema of it")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as file:
            last = int(file.execute(_LAST).fetchone()[0])
            if first > last:
                raise ConfigError(f"the database has entries that {path} does not have: name the file of the first run")
            copied = unreadable = 0
            for rows, n_left_out, up_to in _batches(file, first, last):
                store.import_rows(rows, up_to)
                copied, unreadable = copied + len(rows), unreadable + n_left_out
                progress(up_to / max(last, 1))
            erased = [digest for (digest,) in file.execute(_ERASED, (ERASED_SEQ,))]
            removed = _remove_what_is_gone(file, store, last, erased)
    except sqlite3.Error as error:
        raise store_error(path, "read", error) from error
    return MigrationReport(copied, removed, unreadable, last)


def _batches(file: sqlite3.Connection, first: int, last: int) -> Iterator[tuple[list[tuple[int, LogRow]], int, int]]:
    """Yield rows with their numbers, how many are left out, and the number up to which they go."""
    after = first
    while after < last:
        found = file.execute(_ROWS, (after, last, COPY_BATCH)).fetchall()
        after = found[-1][0] if len(found) == COPY_BATCH else last
        rows = [(seq, LogRow(*columns)) for seq, *columns in found if _is_readable(columns)]
        yield rows, len(found) - len(rows), after


def _is_readable(columns: list[Any]) -> bool:
    """Return whether a row has the types of its columns: another program may have written it."""
    kind, key, at, received_at, user_id, visitor_id, digest, body = columns
    return (
        isinstance(kind, str)
        and all(isinstance(each, str | None) for each in (key, user_id, visitor_id))
        and all(isinstance(each, float) for each in (at, received_at))
        and isinstance(digest, int | None)
        and isinstance(body, str)
        and "\0" not in body + kind
    )


def _remove_what_is_gone(file: sqlite3.Connection, store: PostgresStore, last: int, erased: list[int]) -> int:
    removed = 0
    with store.rewriting() as db:
        for low in range(0, last, COMPARE_SPAN):
            span = (low, min(low + COMPARE_SPAN, last))
            gone = _seqs(db, span) - {seq for (seq,) in file.execute(_SEQS, span)}
            removed += fetch_int(db, _REMOVE, (int_array(gone),)) if gone else 0
        db.execute(KEEP_ERASED, (ERASED_SEQ, int_array(erased)))
    return removed


def _seqs(db: Connection, span: tuple[int, int]) -> set[int]:
    return {seq for (seq,) in db.execute(_COPIED_SEQS, span).fetchall()}
