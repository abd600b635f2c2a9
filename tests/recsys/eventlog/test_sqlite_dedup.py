from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.eventlog import sqlite_dedup
from recsys.eventlog.log_rows import digest_of
from recsys.eventlog.sqlite_dedup import DedupIndex
from recsys.eventlog.sqlite_schema import fetch_count, open_file


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    db = open_file(tmp_path / "log.db", 1.0)
    yield db
    db.close()


def append(db: sqlite3.Connection, *keys: str) -> None:
    db.executemany(
        "INSERT INTO log (kind, key, at, received_at, digest, body) VALUES ('event', ?, 0, 0, ?, '{}')",
        [(key, digest_of("event", key)) for key in keys],
    )


def found(index: DedupIndex, db: sqlite3.Connection, *keys: str) -> dict[str, int]:
    digests = {digest_of("event", key): key for key in keys}
    return {digests[digest]: seq for digest, seq in index.find(db, digests).items()}


def test_digests_are_those_of_stored_logs() -> None:
    assert digest_of("event", "e") == -8078469963391472367


@given(st.text(max_size=5), st.text(max_size=5))
def test_a_digest_depends_on_type_and_key_and_fits_64_bits(one: str, other: str) -> None:
    assert (digest_of("event", one) == digest_of("event", other)) == (one == other)
    assert digest_of("event", one) != digest_of("impression", one)
    assert -(2**63) <= digest_of("event", one) < 2**63


@pytest.mark.parametrize("flush_size", [1, 3, 100])
def test_ids_are_found_before_and_after_a_flush_by_every_writer(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, flush_size: int
) -> None:
    monkeypatch.setattr(sqlite_dedup, "FLUSH_SIZE", flush_size)
    one, other = DedupIndex(), DedupIndex()
    append(db, "a", "b")
    assert found(one, db, "a", "b", "c") == {"a": 1, "b": 2}
    one.flush(db)
    assert fetch_count(db, "SELECT count(*) FROM ids") == (2 if flush_size <= 2 else 0)
    append(db, "c")
    assert found(other, db, "a", "c", "d") == {"a": 1, "c": 3}
    assert found(one, db, "b", "c") == {"b": 2, "c": 3}
    assert found(one, db) == {}


def test_noted_ids_are_not_read_again(db: sqlite3.Connection) -> None:
    index = DedupIndex()
    assert found(index, db, "a") == {}
    append(db, "a", "b", "c")
    index.note([digest_of("event", "a"), None, digest_of("event", "c")], 3)
    assert found(index, db, "a", "b", "c") == {"a": 1, "c": 3}, "b would be found if the rows were read"
    append(db, "d")
    assert found(index, db, "c", "d") == {"c": 3, "d": 4}


def test_the_id_of_a_removed_entry_is_unknown_to_a_new_writer(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_dedup, "FLUSH_SIZE", 1)
    append(db, "a", "b")
    index = DedupIndex()
    index.find(db, [])
    index.flush(db)
    db.execute("DELETE FROM log WHERE key = 'a'")
    assert found(DedupIndex(), db, "a", "b") == {"b": 2}


def test_a_flushed_writer_keeps_only_newer_ids_in_memory(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_dedup, "FLUSH_SIZE", 1)
    index = DedupIndex()
    append(db, "a", "b")
    index.find(db, [])
    index.flush(db)
    append(db, "c")
    index.find(db, [])
    assert list(index._newest.values()) == [3]
