"""Connections to the database of the live log, and its errors as those of a store."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, LiteralString

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from recsys.core.errors import ConfigError, StoreError

Connection = psycopg.Connection[tuple[Any, ...]]

DEFAULTS: Final[dict[str, str]] = {
    "application_name": "recsys",
    "connect_timeout": "3",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""Parameters of libpq, unless the address has others: a database that cannot be reached is noticed within seconds."""

_QUOTED: Final = re.compile('".*"', re.DOTALL)
_CREDENTIALS: Final = re.compile("^[^@/]*@")


class Database:
    """The address of a database.

    Args:
        url: as libpq reads it: `postgresql://user@host:5432/name`. Its own variables and password file count too.

    Raises:
        ConfigError: it is not such an address.
    """

    def __init__(self, url: str) -> None:
        place = url.partition("://")[2].partition("?")[0]
        if "@" in _CREDENTIALS.sub("", place, count=1):
            raise ConfigError(
                "the address of the database is not one ('@' or '/' in the password): write '@' as %40 and '/' as"
                " %2F, or use a password file"
            )
        try:
            given = conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            reason = _QUOTED.sub('"…"', str(error).strip())  # what libpq quotes may be a part of the password
            raise ConfigError(
                f"the address of the database is not one ({reason}): expected postgresql://user@host:5432/name"
            ) from None
        self._conninfo = make_conninfo("", **{**DEFAULTS, **given})
        host = given.get("host") or given.get("hostaddr") or "the local host"
        self.name: Final = f"database {given.get('dbname') or given.get('user') or ''!s} on {host}".replace("  ", " ")
        """What messages call it; without user and password."""

    def connect(self) -> Connection:
        """Open a connection in autocommit mode whose commits wait for the disk.

        Raises:
            psycopg.Error: it cannot be reached, or refuses the user.
        """
        db = psycopg.connect(self._conninfo, autocommit=True, prepare_threshold=None)
        try:
            db.execute("SET synchronous_commit = on")
            db.execute("SET client_encoding = 'UTF8'")
            db.execute("SET client_min_messages = error")
        except BaseException:
            db.close()
            raise
        return db

    def error(self, done: str, error: Exception) -> StoreError:
        """Return the error for one of the database's, with its name and the remedy."""
        reason = " ".join(str(error).split())
        return StoreError(
            f"the {self.name} could not be {done} ({reason}): check that it runs, its address, its disk and the"
            " rights of its user"
        )


class Session:
    """One connection that any thread may use, one at a time; it is opened again after it was lost.

    Args:
        database: to connect to.
        check: raises a `StoreError` if the database is known to be lost; called before each use, so that callers do
            not each wait for a connection.
        configure: statement that is run on each new connection.
    """

    def __init__(
        self, database: Database, check: Callable[[], None] = lambda: None, configure: LiteralString = "SELECT 1"
    ) -> None:
        self._database, self._check, self._configure = database, check, configure
        self._db: Connection | None = None
        self._lock = threading.Lock()
        self._is_closed = self._is_outdated = False

    @contextmanager
    def use(self, done: str) -> Iterator[Connection]:
        """Yield the connection; a transaction that the block has opened is rolled back if it raises.

        Args:
            done: what is done, as a participle for error messages.

        Raises:
            StoreError: the database failed, or the store is closed.
        """
        with self._lock:
            if self._is_closed:
                raise StoreError("the store is closed: open it again to use it")
            self._check()
            try:
                yield self._open()
            except psycopg.Error as error:
                if self._db is not None and self._db.broken:
                    self._drop()
                raise self._database.error(done, error) from error

    def reopen(self) -> None:
        """Open a new connection before the next use, as the database was lost meanwhile; never waits."""
        self._is_outdated = True

    def close(self) -> None:
        """Close the connection; later uses raise."""
        with self._lock:
            self._is_closed = True
            self._drop()

    def _open(self) -> Connection:
        if self._is_outdated:
            self._drop()
        if self._db is None or self._db.closed:
            self._is_outdated = False
            db = self._database.connect()
            try:
                db.execute(self._configure)
            except BaseException:
                db.close()
                raise
            self._db = db
        return self._db

    def _drop(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
