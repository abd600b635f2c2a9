"""The server of the benchmarks and the tests: real, on a port of its own, and gone after the block."""

from __future__ import annotations

import signal

import psycopg
import pytest

from benchmarks import postgres_server
from benchmarks.postgres_server import PostgresServer, binary


def value(url: str, query: str) -> object:
    with psycopg.connect(url, connect_timeout=2) as db:
        row = db.execute(query).fetchone()  # type: ignore[call-overload]
        return row and row[0]


def test_a_server_keeps_its_data_over_a_crash_and_is_gone_after_the_block() -> None:
    with PostgresServer("fsync=off") as server:
        assert value(server.url, "SHOW fsync") == "off"
        with psycopg.connect(server.schema("shop")) as db:
            db.execute("CREATE TABLE kept AS SELECT 7 AS number")
        server.stop(signal.SIGKILL)
        assert server.is_stopped
        with pytest.raises(psycopg.OperationalError):
            value(server.url, "SELECT 1")
        server.start()
        assert value(server.schema("shop"), "SELECT number FROM kept") == 7
    assert not server.folder.exists()
    with pytest.raises(psycopg.OperationalError):
        value(server.url, "SELECT 1")


def test_a_server_that_does_not_start_is_reported_with_its_log() -> None:
    with pytest.raises(RuntimeError, match="unheard_of"):
        PostgresServer("unheard_of=1")


def test_a_missing_program_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(postgres_server, "DEBIAN", postgres_server.DEBIAN / "nowhere")
    with pytest.raises(RuntimeError, match="install the Debian package postgresql"):
        binary("postgres")
