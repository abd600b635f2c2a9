"""Transactions of the log in PostgreSQL: one writer of all processes at a time, and the rows that it adds.

Readers continue from the last number that they have seen, so a number may only become visible after all smaller ones.
A sequence of the database does not promise that: it gives numbers before commits, and commits overtake each other. Here
the last number is the one row of `recsys_state`, and each transaction that writes locks that row first:

1. The lock is held until the commit or the rollback, so the next writer starts after the commit of the one before is
   visible: PostgreSQL makes a commit visible before it releases the locks of the transaction.
2. The next writer reads the last number after it has the lock, with a new snapshot, and gives larger numbers. So
   numbers ascend in the order of commits, and those of a rolled-back transaction are given again to the next.
3. A reader's snapshot that contains a commit contains all earlier ones. So it has every entry up to the largest number
   in it, and `last_seq` of a snapshot is never larger than what the snapshot has.

Throughput does not suffer much: writers of one disk wait for each other's sync of the log anyway, and a process commits
what has arrived meanwhile together (`recsys.eventlog.group_commit`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from recsys.eventlog.log_rows import LogRow
from recsys.eventlog.postgres.connection import Connection, Session
from recsys.eventlog.postgres.schema import DAY_BITS, add_day, to_text
from recsys.eventlog.store import EntryType

RARE: Final[tuple[EntryType, ...]] = ("merge", "unmerge", "erasure")
"""Types that decide about later entries: writers read them again after each."""

_LOCK: Final = (
    "SELECT last_seq, version, rare_seq, floor(extract(epoch FROM clock_timestamp()) / 86400)::bigint"
    " FROM recsys_state FOR UPDATE"
)
_COPY: Final = (
    "COPY recsys_log (seq, kind, key, at, received_at, user_id, visitor_id, session_id, basket_id, digest, body)"
    " FROM STDIN (FORMAT binary)"
)
_TYPES: Final = ("int8", "text", "text", "float8", "float8", "text", "text", "text", "text", "int8", "text")
_ADD_IDS: Final = (
    "INSERT INTO recsys_ids SELECT digest, seq FROM recsys_log WHERE seq BETWEEN %s AND %s AND digest IS NOT NULL"
    " ORDER BY digest ON CONFLICT (digest) DO UPDATE SET seq = excluded.seq"
)
_FINISH: Final = (
    "UPDATE recsys_state SET last_seq = %(last_seq)s, rare_seq = %(rare_seq)s, version = version + 1"
    " RETURNING pg_notify('recsys_' || 'recsys_log'::regclass::oid, version::text)"
)


class _Links(msgspec.Struct, frozen=True, gc=False):
    """The columns of a body that link anonymous entries to those of a user."""

    session_id: Any = None
    basket_id: Any = None


_links: Final = msgspec.json.Decoder(_Links).decode


@dataclass
class Writing:
    """One transaction of the only writer.

    Attributes:
        db: its connection.
        last_seq: number of the last entry, with those that this transaction adds.
        rare_seq: number of the last merge or erasure.
        version: of the log before this transaction.
        day: the day of new numbers, as days since 1970 by the clock of the database.
        known_days: days whose partitions are known to exist; changed.
    """

    db: Connection
    last_seq: int
    version: int
    rare_seq: int
    day: int
    known_days: set[int] = field(repr=False)

    def add(self, rows: Sequence[LogRow]) -> int:
        """Add rows with new numbers; return the number of the last entry."""
        first = max(self.last_seq, self.day << DAY_BITS) + 1
        return self.add_numbered(list(enumerate(rows, first)))

    def add_numbered(self, rows: Sequence[tuple[int, LogRow]]) -> int:
        """Add rows with their numbers, which ascend from the last one; return the number of the last entry."""
        if not rows:
            return self.last_seq
        for day in {rows[0][0] >> DAY_BITS, rows[-1][0] >> DAY_BITS} - self.known_days:
            add_day(self.db, day)
            self.known_days.add(day)
        with self.db.cursor().copy(_COPY) as copy:
            copy.set_types(_TYPES)
            for seq, row in rows:
                copy.write_row(_columns(seq, row))
                if row.entry_type in RARE:
                    self.rare_seq = seq
        if any(row.digest is not None for _, row in rows):
            self.db.execute(_ADD_IDS, (rows[0][0], rows[-1][0]))
        self.last_seq = rows[-1][0]
        return self.last_seq


@contextmanager
def writing(
    session: Session, known_days: set[int], on_commit: Callable[[int], None], done: str = "written"
) -> Iterator[Writing]:
    """Run a block as one transaction, as the only writer of all processes, and notify all readers of its commit.

    Args:
        session: of the writer.
        known_days: as in `Writing`.
        on_commit: gets the version of the log after the commit.
        done: for error messages.

    Raises:
        StoreError: the database failed, or a lock was not free in time.
    """
    days = set(known_days)
    with session.use(done) as db:
        with db.transaction():
            last_seq, version, rare_seq, day = db.execute(_LOCK).fetchone() or (0, 0, 0, 0)
            block = Writing(db, last_seq, version, rare_seq, day, days)
            yield block
            db.execute(_FINISH, {"last_seq": block.last_seq, "rare_seq": block.rare_seq})
        known_days |= days
        on_commit(block.version + 1)


def _columns(seq: int, row: LogRow) -> tuple[Any, ...]:
    try:
        links = _links(row.body)
    except msgspec.MsgspecError:
        links = _Links()
    session_id = None if links.session_id is None else str(links.session_id)
    basket_id = None if links.basket_id is None else str(links.basket_id)
    ids = map(to_text, (row.user_id, row.visitor_id, session_id, basket_id))
    return (seq, row.entry_type, to_text(row.key), row.at, row.received_at, *ids, row.digest, row.body)
