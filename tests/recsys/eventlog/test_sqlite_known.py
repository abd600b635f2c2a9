from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from recsys.eventlog import sqlite_known
from recsys.eventlog.log_rows import ERASED_SEQ, digest_of, row_of
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.sqlite_known import SqliteEntries
from recsys.eventlog.sqlite_schema import open_file
from recsys.eventlog.store import LogEntry

NOON = 1_700_000_000.0


@pytest.fixture
def known(tmp_path: Path) -> Iterator[SqliteEntries]:
    path = tmp_path / "log.db"
    with closing(SqliteStore(path)) as store:
        store.append([LogEntry("event", key, NOON, NOON, {"user_id": key}) for key in ("a", "gone")])
        store.append([LogEntry("merge", "v", NOON, NOON, {"into": "u"}), LogEntry("unmerge", "v", NOON, NOON, {})])
        store.erase(["gone"], NOON + 2, NOON + 1)
    with closing(open_file(path, 1.0)) as db:
        yield SqliteEntries(db)


def test_erasures_and_merges_are_read_after_a_number(known: SqliteEntries) -> None:
    assert list(known.tombstones_after(0)) == [(5, "gone", NOON + 1, NOON + 2)]
    assert list(known.tombstones_after(5)) == []
    assert [(each.seq, each.entry.entry_type) for each in known.merges_after(0)] == [(3, "merge"), (4, "unmerge")]
    assert [each.seq for each in known.merges_after(3)] == [4]


def test_ids_are_found_with_their_rows(known: SqliteEntries) -> None:
    digests = {key: digest_of("event", key) for key in ("a", "gone", "new")}
    assert known.find(digests.values()) == {digests["a"]: 1, digests["gone"]: ERASED_SEQ}
    assert known.row(1) == row_of(LogEntry("event", "a", NOON, NOON, {"user_id": "a"}), 0)
    assert known.row(2) is None


@pytest.mark.parametrize("sql", [sqlite_known._TOMBSTONES, sqlite_known._NEW_MERGES])
def test_rare_types_are_read_by_an_index(known: SqliteEntries, sql: str) -> None:
    plan = known._db.execute(f"EXPLAIN QUERY PLAN {sql}", (0,)).fetchall()
    assert "others" in str(plan)
