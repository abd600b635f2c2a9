"""Retention drops the partitions of whole days, and deletes from those that have later entries."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recsys.eventlog.log_rows import row_of
from recsys.eventlog.postgres import removal
from recsys.eventlog.postgres.schema import DAY_BITS, days_of
from recsys.eventlog.postgres.store import PostgresStore
from recsys.eventlog.store import EntryType, LogEntry
from tests.postgres import schema_of

FIRST_DAY = 19_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PostgresStore]:
    store = PostgresStore(schema_of(tmp_path))
    yield store
    store.close()


def entry(key: str, at: float, kind: EntryType = "event") -> LogEntry:
    return LogEntry(kind, key, at, at, {"user_id": "u", "items": []})


def fill(store: PostgresStore, *entries: tuple[int, LogEntry]) -> None:
    """Store entries as if they had been stored on some days, in order."""
    for day, each in entries:
        with store._write() as block:
            block.add_numbered([(max(block.last_seq, day << DAY_BITS) + 1, row_of(each, 0))])


def keys(store: PostgresStore) -> list[str | None]:
    return [each.entry.key for each in store.read_after(0, 1000)]


def days(store: PostgresStore, kind: str) -> list[int]:
    with store._reader.use("read") as db:
        return days_of(db, kind)


def test_days_that_have_ended_are_dropped_and_others_deleted_from(store: PostgresStore) -> None:
    for day in range(3):
        fill(store, (FIRST_DAY + day, entry(f"a{day}", 100.0 * day)), (FIRST_DAY + day, entry(f"b{day}", 100.0 * day)))
    fill(store, (FIRST_DAY + 3, entry("early", 5.0)), (FIRST_DAY + 3, entry("late", 350.0)))
    fill(store, (FIRST_DAY + 3, entry("shown", 5.0, "impression")), (FIRST_DAY + 3, entry("item", 5.0, "item_put")))
    store.append([entry("today", 1.0)])
    assert store.delete_before(150.0, ["event"]) == 6
    assert keys(store) == ["a2", "b2", "late", "shown", "item"]
    assert days(store, "event")[:2] == [FIRST_DAY + 2, FIRST_DAY + 3]
    assert FIRST_DAY in days(store, "impression")
    assert store.delete_before(150.0) == 1
    assert store.damage() == ()
    assert store.append([entry("a0", 1.0), entry("early", 1.0), entry("today", 1.0), entry("a2", 200.0)]) == [
        *["stored"] * 3,
        "duplicate",
    ]


def test_retention_in_parts(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "REMOVE_BATCH", 3)
    store.append([entry(str(number), float(number % 5)) for number in range(20)])
    store.append([LogEntry("item_patch", "tea", 0.0, 0.0, {}) for _ in range(7)])
    assert store.delete_before(2.0) == 8
    assert store.delete_changes(store.last_seq()) == 7
    assert {each.entry.at for each in store.read_after(0, 99)} == {2.0, 3.0, 4.0}


def test_a_day_whose_removal_is_blocked_stays_whole(tmp_path: Path) -> None:
    store = PostgresStore(schema_of(tmp_path), timeout_s=0.1)
    fill(store, (FIRST_DAY, entry("a", 1.0)))
    store.append([entry("b", 200.0)])
    with store._database.connect() as reader, reader.transaction():
        reader.execute("SELECT count(*) FROM recsys_log")
        with pytest.raises(Exception, match="lock timeout"):
            store.delete_before(100.0)
        assert keys(store) == ["a", "b"]
        assert store.append([entry("c", 200.0)]) == ["stored"], "writers do not wait behind it"
    assert store.delete_before(100.0) == 1
    assert keys(store) == ["b", "c"]
    store.close()


def test_servers_that_remove_at_once_remove_each_entry_once(tmp_path: Path) -> None:
    stores = [PostgresStore(schema_of(tmp_path)) for _ in range(3)]
    for day in range(6):
        fill(stores[0], *((FIRST_DAY + day, entry(f"{day}-{number}", 1.0)) for number in range(3)))
    stores[0].append([entry("now", 1.0), entry("kept", 200.0)])
    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(lambda store: store.delete_before(100.0), stores)) == 6 * 3 + 1
    assert keys(stores[1]) == ["kept"]
    for store in stores:
        store.close()
