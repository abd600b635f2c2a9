"""Logs that a released version has written open in this one, and keep their entries."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry

AT = 1_700_000_000.0
RELEASE_0_1 = """
CREATE TABLE folded (seq INTEGER NOT NULL);
INSERT INTO folded VALUES (0);
CREATE TABLE ids (digest INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TABLE log (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT, at REAL NOT NULL,
    received_at REAL NOT NULL, user_id TEXT, visitor_id TEXT, digest INTEGER, body TEXT NOT NULL);
INSERT INTO log VALUES (1, 'event', 'e1', 1700000000.0, 1700000001.0, 'u1', NULL, 1229740961826682301,
    '{"event":"purchase","user_id":"u1","item_id":"茶"}');
INSERT INTO log VALUES (2, 'event', NULL, 1700000005.0, 1700000006.0, NULL, NULL, NULL,
    '{"event":"view_item","session_id":"s1","item_id":"i2"}');
INSERT INTO log VALUES (3, 'item_put', 'i3', 1700000007.0, 1700000007.0, NULL, NULL, NULL,
    '{"title":"鲜牛奶","price":3.5,"tags":["milk"]}');
INSERT INTO log VALUES (4, 'merge', 'v1', 1700000010.0, 1700000010.0, NULL, NULL, NULL, '{"into":"u1"}');
INSERT INTO log VALUES (5, 'impression', 'r1', 1700000011.0, 1700000011.0, 'u1', NULL, -7932763482425232239,
    '{"placement":"for_you","items":[{"item_id":"i2"}],"user_id":"u1"}');
CREATE INDEX others ON log (kind) WHERE kind NOT IN ('event', 'impression');
CREATE TRIGGER unknown AFTER DELETE ON log WHEN old.digest IS NOT NULL
    BEGIN DELETE FROM ids WHERE digest = old.digest AND seq = old.seq; END;
PRAGMA user_version = 2;
"""


@pytest.fixture
def old_log(tmp_path: Path) -> Path:
    path = tmp_path / "store.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(RELEASE_0_1)
    return path


def test_a_log_of_0_1_keeps_its_entries_and_takes_new_ones(old_log: Path) -> None:
    with closing(SqliteStore(old_log)) as store:
        entries = [stored.entry for stored in store.read_after(0, 10)]
        assert [entry.entry_type for entry in entries] == ["event", "event", "item_put", "merge", "impression"]
        assert [entry.key for entry in entries] == ["e1", None, "i3", "v1", "r1"]
        assert entries[0].body["item_id"] == "茶"
        assert entries[2].body == {"title": "鲜牛奶", "price": 3.5, "tags": ["milk"]}
        assert store.append([LogEntry("event", "e2", AT + 20, AT + 20, {"event": "purchase", "item_id": "i2"})])
        assert store.last_seq() == 6


def test_an_event_of_an_old_log_is_known_when_it_is_sent_again(old_log: Path) -> None:
    body = {"event": "purchase", "user_id": "u1", "item_id": "茶"}
    with closing(SqliteStore(old_log)) as store:
        (outcome,) = store.append([LogEntry("event", "e1", AT, AT + 60, body)])
        assert outcome == "duplicate"
        assert store.last_seq() == 5
