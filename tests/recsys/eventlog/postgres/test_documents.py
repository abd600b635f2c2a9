"""Documents in PostgreSQL: what another server sees and when, transactions, and the loss of the database."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from recsys.core.errors import ConfigError, StoreError
from recsys.eventlog.opening import open_documents
from recsys.eventlog.postgres import documents as module
from recsys.eventlog.postgres.connection import Session
from recsys.eventlog.postgres.documents import PostgresDocuments
from tests.postgres import own_server, schema_of

SOON_S = 20.0
"""A busy machine may take many times as long as an idle one."""


@pytest.fixture
def place(tmp_path: Path) -> str:
    return schema_of(tmp_path)


@pytest.fixture
def one(place: str) -> Iterator[PostgresDocuments]:
    with closing(PostgresDocuments(place)) as opened:
        yield opened


@pytest.fixture
def two(place: str) -> Iterator[PostgresDocuments]:
    with closing(PostgresDocuments(place)) as opened:
        yield opened


def write(documents: PostgresDocuments, name: str, content: bytes) -> None:
    with documents.changing():
        documents.write(name, content)


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def text_of(documents: PostgresDocuments, name: str) -> bytes | None:
    return documents.read(name) if documents.signature(name) is not None else None


def test_a_change_is_seen_here_at_once_and_by_others_soon(one: PostgresDocuments, two: PostgresDocuments) -> None:
    versions = {one.version}
    for n in range(5):
        content = b"%d" % n
        write(one, "placements.toml", content)
        versions.add(one.version)
        assert one.read("placements.toml") == content
        wait_until(lambda content=content: text_of(two, "placements.toml") == content)  # type: ignore[misc]
        assert two.version == one.version
    assert len(versions) == 6
    with two.changing():
        two.remove("placements.toml")
    wait_until(lambda: text_of(one, "placements.toml") is None)


def test_a_lost_notification_is_made_up_for(
    one: PostgresDocuments, two: PostgresDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_NOTIFY", "SELECT 1")
    write(one, "placements.toml", b"x")
    wait_until(lambda: text_of(two, "placements.toml") == b"x")


def test_what_is_outside_of_folders_is_read_without_the_database(
    one: PostgresDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(one, "keys.json", b"x")
    write(one, "placements.history/versions/1.toml", b"y")
    monkeypatch.setattr(Session, "use", lambda *_: pytest.fail("a query"))
    assert one.read("keys.json") == b"x"
    assert one.signature("keys.json") != one.signature("placements.history/versions/1.toml")
    assert one.names("placements.history/", ".toml") == ["placements.history/versions/1.toml"]
    with pytest.raises(FileNotFoundError):
        one.read("placements.history/versions/2.toml")


def test_a_change_is_whole_or_not_at_all(one: PostgresDocuments, two: PostgresDocuments) -> None:
    write(one, "a", b"1")
    version = one.version

    def refused() -> None:
        with one.changing():
            one.write("a", b"2")
            one.append("b/journal", b"line")
            one.remove("a")
            assert (text_of(one, "a"), one.read("b/journal")) == (None, b"line\n"), "its own changes"
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        refused()
    assert (one.version, one.read("a"), one.signature("b/journal")) == (version, b"1", None)
    with two.changing():
        assert (two.read("a"), two.signature("b/journal")) == (b"1", None)


def test_others_see_a_change_once_it_has_ended(one: PostgresDocuments, two: PostgresDocuments) -> None:
    write(one, "a", b"1")
    wait_until(lambda: text_of(two, "a") == b"1")
    found: list[bytes] = []
    with one.changing():
        one.write("a", b"2")
        with one.changing():  # a part of the same change
            one.write("b", b"2")
        thread = threading.Thread(target=lambda: found.append(one.read("a")))
        thread.start()
        thread.join()
        assert (found, two.read("a"), two.signature("b")) == ([b"1"], b"1", None)
    wait_until(lambda: text_of(two, "b") == b"2")


def test_a_change_knows_the_latest_of_all_servers(one: PostgresDocuments, two: PostgresDocuments) -> None:
    for n in range(20):
        for documents in (one, two):
            with documents.changing():
                before = int(text_of(documents, "n") or 0)
                documents.write("n", b"%d" % (before + 1))
        assert two.read("n") == b"%d" % (2 * n + 2)


def test_a_change_of_another_server_that_takes_long_is_not_waited_for_forever(
    one: PostgresDocuments, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.2)
    with closing(PostgresDocuments(place)) as other, one.changing():
        one.write("a", b"1")
        with pytest.raises(StoreError, match="lock timeout"), other.changing():
            pytest.fail("the other one has the lock")
    with closing(PostgresDocuments(place)) as other:
        assert other.read("a") == b"1"


def test_a_document_is_written_inside_of_a_change_alone(one: PostgresDocuments) -> None:
    with pytest.raises(RuntimeError, match="changing"):
        one.write("a", b"1")


def test_shops_in_schemas_of_one_database_share_nothing(one: PostgresDocuments, tmp_path: Path) -> None:
    with closing(PostgresDocuments(schema_of(tmp_path / "other"))) as other:
        write(one, "a", b"1")
        write(other, "b", b"2")
        assert (other.signature("a"), one.signature("b")) == (None, None)


def test_a_lost_database_leaves_what_was_read_and_is_found_again() -> None:
    server = own_server("fsync=off")
    place = server.schema("lost")
    try:
        with closing(PostgresDocuments(place)) as documents:
            write(documents, "keys.json", b"1")
            write(documents, "placements.history/versions/1.toml", b"old")
            server.stop(signal.SIGQUIT)
            wait_until(lambda: _is_refused(documents))
            started = time.monotonic()
            assert documents.read("keys.json") == b"1"
            with pytest.raises(StoreError), documents.changing():
                pytest.fail("there is no database")
            with pytest.raises(StoreError):
                documents.read("placements.history/versions/1.toml")
            assert time.monotonic() - started < 2, "no caller waits for a database that is known to be lost"
            server.start()
            wait_until(lambda: not _is_refused(documents))
            assert documents.read("placements.history/versions/1.toml") == b"old"
            with closing(PostgresDocuments(place)) as other:
                write(other, "keys.json", b"2")
            wait_until(lambda: documents.read("keys.json") == b"2")
    finally:
        server.close()


def _is_refused(documents: PostgresDocuments) -> bool:
    try:
        write(documents, "placements.toml", b"x")
    except StoreError:
        return True
    return False


def test_a_database_of_an_earlier_release_gets_the_tables(one: PostgresDocuments, place: str) -> None:
    with psycopg.connect(place, autocommit=True) as db:
        db.execute("DROP TABLE recsys_documents, recsys_journal")
        db.execute("DROP SEQUENCE recsys_document_version")
    with closing(PostgresDocuments(place)) as documents:
        write(documents, "a", b"1")
        assert documents.read("a") == b"1"


def test_a_closed_one_keeps_its_memory_alone(place: str) -> None:
    documents = PostgresDocuments(place)
    write(documents, "keys.json", b"1")
    documents.close()
    assert documents.read("keys.json") == b"1"
    with pytest.raises(StoreError, match="closed"), documents.changing():
        pytest.fail("it is closed")


def test_only_an_address_can_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a database"):
        open_documents(tmp_path / "store.sqlite")
    with pytest.raises(StoreError, match="could not be opened"):
        open_documents("postgresql://127.0.0.1:1/none")
