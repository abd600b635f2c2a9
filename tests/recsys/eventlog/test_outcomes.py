"""What a store refuses, and the short way for commits of new events, which decides as the general one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from recsys.eventlog.log_rows import row_of
from recsys.eventlog.outcomes import AppendJudge, Tombstones
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.sqlite_known import SqliteEntries
from recsys.eventlog.sqlite_schema import open_file
from recsys.eventlog.store import EntryType, LogEntry

INSERT = (
    "INSERT INTO log (kind, key, at, received_at, user_id, visitor_id, digest, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


def entries(random: Random) -> list[LogEntry]:
    """Events with few ids, some without, some of several items, merges, and lists of anonymous shoppers."""
    found: list[LogEntry] = []
    for _ in range(random.randrange(1, 7)):
        key, body = f"e{random.randrange(300)}", {"item_id": "a", "user_id": f"u{random.randrange(3)}"}
        match random.randrange(8):
            case 0:
                found.append(LogEntry("event", None, 1.0, 1.0, body))
            case 1:
                found += [LogEntry("event", f"{key}#{n}", 1.0, 1.0, body, part=(key, n)) for n in (1, 2)]
            case 2:
                found.append(LogEntry("event", f"{key}#1", 1.0, 1.0, body))
            case 3:
                found.append(LogEntry("merge", body["user_id"], 1.0, 1.0, {"into": f"u{random.randrange(3)}"}))
            case 4:
                found.append(LogEntry("impression", key, 1.0, 1.0, {"session_id": "s", "items": []}))
            case _:
                found.append(LogEntry("event", key, 1.0, 1.0, body))
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("erased", [False, True])
def test_the_short_way_gives_the_outcomes_of_the_general_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, erased: bool
) -> None:
    def outcomes(name: str) -> list[list[str]]:
        random, store = Random(seed), SqliteStore(tmp_path / name)
        try:
            if erased:
                store.erase(["u1"], 2.0)
            return [list(store.append(entries(random))) for _ in range(60)]
        finally:
            store.close()

    short: list[bool] = []
    is_short = AppendJudge._are_all_new
    monkeypatch.setattr(AppendJudge, "_are_all_new", lambda *given: short.append(is_short(*given)) or short[-1])
    found = outcomes("short")
    monkeypatch.setattr(AppendJudge, "_are_all_new", lambda *given: False)
    assert outcomes("general") == found
    assert any(short) is not erased
    assert {"stored", "duplicate", "conflict"} <= {each for batch in found for each in batch}


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    db = open_file(tmp_path / "log.db", 1.0)
    yield db
    db.close()


def append(db: sqlite3.Connection, entry: LogEntry) -> None:
    db.execute(INSERT, row_of(entry, 0).stored)


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
        append(db, LogEntry("erasure", "u", *moment, {}))
        tombstones.learn(SqliteEntries(db))
    assert tombstones.refuse(row) is is_refused
    assert not tombstones.refuse(row_of(LogEntry(entry_type, "k", at, received_at, {"user_id": "other"}), 0))


@pytest.mark.parametrize(("made_with", "is_refused"), [(None, False), (0, True), (1, False), (2, False)])
def test_a_list_that_was_made_without_the_erasure_is_refused(
    db: sqlite3.Connection, made_with: int | None, is_refused: bool
) -> None:
    append(db, LogEntry("erasure", "u", 1.0, 1.0, {}))
    tombstones = Tombstones()
    tombstones.learn(SqliteEntries(db))
    later = LogEntry("impression", "r", 9.0, 9.0, {"user_id": "u", "items": []}, made_with=made_with)
    assert tombstones.refuse(row_of(later, 0)) is is_refused
