"""The tables of a shop in PostgreSQL: their creation, the days of the log, and the texts in its columns.

| table | contents |
|---|---|
| `recsys_state` | one row: versions, last number, number of the last merge or erasure, secret of page tokens |
| `recsys_log` | all entries; partitioned by type, and events and impressions by the day on which they were stored |
| `recsys_ids` | the digests of the ids of events and impressions, each with the number of its entry |
| `recsys_documents` | the state of the shop: texts such as the placements; without a body, one that was removed |
| `recsys_journal` | lines that were added to a document, such as the audit log |

A number contains the day on which its entry was stored: `day << DAY_BITS | n`, with the day since 1970 by the clock of
the database, and `n` from 1. So the bounds of each day's partition are known before its first entry, a reader after a
number needs the partitions of later days only, and retention drops a partition at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, LiteralString

from psycopg import sql

from recsys.core.errors import StoreError
from recsys.eventlog.postgres.connection import Connection, Database
from recsys.eventlog.store import KEYED

POSTGRES_SCHEMA_VERSION: Final = 1

DAY_BITS: Final = 36
"""Bits of a number within a day: 68 billion entries per day, and numbers below 2**53 until the year 2328."""

MIN_SERVER: Final = 140_000

LOCK_KEY: Final = 7_262_739
"""Advisory lock of processes that create the tables at once."""

_TABLES: Final = """
CREATE TABLE recsys_state (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    schema_version integer NOT NULL,
    last_seq bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 0,
    rare_seq bigint NOT NULL DEFAULT 0,
    secret text NOT NULL DEFAULT gen_random_uuid()::text || gen_random_uuid()::text
) WITH (fillfactor = 10);
CREATE TABLE recsys_ids (digest bigint PRIMARY KEY, seq bigint NOT NULL);
CREATE TABLE recsys_log (
    seq bigint NOT NULL, kind text NOT NULL, key text, at double precision NOT NULL,
    received_at double precision NOT NULL, user_id text, visitor_id text, session_id text, basket_id text,
    digest bigint, body text NOT NULL
) PARTITION BY LIST (kind);
CREATE TABLE recsys_log_event PARTITION OF recsys_log FOR VALUES IN ('event') PARTITION BY RANGE (seq);
CREATE TABLE recsys_log_impression PARTITION OF recsys_log FOR VALUES IN ('impression') PARTITION BY RANGE (seq);
CREATE TABLE recsys_log_change PARTITION OF recsys_log DEFAULT;
CREATE INDEX ON recsys_log (seq);
CREATE INDEX ON recsys_log (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX ON recsys_log (visitor_id) WHERE visitor_id IS NOT NULL;
CREATE INDEX ON recsys_log (session_id)
    WHERE user_id IS NULL AND visitor_id IS NULL AND session_id IS NOT NULL;
CREATE INDEX ON recsys_log (basket_id)
    WHERE user_id IS NULL AND visitor_id IS NULL AND basket_id IS NOT NULL;
CREATE INDEX ON recsys_log_change (kind, seq);
"""

_DOCUMENT_TABLES: Final = """
CREATE SEQUENCE recsys_document_version;
CREATE TABLE recsys_documents (
    name text PRIMARY KEY, version bigint NOT NULL, body bytea, changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON recsys_documents (version);
CREATE TABLE recsys_journal (
    name text NOT NULL, version bigint NOT NULL, line bytea NOT NULL, PRIMARY KEY (name, version)
);
"""


# Names that a query looks up may be those of the start of the transaction; rows of the catalog are those of now.
_IS_THERE: Final = "SELECT count(*) FROM pg_class WHERE relname = %s AND relnamespace = current_schema()::regnamespace"


def prepare(db: Connection, database: Database) -> None:
    """Create the tables in the first schema of the search path, or check their version.

    Raises:
        StoreError: another version of the server or of the schema, or no schema that exists.
        psycopg.Error: the user may not create tables.
    """
    if db.info.server_version < MIN_SERVER:
        found = db.info.parameter_status("server_version")
        raise StoreError(f"the {database.name} is PostgreSQL {found}, expected 14 or newer: update it")
    if db.execute("SELECT current_schema()").fetchone() == (None,):
        raise StoreError(f"the {database.name} has no schema of its search path: create it, or name another")
    with db.transaction():
        if not _is_there(db, "recsys_documents"):  # the latest of the tables
            db.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))
        if not _is_there(db, "recsys_state"):
            db.execute(_TABLES)
            db.execute("INSERT INTO recsys_state (schema_version) VALUES (%s)", (POSTGRES_SCHEMA_VERSION,))
        if not _is_there(db, "recsys_documents"):
            db.execute(_DOCUMENT_TABLES)
        row = db.execute("SELECT schema_version FROM recsys_state").fetchone()
    if row != (POSTGRES_SCHEMA_VERSION,):
        raise StoreError(
            f"the live log in the {database.name} has schema version {row and row[0]}, this release reads"
            f" {POSTGRES_SCHEMA_VERSION}: use the release that wrote it, or another schema of the database"
        )


def _is_there(db: Connection, table: str) -> bool:
    return fetch_int(db, _IS_THERE, (table,)) > 0


def add_day(db: Connection, day: int) -> None:
    """Make the partitions of a day, if they are missing, inside the transaction of the only writer.

    They are attached rather than created in place: that waits for no reader, not even for a backup.

    Args:
        db: a connection in a transaction that has locked `recsys_state`.
        day: days since 1970.
    """
    for kind in KEYED:
        if day in days_of(db, kind):
            continue
        part, parent = sql.Identifier(partition_of(kind, day)), sql.Identifier(f"recsys_log_{kind}")
        db.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(part, parent))
        db.execute(
            sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
                parent, part, day << DAY_BITS, (day + 1) << DAY_BITS
            )
        )


def partition_of(kind: str, day: int) -> str:
    """Return the name of the partition of a type and a day, as days since 1970."""
    date = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)
    return f"recsys_log_{kind}_{date:%Y%m%d}"


def days_of(db: Connection, kind: str) -> list[int]:
    """Return the days that have a partition of a type, in order, as days since 1970."""
    names = db.execute(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = %s::regclass",
        (f"recsys_log_{kind}",),
    ).fetchall()
    dates = (datetime.strptime(name.rpartition("_")[2], "%Y%m%d").replace(tzinfo=UTC) for (name,) in names)
    return sorted((date - datetime(1970, 1, 1, tzinfo=UTC)).days for date in dates)


def to_text(value: str | None) -> str | None:
    r"""Return a text as a column has it: PostgreSQL's texts cannot contain a NUL character.

    >>> to_text("a\0b"), to_text(r"a\0b")
    ('a\\0b', 'a\\\\0b')
    """
    if value is None or ("\0" not in value and "\\" not in value):
        return value
    return value.replace("\\", "\\\\").replace("\0", "\\0")


def from_text(value: str | None) -> str | None:
    r"""Return the text that a column stands for.

    >>> from_text(to_text("a\0\\0b")) == "a\0\\0b"
    True
    """
    if value is None or "\\" not in value:
        return value
    return "\\".join(part.replace("\\0", "\0") for part in value.split("\\\\"))


def int_array(values: Iterable[int]) -> str:
    """Return integers as the text of an array, which takes a tenth of the time of the driver's form of a list.

    >>> int_array([3, -1])
    '{3,-1}'
    """
    return "{" + ",".join(map(str, values)) + "}"


def fetch_int(db: Connection, query: LiteralString, values: tuple[object, ...] = ()) -> int:
    """Return the first value of a query, an integer."""
    row = db.execute(query, values).fetchone()
    return int(row[0]) if row is not None else 0
