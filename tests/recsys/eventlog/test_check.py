from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from recsys.eventlog.check import check_log
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry


def test_a_whole_log_has_no_findings(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "store.sqlite")) as store:
        store.append([LogEntry("item_put", f"i{n}", 1.0, 1.0, {}) for n in range(3)])
        store.append([LogEntry("event", "e", 1.0, 1.0, {"item_id": "i1"})])
        report = check_log(store)
    assert report.entries == {"event": 1, "item_put": 3}
    assert report.damage == report.unreadable == ()


def test_an_entry_that_cannot_be_read_is_found_and_stops_no_other(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with closing(SqliteStore(path)) as store:
        store.append([LogEntry("item_put", f"i{n}", 1.0, 1.0, {}) for n in range(5)])
        with closing(sqlite3.connect(path)) as db:
            db.execute("UPDATE log SET body = '{broken' WHERE seq = 2")
            db.execute("UPDATE log SET body = '[1]' WHERE seq = 4")
            db.commit()
        report = check_log(store)
        assert [entry.seq for entry in store.read_after(0, 10)] == [1, 2, 3, 4, 5]
    assert report.entries == {"item_put": 3, "unreadable": 2}
    assert [seq for seq, _ in report.unreadable] == [2, 4]
    assert "i1" in report.unreadable[0][1]


def test_a_damaged_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with closing(SqliteStore(path)) as store:
        store.append([LogEntry("event", f"e{n}", 1.0, 1.0, {"item_id": "x" * 500}) for n in range(300)])
        store.purge()
    content = bytearray(path.read_bytes())
    content[2 * 4096 : 6 * 4096] = b"\xff" * (4 * 4096)
    path.write_bytes(content)
    with closing(SqliteStore(path)) as store:
        assert check_log(store).damage
