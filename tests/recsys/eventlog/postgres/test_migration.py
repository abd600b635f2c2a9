"""A log that is copied from a file answers as the file does, also after what has changed between two runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from recsys.core.errors import ConfigError
from recsys.eventlog.postgres import migration
from recsys.eventlog.postgres.migration import migrate_log
from recsys.eventlog.postgres.store import PostgresStore
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from tests.postgres import open_postgres

NOON = 1_700_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@pytest.fixture
def target(tmp_path: Path) -> Iterator[PostgresStore]:
    store = open_postgres(tmp_path)
    yield store
    store.close()


def event(key: str, user_id: str | None = "u", at: float = NOON, **columns: object) -> LogEntry:
    return LogEntry("event", key, at, at, {"item_id": "tea", "user_id": user_id} | columns)


def fill(store: SqliteStore) -> None:
    parts = [LogEntry("event", f"o#{n}", NOON, NOON, {"item_id": "tea"}, ("o", n)) for n in (1, 2)]
    store.append([event("a"), *parts, event("old", "v", 1.0), event("gone", "erased", session_id="s")])
    store.append([LogEntry("item_put", "tea", NOON, NOON, {"price": 3.5}), event("nobody", None, session_id="s")])
    store.append([LogEntry("merge", "x", NOON, NOON, {"into": "y"}), event("early", "gone before")])
    store.erase(["gone before"], NOON + 1)


def test_a_copy_has_the_same_entries_numbers_and_outcomes(path: Path, target: PostgresStore) -> None:
    with closing(SqliteStore(path)) as source:
        fill(source)
        shares: list[float] = []
        report = migrate_log(path, target, shares.append)
        assert (report.copied, report.removed, report.unreadable) == (len(source.read_after(0, 99)), 0, 0)
        assert target.read_after(0, 99) == source.read_after(0, 99)
        assert report.last_seq == target.last_seq() == source.last_seq()
        assert shares[-1] == 1.0
        assert target.damage() == ()
        again = [
            event("a"),
            event("o"),
            event("early", "v"),
            event("b", "gone before", NOON - 5),
            LogEntry("merge", "y", NOON, NOON, {"into": "x"}),
            event("new"),
        ]
        assert target.append(again) == source.append(again) == [
            "duplicate", "conflict", "erased", "erased", "conflict", "stored",
        ]  # fmt: skip
        assert target.last_seq() > source.last_seq()
    with pytest.raises(ConfigError, match="has entries of its own already"):
        migrate_log(path, target)


def test_a_second_run_takes_over_what_has_changed(path: Path, target: PostgresStore) -> None:
    with closing(SqliteStore(path)) as source:
        fill(source)
        migrate_log(path, target)
        source.append([event("later")])
        source.erase(["erased"], NOON + 2)
        source.delete_before(2.0)
        source.delete_changes(source.last_seq())
        report = migrate_log(path, target)
        assert (report.copied, report.removed) == (3, 4)
        assert target.read_after(0, 99) == source.read_after(0, 99)
        again = [event("gone", "other"), event("nobody", "other"), event("old"), event("later")]
        assert target.append(again) == source.append(again) == ["erased", "erased", "stored", "duplicate"]
        assert target.damage() == ()


@pytest.mark.parametrize("seed", range(3))
def test_any_log_is_copied_in_any_parts(
    path: Path, target: PostgresStore, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "COPY_BATCH", 3)
    monkeypatch.setattr(migration, "COMPARE_SPAN", 5)
    random = Random(seed)
    with closing(SqliteStore(path)) as source:
        for turn in range(8):
            users = [f"u{random.randrange(4)}" for _ in range(random.randrange(9))]
            source.append([event(f"{turn}-{n}", user, float(n)) for n, user in enumerate(users)])
            if random.random() < 0.4:
                source.erase([f"u{random.randrange(4)}"], 99.0)
            if random.random() < 0.3:
                source.delete_before(2.0)
            if random.random() < 0.5:
                migrate_log(path, target)
        migrate_log(path, target)
        assert target.read_after(0, 999) == source.read_after(0, 999)
        assert target.last_seq() == source.last_seq()


def test_rows_that_cannot_be_read_are_left_out_and_counted(path: Path, target: PostgresStore) -> None:
    with closing(SqliteStore(path)) as source:
        source.append([event("a"), event("b"), event("c")])
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE log SET at = 'then' WHERE key = 'a'")
        db.execute("UPDATE log SET body = x'00' WHERE key = 'b'")
    assert migrate_log(path, target).unreadable == 2
    assert [each.entry.key for each in target.read_after(0, 9)] == ["c"]


def test_another_file_and_a_missing_one_are_refused(path: Path, target: PostgresStore, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        migrate_log(path, target)
    with closing(SqliteStore(path)) as source:
        source.append([event("a"), event("b")])
    migrate_log(path, target)
    other = tmp_path / "other.sqlite"
    with closing(SqliteStore(other)) as source:
        source.append([event("a")])
    with pytest.raises(ConfigError, match=r"has entries that .* does not have"):
        migrate_log(other, target)
