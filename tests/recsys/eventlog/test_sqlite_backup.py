from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from recsys.core.errors import StoreError
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.sqlite_backup import BEFORE_RESTORE, backup_log, restore_log
from recsys.eventlog.store import LogEntry

NOON = 1_700_000_000.0


def event(key: str, user_id: str, at: float = NOON) -> LogEntry:
    return LogEntry("event", key, at, at, {"item_id": "tea", "user_id": user_id})


def keys(path: Path) -> list[tuple[str, str | None]]:
    with closing(SqliteStore(path)) as store:
        return [(each.entry.entry_type, each.entry.key) for each in store.read_after(0, 10_000)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "store.sqlite"
    with closing(SqliteStore(path)) as store:
        store.append([event("a", "u"), event("b", "v")])
    return path


def test_a_backup_of_a_log_in_use_has_every_acknowledged_entry(log: Path, tmp_path: Path) -> None:
    acknowledged: list[str] = []
    stop = threading.Event()

    def write() -> None:
        with closing(SqliteStore(log)) as store:
            while not stop.is_set():
                store.append([event(key := f"e{len(acknowledged)}", "w")])
                acknowledged.append(key)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for turn in range(5):
            known = set(acknowledged)
            backup = tmp_path / f"{turn}.backup"
            assert backup_log(log, backup) >= len(known) + 2
            assert (backup.stat().st_mode & 0o777, [*tmp_path.glob("*.backup-*")]) == (0o600, [])
            assert known <= {key for _, key in keys(backup)}
    finally:
        stop.set()
        writer.join()


def test_what_was_erased_after_the_backup_stays_erased(log: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    assert backup_log(log, backup) == 2
    with closing(SqliteStore(log)) as store:
        store.erase(["u"], NOON + 10)
        store.append([event("c", "v", NOON + 20)])
        last = store.last_seq()
    report = restore_log(backup, log)
    assert (report.entries, report.removed, report.unreadable) == (1, 1, "")
    assert keys(log) == [("event", "b"), ("erasure", "u")]
    assert report.replaced == log.with_name(log.name + BEFORE_RESTORE)
    assert ("event", "c") in keys(report.replaced)
    with closing(SqliteStore(log)) as store:
        late = [event("a", "other", NOON + 99), event("d", "u"), event("b", "v"), event("e", "u", NOON + 99)]
        assert store.append(late) == ["erased", "erased", "duplicate", "stored"]
        assert store.read_after(last, 1), "numbers go on after those of the replaced log"
    assert keys(backup)[0] == ("event", "a"), "the backup is not changed"


def test_a_log_that_is_gone_or_cannot_be_read_is_replaced(log: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    backup_log(log, backup)
    log.unlink()
    assert restore_log(backup, log, min_seq=70).replaced is None
    with closing(SqliteStore(log)) as store:
        store.append([event("new", "u")])
        assert store.last_seq() == 71
    log.write_bytes(b"no database" * 1000)
    report = restore_log(backup, log)
    assert "not a database" in report.unreadable
    assert len(keys(log)) == 2


def test_a_log_in_use_is_not_replaced(log: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    backup_log(log, backup)
    with closing(SqliteStore(log)) as store:
        with pytest.raises(StoreError, match="in use: stop the server"):
            restore_log(backup, log)
        assert store.append([event("c", "v")]) == ["stored"]
    assert ("event", "c") in keys(log)


@pytest.mark.parametrize("content", [None, b"", b"no database" * 1000])
def test_what_is_no_backup_is_refused(log: Path, tmp_path: Path, content: bytes | None) -> None:
    backup, before = tmp_path / "backup", keys(log)
    if content is not None:
        backup.write_bytes(content)
    with pytest.raises(StoreError, match="backup"):
        restore_log(backup, log)
    assert keys(log) == before
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith(".new")] == []


def test_a_damaged_backup_is_refused(log: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    with closing(SqliteStore(log)) as store:
        store.append([event(f"e{n}", "u") for n in range(2000)])
    backup_log(log, backup)
    damaged = bytearray(backup.read_bytes())
    damaged[8192:24_576] = b"\xff" * 16_384
    backup.write_bytes(damaged)
    with pytest.raises(StoreError):
        restore_log(backup, log)
    assert len(keys(log)) == 2002


def test_a_copy_that_does_not_fit_leaves_the_old_backup(log: Path, tmp_path: Path) -> None:
    target = tmp_path / "none" / "backup"
    with pytest.raises(StoreError, match="could not be copied"):
        backup_log(log, target)
    with pytest.raises(StoreError), closing(sqlite3.connect(tmp_path / "x")):
        backup_log(tmp_path / "missing", tmp_path / "backup")
    assert not (tmp_path / "backup").exists()
