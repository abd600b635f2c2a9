from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from recsys.eventlog.log_rows import ERASED_SEQ, digest_of, row_of
from recsys.eventlog.postgres.connection import Connection, Database
from recsys.eventlog.postgres.known import PostgresEntries
from recsys.eventlog.postgres.store import PostgresStore
from recsys.eventlog.store import LogEntry
from tests.postgres import schema_of

NOON = 1_700_000_000.0


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Connection]:
    with closing(PostgresStore(schema_of(tmp_path))) as store:
        store.append([LogEntry("event", key, NOON, NOON, {"user_id": key}) for key in ("a\\0", "gone")])
        store.append([LogEntry("merge", "v", NOON, NOON, {"into": "u"}), LogEntry("unmerge", "v", NOON, NOON, {})])
        store.erase(["gone"], NOON + 2, NOON + 1)
    with Database(schema_of(tmp_path)).connect() as db:
        yield db


def test_erasures_and_merges_are_read_after_a_number_unless_there_are_none(db: Connection) -> None:
    known = PostgresEntries(db, 1 << 60)
    [(seq, *tombstone)] = known.tombstones_after(0)
    assert tombstone == ["gone", NOON + 1, NOON + 2]
    assert list(known.tombstones_after(seq)) == []
    merges = list(known.merges_after(0))
    assert [each.entry.entry_type for each in merges] == ["merge", "unmerge"]
    assert list(known.merges_after(merges[0].seq)) == merges[1:]
    assert list(PostgresEntries(db, 0).merges_after(0)) == list(PostgresEntries(db, 0).tombstones_after(0)) == []


def test_ids_are_found_with_their_rows(db: Connection) -> None:
    known = PostgresEntries(db, 0)
    digests = {key: digest_of("event", key) for key in ("a\\0", "gone", "new")}
    found = known.find(digests.values())
    assert found.keys() == {digests["a\\0"], digests["gone"]}
    assert found[digests["gone"]] == ERASED_SEQ
    assert known.row(found[digests["a\\0"]]) == row_of(LogEntry("event", "a\\0", NOON, NOON, {"user_id": "a\\0"}), 0)
    assert known.row(5) is None
    assert known.find([]) == {}
