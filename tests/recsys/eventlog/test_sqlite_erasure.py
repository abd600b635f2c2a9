from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recsys.eventlog import sqlite_erasure
from recsys.eventlog.sqlite_erasure import ErasureScan, Tombstones
from recsys.eventlog.sqlite_schema import fetch_count, open_file, row_of
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


@pytest.mark.parametrize("who", [{"user_id": "u"}, {"visitor_id": "u"}, {"user_id": "other", "visitor_id": "u"}])
@pytest.mark.parametrize(
    ("entry_type", "at", "received_at", "is_refused"),
    [
        ("event", 99.0, 99.5, True),
        ("event", 100.0, 99.5, False),
        ("impression", 99.0, 100.9, True),
        ("impression", 100.0, 100.4, True),
        ("impression", 400.0, 100.4, True),
        ("impression", 100.0, 100.6, False),
    ],
)
def test_lists_that_were_shown_before_an_erasure_are_older_than_it(
    db: sqlite3.Connection, who: dict[str, str], entry_type: EntryType, at: float, received_at: float, is_refused: bool
) -> None:
    tombstones = Tombstones()
    row = row_of(LogEntry(entry_type, "k", at, received_at, dict(who)), 0)
    assert not tombstones.refuse(row)
    for moment in ((100.0, 100.5), (50.0, 50.5)):
        db.execute(INSERT, row_of(LogEntry("erasure", "u", *moment, {}), 0).stored)
        tombstones.learn(db)
    assert tombstones.refuse(row) is is_refused
    assert not tombstones.refuse(row_of(LogEntry(entry_type, "k", at, received_at, {"user_id": "other"}), 0))


def test_tombstones_are_read_by_an_index(db: sqlite3.Connection) -> None:
    plan = db.execute(f"EXPLAIN QUERY PLAN {sqlite_erasure._TOMBSTONES}", (0,)).fetchall()
    assert "others" in str(plan)


@pytest.mark.parametrize(("made_with", "is_refused"), [(None, False), (0, True), (1, False), (2, False)])
def test_a_list_that_was_made_without_the_erasure_is_refused(
    db: sqlite3.Connection, made_with: int | None, is_refused: bool
) -> None:
    assert append(db, "erasure", "u") == 1
    tombstones = Tombstones()
    tombstones.learn(db)
    later = LogEntry("impression", "r", 9.0, 9.0, {"user_id": "u", "items": []}, made_with=made_with)
    assert tombstones.refuse(row_of(later, 0)) is is_refused
