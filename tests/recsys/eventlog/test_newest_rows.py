"""The rows that a writer keeps, compared with those that it would read from the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from recsys.eventlog.log_rows import LogRow, row_of
from recsys.eventlog.newest_rows import NewestRows
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import KEYED, EntryType, LogEntry, for_view


def rows(*keys: str, entry_type: EntryType = "event") -> list[LogRow]:
    return [row_of(LogEntry(entry_type, key, 1.5, 2.5, {"item_id": "tea", "user_id": "u"}), 0) for key in keys]


def keys_after(newest: NewestRows, seq: int, limit: int = 100) -> tuple[str, int]:
    found, last = newest.after(seq, limit)
    assert [row[0] for row in found] == sorted({row[0] for row in found})
    return "".join(str(row[1]) for row in found), last


@pytest.fixture
def newest() -> NewestRows:
    newest = NewestRows(max_rows=4)
    newest.add(rows("a", "b", "c"), 12)
    newest.add(rows("d"), 13)
    return newest


def test_rows_after_a_number_are_returned_up_to_the_last(newest: NewestRows) -> None:
    assert keys_after(newest, 9) == ("abcd", 13)
    assert keys_after(newest, 11) == ("cd", 13)
    assert keys_after(newest, 12) == ("d", 13)
    assert keys_after(newest, 13) == ("", 13)
    assert keys_after(newest, 10, limit=2) == ("bc", 12)
    assert keys_after(newest, 11, limit=1) == ("c", 12)


def test_nothing_is_returned_where_a_row_is_not_kept(newest: NewestRows) -> None:
    assert keys_after(newest, 8) == ("", 8)
    assert keys_after(newest, 0) == ("", 0)
    newest.forget()
    assert keys_after(newest, 9) == ("", 9)
    assert keys_after(NewestRows(), 0) == ("", 0)


def test_rows_before_a_commit_of_another_writer_are_forgotten(newest: NewestRows) -> None:
    newest.add(rows("f"), 15)
    assert keys_after(newest, 12) == ("", 12)
    assert keys_after(newest, 14) == ("f", 15)


def test_the_oldest_commits_are_forgotten_and_the_last_is_kept_whole(newest: NewestRows) -> None:
    newest.add(rows("e"), 14)
    assert keys_after(newest, 9) == ("abcde", 14), "without the first commit fewer than four would be left"
    newest.add(rows("f", "g"), 16)
    assert (keys_after(newest, 9), keys_after(newest, 12)) == (("", 9), ("defg", 16))
    newest.add(rows(*"hijklm"), 22)
    assert (keys_after(newest, 15), keys_after(newest, 16)) == (("", 15), ("hijklm", 22))


def test_impressions_are_left_out_and_changes_have_their_type() -> None:
    newest = NewestRows()
    newest.add([*rows("a"), *rows("b", entry_type="impression"), *rows("c", entry_type="item_patch")], 3)
    [event, change], last = newest.after(0, 9)
    assert (event[4], change[4], change[0], last) == (None, "item_patch", 3, 3)
    newest.add(rows("d", entry_type="impression"), 4)
    assert newest.after(3, 9) == ([], 4)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[SqliteStore, SqliteStore]]:
    with closing(SqliteStore(tmp_path / "log.db")) as one, closing(SqliteStore(tmp_path / "log.db")) as other:
        yield one, other


@pytest.mark.parametrize("seed", range(8))
def test_a_view_reads_the_same_entries_from_memory_and_from_the_file(
    stores: tuple[SqliteStore, SqliteStore], seed: int
) -> None:
    """Two writers append, erase and remove; each reads in steps of any size what a reader of the file reads."""
    for store in stores:
        store._newest = NewestRows(20)
    random, types = Random(seed), ("event", "event", "event", "impression", "item_patch", "merge")
    for step in range(60):
        writer = random.choice(stores)
        match random.randrange(20):
            case 0:
                writer.erase([f"u{random.randrange(3)}"], 0.5)
            case 1:
                writer.delete_before(1.0, random.sample(KEYED, 1))
            case 2:
                writer.delete_changes(random.randrange(100))
            case _:
                names = [(random.choice(types), f"k{step}-{n}") for n in range(random.randrange(1, 9))]
                writer.append([_entry(random, kind, key) for kind, key in names])
        for reader in stores:
            every = [for_view(each) for each in reader.read_after(0, 10_000, without=["impression"])]
            if reader is not writer:  # a removal by another process is followed by the tombstone of an erasure alone
                reader._newest.forget()
            after = random.choice([0, *(each.seq for each in every[-30:])])
            limit = random.randrange(1, 40)
            assert reader.read_for_view(after, limit) == [each for each in every if each.seq > after][:limit]


def _entry(random: Random, entry_type: EntryType, key: str) -> LogEntry:
    body = {"into": f"u{key}"} if entry_type == "merge" else {"item_id": "tea", "user_id": f"u{random.randrange(3)}"}
    return LogEntry(entry_type, key, random.random() * 2, 1.0, body | {"price": random.random()})


def test_own_entries_are_not_read_from_the_file(stores: tuple[SqliteStore, SqliteStore]) -> None:
    one, other = stores
    one.append([LogEntry("event", key, 1.0, 1.0, {"item_id": "tea"}) for key in "abc"])
    statements: list[str] = []
    one._reader.set_trace_callback(statements.append)
    assert [each.seq for each in one.read_for_view(0, 3)] == [1, 2, 3]
    assert statements == []
    other.append([LogEntry("event", "d", 1.0, 1.0, {"item_id": "tea"})])
    assert [each.seq for each in one.read_for_view(1, 9)] == [2, 3, 4]
    assert len(statements) == 1
