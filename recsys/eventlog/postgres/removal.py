"""Removal from the log in PostgreSQL: erasures, retention by dropping partitions, and outdated changes.

The id of a removed event is unknown again: a row of `recsys_ids` whose entry is gone counts for nothing, so it may be
removed some time after the entry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Final, NamedTuple

from psycopg import sql

from recsys.core.errors import StoreError
from recsys.eventlog.log_rows import ERASED_SEQ
from recsys.eventlog.postgres.append import Writing
from recsys.eventlog.postgres.connection import Connection, Session
from recsys.eventlog.postgres.schema import DAY_BITS, days_of, from_text, int_array, partition_of, to_text
from recsys.eventlog.store import EntryType

REMOVE_BATCH: Final = 10_000
"""Entries per transaction where a partition is not dropped."""

_OWNED: Final = (
    "DELETE FROM recsys_log WHERE user_id = ANY(%(keys)s) OR visitor_id = ANY(%(keys)s)"
    " RETURNING kind, digest, session_id, basket_id, tableoid::regclass::text"
)
_ANONYMOUS: Final = (
    "DELETE FROM recsys_log WHERE kind IN ('event', 'impression') AND user_id IS NULL AND visitor_id IS NULL"
    " AND (session_id = ANY(%(sessions)s) OR basket_id = ANY(%(baskets)s))"
    " RETURNING kind, digest, session_id, basket_id, tableoid::regclass::text"
)
KEEP_ERASED: Final = (
    "INSERT INTO recsys_ids SELECT *, %s FROM unnest(%s::bigint[])"
    " ON CONFLICT (digest) DO UPDATE SET seq = excluded.seq"
)
_FORGET: Final = "DELETE FROM recsys_ids WHERE digest = ANY(%s::bigint[])"
_FORGET_DAY: Final = (
    "DELETE FROM recsys_ids WHERE seq >= %(first)s AND seq < %(end)s AND NOT EXISTS (SELECT FROM recsys_log"
    " WHERE recsys_log.seq = recsys_ids.seq AND recsys_log.seq >= %(first)s AND recsys_log.seq < %(end)s)"
)
_DELETE_SOME: Final = """
WITH gone AS (
    DELETE FROM {part} WHERE seq IN (SELECT seq FROM {part} WHERE at < %(before)s LIMIT %(limit)s)
    RETURNING digest, seq
), forgotten AS (DELETE FROM recsys_ids USING gone WHERE recsys_ids.digest = gone.digest AND recsys_ids.seq = gone.seq)
SELECT count(*) FROM gone
"""
_DELETE_CHANGES: Final = (
    "DELETE FROM recsys_log_change WHERE seq IN (SELECT seq FROM recsys_log_change WHERE kind = ANY(%s) AND seq <= %s"
    " LIMIT %s)"
)

_LOCK: Final = "SELECT pg_advisory_lock('recsys_log'::regclass::oid::bigint)"
_UNLOCK: Final = "SELECT pg_advisory_unlock('recsys_log'::regclass::oid::bigint)"

Write = Callable[[], AbstractContextManager[Writing]]


class ErasedEntries(NamedTuple):
    """What an erasure removed.

    Attributes:
        removed: numbers of entries by type.
        n_linked: how many of them are anonymous.
        sessions: the sessions of these, sorted.
        tables: the partitions that had them, sorted.
    """

    removed: Counter[str]
    n_linked: int
    sessions: list[str]
    tables: list[str]


def erase_users(db: Connection, keys: Sequence[str]) -> ErasedEntries:
    """Remove the entries of users, and anonymous entries of their sessions and baskets, inside a transaction.

    Args:
        db: the writer's connection.
        keys: user ids and visitor ids.
    """
    owned = db.execute(_OWNED, {"keys": [to_text(key) for key in keys]}).fetchall()
    sessions, baskets = ({row[place] for row in owned} - {None} for place in (2, 3))
    linked = (
        db.execute(_ANONYMOUS, {"sessions": list(sessions), "baskets": list(baskets)}).fetchall()
        if sessions or baskets
        else []
    )
    removed = [*owned, *linked]
    db.execute(_FORGET, (_digests(removed, "impression"),))
    db.execute(KEEP_ERASED, (ERASED_SEQ, _digests(removed, "event")))
    found = {from_text(row[2]) for row in linked} - {None}
    tables = sorted({row[4] for row in removed})
    return ErasedEntries(Counter(row[0] for row in removed), len(linked), sorted(filter(None, found)), tables)


def _digests(removed: Sequence[tuple[Any, ...]], kind: EntryType) -> str:
    return int_array(digest for of_kind, digest, *_ in removed if of_kind == kind and digest is not None)


def delete_before(session: Session, write: Write, before: float, kind: EntryType) -> int:
    """Remove events or impressions before a moment.

    A day that has ended and has nothing later is dropped as a whole, which takes milliseconds; of other days, entries
    are deleted, while others write.

    Returns:
        The number of removed entries.
    """
    removed = 0
    with _only_one(session):
        with session.use("read") as db:
            days, today = days_of(db, kind), _current_day(db)
        for day in days:
            dropped = _drop_day(session, write, before, kind, day) if day < today else None
            removed += _delete_of_day(session, before, kind, day) if dropped is None else dropped
    if removed:
        with write():
            pass  # readers are notified
    return removed


def delete_changes(write: Write, up_to_seq: int, kinds: Sequence[EntryType]) -> int:
    """Remove changes up to a number, in short transactions; return their number."""
    removed = 0
    while True:
        with write() as block:
            dropped = block.db.execute(_DELETE_CHANGES, (list(kinds), up_to_seq, REMOVE_BATCH)).rowcount
        removed += dropped
        if dropped < REMOVE_BATCH:
            return removed


@contextmanager
def _only_one(session: Session) -> Iterator[None]:
    """Wait until no other process removes old entries of this log; a lost connection ends its turn."""
    with session.use("locked") as db:
        db.execute(_LOCK)
    try:
        yield
    finally:
        with suppress(StoreError), session.use("unlocked") as db:
            db.execute(_UNLOCK)


def _current_day(db: Connection) -> int:
    row = db.execute("SELECT last_seq FROM recsys_state").fetchone()
    return (int(row[0]) >> DAY_BITS) if row else 0


def _drop_day(session: Session, write: Write, before: float, kind: str, day: int) -> int | None:
    """Drop a partition to which nothing is added any more; None if it has later entries."""
    part = sql.Identifier(partition_of(kind, day))
    count = sql.SQL("SELECT count(*), count(*) FILTER (WHERE NOT at < %s) FROM {}").format(part)
    with session.use("read") as db:
        n, n_later = db.execute(count, (before,)).fetchone() or (0, 1)
    if n_later:
        return None
    with write() as block:
        block.db.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(part))
        block.known_days.discard(day)
    with session.use("written") as db:
        db.execute(_FORGET_DAY, {"first": day << DAY_BITS, "end": (day + 1) << DAY_BITS})
    return int(n)


def _delete_of_day(session: Session, before: float, kind: str, day: int) -> int:
    query, removed = sql.SQL(_DELETE_SOME).format(part=sql.Identifier(partition_of(kind, day))), 0
    while True:
        with session.use("written") as db:
            row = db.execute(query, {"before": before, "limit": REMOVE_BATCH}).fetchone()
        removed += row[0] if row else 0
        if not row or row[0] < REMOVE_BATCH:
            return removed
