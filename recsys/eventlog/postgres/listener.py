"""Follows the version of a table in PostgreSQL: notifications of commits, and whether the database is there."""

from __future__ import annotations

import logging
import select
import socket
import threading
from collections.abc import Callable
from typing import Final

import psycopg
from psycopg import sql

from recsys.core.errors import StoreError
from recsys.eventlog.postgres.connection import Connection, Database

CHANNEL: Final = "SELECT 'recsys_' || %s::regclass::oid"
"""Returns the channel of a table among those of its database, on which each commit sends the version of the table."""

HEARTBEAT_S: Final = 1.0
"""How often the version is read if there is no notification."""

RETRY_S: Final = 0.25
"""How often a lost database is tried again."""

logger = logging.getLogger(__name__)


class Listener:
    """A thread that listens to the commits of all processes, and opens its connection again after it was lost.

    Args:
        database: of the table.
        on_found: called when a lost database is found again, before it counts as found.
        table: names the channel: that of the log, if not given.
        read: reads the version, and what else belongs to it; called at the start, after notifications, and once per
            second without one. Not given for the log: its notifications have the version.

    Raises:
        StoreError: the database cannot be reached.
    """

    def __init__(
        self,
        database: Database,
        on_found: Callable[[], None],
        table: str = "recsys_log",
        read: Callable[[Connection], int] | None = None,
    ) -> None:
        self._database, self._on_found, self._table = database, on_found, table
        self._read = read_log_version if read is None else read
        self._is_read_anew = read is not None
        self._version = 0
        self._lost: StoreError | None = None
        self._is_closed = False
        self._ours, self._theirs = socket.socketpair()
        try:
            db = self._open()
        except psycopg.Error as error:
            self._close_sockets()
            raise database.error("opened", error) from error
        self._thread = threading.Thread(target=self._run, args=(db,), name="log listener", daemon=True)
        self._thread.start()

    def version(self) -> int:
        """Return the version of the log as far as it is known here; it takes less than a microsecond.

        Raises:
            StoreError: the database is lost, or the store is closed.
        """
        self.check()
        return self._version

    def check(self) -> None:
        """Raise what `version` raises."""
        if self._is_closed:
            raise StoreError("the store is closed: open it again to use it")
        lost = self._lost
        if lost is not None:
            raise StoreError(str(lost))

    def note(self, version: int) -> None:
        """Note a commit of this process at once."""
        self._version = max(self._version, version)

    def close(self) -> None:
        """End the thread."""
        if not self._is_closed:
            self._is_closed = True
            self._ours.send(b"x")
            self._thread.join()
            self._close_sockets()

    def _run(self, db: Connection | None) -> None:
        while not self._is_closed:
            try:
                if db is None:
                    db = self._open()
                    self._on_found()
                    self._lost = None
                    logger.warning("the %s is found again", self._database.name)
                self._listen(db)
            except Exception as error:  # after any fault the version is not followed any more
                if self._lost is None:
                    self._lost = self._database.error("reached", error)
                    logger.error("%s", self._lost)
                elif db is None:
                    self._wait(RETRY_S)
            finally:
                if db is not None:
                    db.close()
                    db = None

    def _open(self) -> Connection:
        db = self._database.connect()
        try:
            row = db.execute(CHANNEL, (self._table,)).fetchone()
            db.execute(sql.SQL("LISTEN {}").format(sql.Identifier(row[0] if row else "")))
            self._version = self._read(db)
        except BaseException:
            db.close()
            raise
        return db

    def _listen(self, db: Connection) -> None:
        while not self._is_closed:
            is_notified = self._wait(HEARTBEAT_S, db)
            for notification in db.notifies(timeout=0):
                if not self._is_read_anew:
                    self.note(int(notification.payload))
            if self._is_read_anew or not is_notified:
                self.note(self._read(db))

    def _wait(self, seconds: float, *readable: Connection) -> bool:
        """Wait for a notification or for `close`; return whether there is one."""
        watched = [self._theirs.fileno(), *(each.fileno() for each in readable)]
        return bool(select.select(watched, [], [], seconds)[0])

    def _close_sockets(self) -> None:
        self._ours.close()
        self._theirs.close()


def read_log_version(db: Connection) -> int:
    """Return the version of the log."""
    row = db.execute("SELECT version FROM recsys_state").fetchone()
    return int(row[0]) if row else 0
