from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recsys.core.errors import StoreError
from recsys.eventlog.postgres.connection import Database
from recsys.eventlog.postgres.listener import HEARTBEAT_S, Listener
from recsys.eventlog.postgres.schema import prepare
from tests.postgres import own_server, schema_of

SOON_S = 20.0


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database(schema_of(tmp_path))
    with database.connect() as db:
        prepare(db, database)
    return database


@pytest.fixture
def listener(database: Database) -> Iterator[Listener]:
    listener = Listener(database, lambda: None)
    yield listener
    listener.close()


def wait_until(is_true: Callable[[], bool], seconds: float = SOON_S) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_notification_and_a_heartbeat_change_the_version(database: Database, listener: Listener) -> None:
    assert listener.version() == 0
    with database.connect() as db:
        db.execute("UPDATE recsys_state SET version = 7")
        db.execute("SELECT pg_notify('recsys_' || 'recsys_log'::regclass::oid, '7')")
        wait_until(lambda: listener.version() == 7)
        db.execute("UPDATE recsys_state SET version = 8")  # its notification is lost
        wait_until(lambda: listener.version() == 8, HEARTBEAT_S + SOON_S)


def test_its_own_commits_count_at_once_and_it_never_goes_back(listener: Listener) -> None:
    listener.note(5)
    listener.note(4)
    assert listener.version() == 5


def test_another_log_of_the_database_does_not_change_the_version(listener: Listener, tmp_path: Path) -> None:
    other = Database(schema_of(tmp_path / "other"))
    with other.connect() as db:
        prepare(db, other)
        db.execute("SELECT pg_notify('recsys_' || 'recsys_log'::regclass::oid, '7')")
    time.sleep(0.2)
    assert listener.version() == 0


def has_version(listener: Listener, version: int) -> bool:
    """Whether it follows the database, and is at a version."""
    try:
        return listener.version() == version
    except StoreError:
        return False


def test_a_notification_that_is_no_number_does_not_end_it(database: Database, listener: Listener) -> None:
    with database.connect() as db:
        db.execute("SELECT pg_notify('recsys_' || 'recsys_log'::regclass::oid, 'x')")
        db.execute("UPDATE recsys_state SET version = 3")
    wait_until(lambda: has_version(listener, 3))


def test_a_lost_connection_is_opened_again(database: Database, listener: Listener) -> None:
    with database.connect() as db:
        db.execute("UPDATE recsys_state SET version = 3")
        db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    wait_until(lambda: has_version(listener, 3))


def test_a_lost_database_raises_until_it_is_found_again() -> None:
    server, found = own_server("fsync=off"), list[bool]()
    try:
        database = Database(server.url)
        with database.connect() as db:
            prepare(db, database)
        listener = Listener(database, lambda: found.append(True))

        def is_lost() -> bool:
            try:
                listener.check()
            except StoreError as error:
                return "could not be reached" in str(error)
            return False

        server.stop(signal.SIGQUIT)
        wait_until(is_lost)
        assert found == []
        server.start()
        wait_until(lambda: not is_lost())
        assert found == [True]
        listener.close()
        with pytest.raises(StoreError, match="closed"):
            listener.version()
        listener.close()
    finally:
        server.close()


def test_a_database_that_cannot_be_reached_is_an_error_at_the_start() -> None:
    with pytest.raises(StoreError, match="could not be opened"):
        Listener(Database("postgresql://recsys@127.0.0.1:1/nothing"), lambda: None)
