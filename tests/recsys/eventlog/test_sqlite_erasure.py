from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recsys.eventlog import sqlite_erasure
from recsys.eventlog.log_rows import row_of
from recsys.eventlog.sqlite_erasure import ErasureScan
from recsys.eventlog.sqlite_schema import fetch_count, open_file
from recsys.eventlog.store import EntryType, LogEntry

INSERT = (
    "INSERT INTO log (kind, key, at, received_at, user_id, visitor_id, digest, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


@pytest.fixture(params=[1, 2, 50_000])
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[sqlite3.Connection]:
    monkeypatch.setattr(sqlite_erasure, "SCANNED_AT_ONCE", request.param)
    db = open_file(tmp_path / "log.db", 1.0)
    yield db
    db.close()


def append(db: sqlite3.Connection, entry_type: EntryType, key: str | None = None, **body: Any) -> int:
    db.execute(INSERT, row_of(LogEntry(entry_type, key, 1.0, 1.0, body), 0).stored)
    return fetch_count(db, "SELECT max(seq) FROM log")


def scan_of(db: sqlite3.Connection, *keys: str) -> ErasureScan:
    scan = ErasureScan(keys)
    scan.find(db, fetch_count(db, "SELECT coalesce(max(seq), 0) FROM log"))
    return scan


def test_entries_of_users_and_visitors_are_found(db: sqlite3.Connection) -> None:
    bought = append(db, "event", user_id="u", item_id="tea")
    viewed = append(db, "event", visitor_id="v", item_id="tea")
    append(db, "event", user_id="other", item_id="u")
    changed = append(db, "user_patch", "u", region="north")
    append(db, "item_patch", "u", price=1.0)
    scan = scan_of(db, "u", "v")
    assert scan.owned == {bought: "event", viewed: "event", changed: "user_patch"}
    assert (scan.linked, scan.sessions) == ({}, set())


def test_anonymous_entries_of_the_same_session_or_basket_are_linked(db: sqlite3.Connection) -> None:
    before = append(db, "event", session_id="s", item_id="tea")
    append(db, "event", user_id="u", session_id="s", basket_id="b", item_id="tea")
    shown = append(db, "impression", "r", session_id="s", items=[])
    in_basket = append(db, "event", basket_id="b", item_id="cup")
    append(db, "event", session_id="another", item_id="tea")
    append(db, "event", user_id="other", session_id="s", item_id="tea")
    scan = scan_of(db, "u")
    assert scan.linked == {before: "event", shown: "impression", in_basket: "event"}
    assert scan.sessions == {"s"}


def test_a_second_scan_continues_and_a_new_session_is_searched_from_the_start(db: sqlite3.Connection) -> None:
    early = append(db, "event", session_id="s", item_id="tea")
    scan = scan_of(db, "u")
    assert (scan.owned, scan.linked) == ({}, {})
    owned = append(db, "event", user_id="u", session_id="s", item_id="tea")
    scan.find(db, owned)
    assert (scan.owned, scan.linked) == ({owned: "event"}, {early: "event"})


def test_remove_counts_by_type_and_leaves_the_others(db: sqlite3.Connection) -> None:
    append(db, "event", user_id="u", session_id="s", item_id="tea")
    append(db, "event", session_id="s", item_id="cup")
    append(db, "user_put", "u", region="north")
    kept = append(db, "event", user_id="other", item_id="tea")
    scan = scan_of(db, "u")
    assert scan.remove(db) == {"event": 2, "user_put": 1}
    assert db.execute("SELECT seq FROM log").fetchall() == [(kept,)]
    assert scan.remove(db) == {}
