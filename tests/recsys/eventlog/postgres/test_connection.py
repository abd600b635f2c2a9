from __future__ import annotations

import psycopg
import pytest

from recsys.core.errors import ConfigError, StoreError
from recsys.eventlog.postgres.connection import Database, Session
from tests.postgres import shared_server


@pytest.fixture
def database() -> Database:
    return Database(shared_server().url)


def value(session: Session, query: str) -> object:
    with session.use("read") as db:
        row = db.execute(query).fetchone()  # type: ignore[call-overload]
        return row and row[0]


@pytest.mark.parametrize("url", ["postgresql://[::1/db", "postgresql://host/db?unheard_of=1"])
def test_what_is_no_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match="expected postgresql://user@host:5432/name"):
        Database(url)


@pytest.mark.parametrize("password", ["sec%zzret", "sec ret", "sec/ret", "sec@ret", "sec/ret@more", 'sec" ret'])
def test_a_password_that_is_not_encoded_is_not_shown(password: str) -> None:
    for url in (
        f"postgresql://shop:{password}@db.example/shop",
        f"postgresql://db.example/shop?password={password}%zz",
    ):
        with pytest.raises(ConfigError, match="the address of the database is not one") as raised:
            Database(url)
        assert "sec" not in str(raised.value)
        assert "ret" not in str(raised.value)


@pytest.mark.parametrize("url", ["postgresql://shop%40a:sec%40ret@db.example/a%40b", "postgresql:///shop?user=a@b"])
def test_what_is_encoded_may_have_an_at_sign(url: str) -> None:
    assert "sec" not in Database(url).name


def test_errors_name_the_database_without_user_and_password() -> None:
    database = Database("postgresql://shop:secret@db.example:6432/shop")
    error = database.error("read", psycopg.OperationalError("the server\n closed the connection"))
    assert str(error) == (
        "the database shop on db.example could not be read (the server closed the connection): check that it runs, its"
        " address, its disk and the rights of its user"
    )


def test_commits_wait_for_the_disk(database: Database) -> None:
    with database.connect() as db:
        assert db.execute("SHOW synchronous_commit").fetchone() == ("on",)


def test_a_connection_that_was_lost_is_opened_again(database: Database) -> None:
    session = Session(database)
    before = value(session, "SELECT pg_backend_pid()")
    assert value(session, "SELECT pg_backend_pid()") == before
    with database.connect() as db:
        db.execute("SELECT pg_terminate_backend(%s)", (before,))
    with pytest.raises(StoreError, match="could not be read"):
        value(session, "SELECT 1")
    assert value(session, "SELECT pg_backend_pid()") != before
    session.close()


def test_a_session_that_is_outdated_gets_another_connection(database: Database) -> None:
    session = Session(database, configure="SET lock_timeout = 7")
    before = value(session, "SELECT pg_backend_pid()")
    session.reopen()
    assert value(session, "SELECT pg_backend_pid()") != before
    assert value(session, "SHOW lock_timeout") == "7ms"
    session.close()


def test_an_error_of_a_statement_keeps_the_connection(database: Database) -> None:
    session = Session(database)
    before = value(session, "SELECT pg_backend_pid()")
    with pytest.raises(StoreError, match="division by zero"):
        value(session, "SELECT 1 / 0")
    assert value(session, "SELECT pg_backend_pid()") == before
    session.close()


def test_a_closed_session_and_a_lost_database_raise_at_once(database: Database) -> None:
    def lost() -> None:
        raise StoreError("the database is lost")

    with pytest.raises(StoreError, match="is lost"):
        value(Session(database, lost), "SELECT 1")
    session = Session(database)
    session.close()
    with pytest.raises(StoreError, match="closed"):
        value(session, "SELECT 1")
