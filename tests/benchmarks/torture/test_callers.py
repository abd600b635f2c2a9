from __future__ import annotations

from contextlib import closing
from pathlib import Path

from benchmarks.torture.callers import lost_or_doubled
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry


def test_what_is_lost_or_doubled_is_found(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with closing(SqliteStore(path)) as store:
        store.append([LogEntry("event", key, 1.0, 1.0, {}) for key in ("a", "b", None, None)])
        for at in (0.1, 0.2):
            store.erase(["someone"], at)
    assert lost_or_doubled({"a", "b"}, path) == 0
    assert lost_or_doubled({"a", "c", "d"}, path) == 2
    with closing(SqliteStore(path)) as store:
        columns = "kind, key, at, received_at, user_id, visitor_id, body"
        store._writer.execute(f"INSERT INTO log ({columns}) SELECT {columns} FROM log WHERE key = 'a'")
    assert lost_or_doubled({"a", "b"}, path) == 1
