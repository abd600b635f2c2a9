"""The state of a shop in a PostgreSQL database: documents that several servers read from memory and change in turn."""

from __future__ import annotations

import errno
import threading
from collections.abc import Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import PurePosixPath
from typing import Final, NamedTuple

import psycopg

from recsys.core.documents import Document
from recsys.core.files import DEFAULT_MODE
from recsys.eventlog.postgres.connection import Connection, Database, Session
from recsys.eventlog.postgres.listener import Listener
from recsys.eventlog.postgres.schema import fetch_int, prepare

TABLE: Final = "recsys_documents"
TIMEOUT_S: Final = 10.0
"""How long to wait for changes of other processes."""

LONGEST_CHANGE_S: Final = 600
"""After which the database ends a change: its process hangs."""

_LOCK: Final = "LOCK TABLE recsys_documents IN SHARE ROW EXCLUSIVE MODE"
_VERSION: Final = "SELECT coalesce(max(version), 0) FROM recsys_documents"
_ALL: Final = (
    "SELECT name, version, CASE WHEN strpos(name, '/') = 0"
    " AND NOT EXISTS (SELECT FROM recsys_journal WHERE recsys_journal.name = recsys_documents.name) THEN body END"
    " FROM recsys_documents WHERE body IS NOT NULL"
)
_READ: Final = (
    "SELECT body || coalesce((SELECT string_agg(line, ''::bytea ORDER BY version) FROM recsys_journal"
    " WHERE recsys_journal.name = recsys_documents.name), ''::bytea)"
    " FROM recsys_documents WHERE name = %s AND body IS NOT NULL"
)
_WRITE: Final = (
    "INSERT INTO recsys_documents (name, version, body) VALUES (%s, nextval('recsys_document_version'), %s)"
    " ON CONFLICT (name) DO UPDATE SET version = excluded.version, body = excluded.body, changed_at = now()"
    " RETURNING version"
)
_CLEAR: Final = "DELETE FROM recsys_journal WHERE name = %s"
_APPEND: Final = r"""
WITH document AS (
    INSERT INTO recsys_documents (name, version, body) VALUES (%s, nextval('recsys_document_version'), '')
    ON CONFLICT (name) DO UPDATE
        SET version = excluded.version, changed_at = now(), body = CASE
            WHEN recsys_documents.body IS NULL THEN ''
            WHEN recsys_documents.body = '' THEN ''
            WHEN EXISTS (SELECT FROM recsys_journal WHERE recsys_journal.name = recsys_documents.name)
                THEN recsys_documents.body
            WHEN substr(recsys_documents.body, length(recsys_documents.body)) = '\x0a' THEN recsys_documents.body
            ELSE recsys_documents.body || '\x0a' END
    RETURNING name, version
)
INSERT INTO recsys_journal SELECT name, version, %s FROM document RETURNING version
"""
_NOTIFY: Final = "SELECT pg_notify('recsys_' || 'recsys_documents'::regclass::oid, '')"


class _Row(NamedTuple):
    """One document in memory.

    Attributes:
        version: differs from that of every other text that was ever written.
        body: the text; None of documents in folders, which are read when they are asked for.
    """

    version: int
    body: bytes | None


class _Change:
    """One transaction that changes documents: what its thread reads meanwhile."""

    def __init__(self, db: Connection, rows: Mapping[str, _Row]) -> None:
        self.db, self.rows, self.version = db, dict(rows), 0


class PostgresDocuments:
    """The documents of one shop. Each process opens its own, after any fork.

    Documents outside of folders are in the memory of each process: to read them, or the signature of any document,
    takes no lock and no query. A change of this process is there at once, one of another process milliseconds after its
    commit. While the database is lost, what is in memory stays, and all else raises `StoreError` at once.

    Args:
        url: address of the database, as in `PostgresStore`.

    Raises:
        ConfigError: the address is not one.
        StoreError: the database cannot be reached, or has another schema version.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self._rows: Mapping[str, _Row] = {}
        self._version = -1
        self._publishing, self._local = threading.Lock(), threading.local()
        try:
            with self._database.connect() as db:
                prepare(db, self._database)
        except psycopg.Error as error:
            raise self._database.error("opened", error) from error
        self._listener = Listener(self._database, self._reopen, TABLE, self._load)
        limits = f"SET lock_timeout = '{TIMEOUT_S:g}s'; SET idle_in_transaction_session_timeout = '{LONGEST_CHANGE_S}s'"
        self._writer = Session(self._database, self._listener.check, limits)
        self._reader = Session(self._database, self._listener.check, limits)

    def __truediv__(self, name: str) -> StoredDocument:
        """Return a document."""
        return StoredDocument(self, name)

    @property
    def version(self) -> int:
        """A number that is another one after each change of a document, as far as it is known here."""
        return self._version

    def signature(self, name: str) -> Hashable | None:
        """See `Document`; a folder exists if there is a document in it."""
        row = self._known().get(name)
        if row is not None:
            return row.version
        return name if self.names(f"{name}/", "") else None

    def names(self, start: str, suffix: str) -> list[str]:
        """Return the names of the documents that begin and end with some characters."""
        return [name for name in self._known() if name.startswith(start) and name.endswith(suffix)]

    def read(self, name: str) -> bytes:
        """See `Document`."""
        row = self._known().get(name)
        if row is None:
            raise FileNotFoundError(errno.ENOENT, "there is no such document", name)
        if row.body is not None:
            return row.body
        change = self._change
        if change is not None:
            return _stored(change.db, name)
        with self._reader.use("read") as db:
            return _stored(db, name)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Run a block as one transaction, as the only one of all processes that changes documents.

        The block reads its own changes. Others see them all once it has ended, or none if it raises. A block inside of
        another one of the same thread is a part of that.

        Raises:
            StoreError: the database failed, or a change of another process takes long.
        """
        if self._change is not None:
            yield
            return
        with self._writer.use("changed") as db:
            with db.transaction():
                db.execute(_LOCK)
                self._load(db)
                change = self._local.change = _Change(db, self._rows)
                try:
                    yield
                finally:
                    self._local.change = None
                if change.version:
                    db.execute(_NOTIFY)
            with self._publishing:
                if change.version > self._version:  # else there is a later change, which was loaded meanwhile
                    self._rows, self._version = change.rows, change.version

    def write(self, name: str, content: bytes) -> None:
        """See `Document`."""
        self._put(name, content, None if "/" in name else content)
        self._changing().db.execute(_CLEAR, (name,))

    def append(self, name: str, line: bytes) -> None:
        """See `Document`."""
        change = self._changing()
        change.version = fetch_int(change.db, _APPEND, (name, line + b"\n"))
        change.rows[name] = _Row(change.version, None)

    def remove(self, name: str) -> None:
        """See `Document`."""
        if name in self._known():
            self._put(name, None, None)
            self._changing().db.execute(_CLEAR, (name,))
            del self._changing().rows[name]

    def close(self) -> None:
        """Close the connections; what is in memory stays."""
        self._listener.close()
        for session in (self._writer, self._reader):
            session.close()

    @property
    def _change(self) -> _Change | None:
        """The change that this thread makes."""
        return getattr(self._local, "change", None)

    def _known(self) -> Mapping[str, _Row]:
        change = self._change
        return self._rows if change is None else change.rows

    def _changing(self) -> _Change:
        change = self._change
        if change is None:
            raise RuntimeError("a document is only written inside of `changing`")
        return change

    def _put(self, name: str, content: bytes | None, kept: bytes | None) -> None:
        change = self._changing()
        change.version = fetch_int(change.db, _WRITE, (name, content))
        change.rows[name] = _Row(change.version, kept)

    def _load(self, db: Connection) -> int:
        """Bring the memory up to date; no other thread can put an earlier state in its place."""
        with self._publishing:
            version = fetch_int(db, _VERSION)
            if version != self._version:
                self._rows = {name: _Row(*row) for name, *row in db.execute(_ALL).fetchall()}
                self._version = version
        return version

    def _reopen(self) -> None:
        for session in (self._writer, self._reader):
            session.reopen()


def _stored(db: Connection, name: str) -> bytes:
    row = db.execute(_READ, (name,)).fetchone()
    if row is None:
        raise FileNotFoundError(errno.ENOENT, "there is no such document", name)
    return bytes(row[0])


class StoredDocument:
    """A `Document` in a database.

    Args:
        documents: of the shop.
        name: of the document, with the folders that it is in: `placements.history/audit.jsonl`.
    """

    def __init__(self, documents: PostgresDocuments, name: str) -> None:
        self._documents, self._name = documents, name

    def __str__(self) -> str:
        return f"{self._name or 'the state'} in the database"

    @property
    def name(self) -> str:
        """See `Document`."""
        return PurePosixPath(self._name).name

    @property
    def parent(self) -> StoredDocument:
        """See `Document`."""
        return StoredDocument(self._documents, self._name.rpartition("/")[0])

    def __truediv__(self, name: str) -> StoredDocument:
        return StoredDocument(self._documents, f"{self._name}/{name}" if self._name else name)

    def signature(self) -> Hashable | None:
        """See `Document`."""
        return self._documents.signature(self._name)

    def read(self) -> bytes:
        """See `Document`."""
        return self._documents.read(self._name)

    def documents(self, suffix: str) -> list[Document]:
        """See `Document`."""
        start = f"{self._name}/" if self._name else ""
        names = self._documents.names(start, suffix)
        return [StoredDocument(self._documents, name) for name in names if "/" not in name[len(start) :]]

    def changing(self) -> AbstractContextManager[None]:
        """See `Document`. All documents of the shop have one lock."""
        return self._documents.changing()

    def write(self, content: bytes, mode: int = DEFAULT_MODE) -> None:
        """See `Document`. Who may read it is a matter of the database."""
        self._documents.write(self._name, content)

    def append(self, line: bytes) -> None:
        """See `Document`."""
        self._documents.append(self._name, line)

    def remove(self) -> None:
        """See `Document`."""
        self._documents.remove(self._name)

    def make_folder(self) -> None:
        """See `Document`. There are no folders besides those in names."""
