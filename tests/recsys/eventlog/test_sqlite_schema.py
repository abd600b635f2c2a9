from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from recsys.core.errors import StoreError
from recsys.eventlog.sqlite import FILES_S, SqliteStore
from recsys.eventlog.sqlite_schema import (
    STORE_SCHEMA_VERSION,
    connect,
    fetch_count,
    open_file,
    store_error,
    with_retry,
)
from recsys.eventlog.store import LogEntry


def test_a_new_file_has_the_current_version_and_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    for _ in range(2):
        with closing(open_file(path, 1.0)) as db:
            assert fetch_count(db, "PRAGMA user_version") == STORE_SCHEMA_VERSION
            assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert fetch_count(db, "PRAGMA synchronous") == 2
            assert fetch_count(db, "SELECT count(*) FROM log") == 0


def test_a_file_that_is_not_a_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match=r"log\.db could not be opened"):
        open_file(path, 1.0)
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE t (x)")
    with pytest.raises(StoreError, match="schema version 0"):
        open_file(other, 1.0)


def test_an_action_is_repeated_until_the_file_is_free(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with closing(open_file(path, 1.0)) as writer, closing(connect(path, 0.0)) as other:
        writer.execute("BEGIN IMMEDIATE")
        calls = 0

        def begin() -> str:
            nonlocal calls
            calls += 1
            if calls == 3:
                writer.execute("ROLLBACK")
            other.execute("BEGIN IMMEDIATE")
            return "done"

        assert with_retry(begin, 5.0) == "done"
        assert calls == 3
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            with_retry(lambda: writer.execute("BEGIN IMMEDIATE"), 0.01)
        with pytest.raises(sqlite3.OperationalError, match="syntax"):
            with_retry(lambda: writer.execute("SELEKT"), 5.0)


def test_an_error_names_the_file_and_the_remedy() -> None:
    error = store_error(Path("log.db"), "read", sqlite3.Error("disk I/O error"))
    assert str(error) == (
        "log.db could not be read (disk I/O error): check the file, its folder, the disk's space and rights"
    )


def test_the_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "store.sqlite")) as store:
        store.append([LogEntry("item_put", "i", 1.0, 1.0, {})])
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_file_that_is_deleted_or_replaced_acknowledges_nothing(
    tmp_path: Path, suffix: str, is_replaced: bool
) -> None:
    path = tmp_path / "store.sqlite"
    with closing(SqliteStore(path)) as store:
        store.append([LogEntry("item_put", "i", 1.0, 1.0, {})])
        file, kept = tmp_path / f"store.sqlite{suffix}", tmp_path / "kept"
        file.rename(kept)
        if is_replaced:
            file.write_bytes(kept.read_bytes())
        for act in (lambda: store.append([LogEntry("item_put", "j", 1.0, 1.0, {})]), store.version):
            with pytest.raises(StoreError, match="was deleted or replaced while the store was open"):
                act()
        kept.replace(file)
        assert store.append([LogEntry("item_put", "j", 1.0, 1.0, {})]) == ["stored"], "it is back"


def test_readers_notice_a_deleted_file_in_time(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with closing(SqliteStore(path)) as store:
        store.version()
        path.rename(tmp_path / "kept")
        time.sleep(FILES_S)
        with pytest.raises(StoreError, match="was deleted or replaced"):
            store.version()


def test_two_processes_with_two_indexes_of_the_log_never_write_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with closing(SqliteStore(path)) as store:
        store.append([LogEntry("item_put", f"i{n}", 1.0, 1.0, {"title": "x" * 500}) for n in range(200)])
        Path(f"{path}-shm").unlink()
        with closing(connect(path, 5.0)) as other:
            other.execute("BEGIN IMMEDIATE")  # a lock that the store does not see
            for act in (lambda: store.append([LogEntry("item_put", "j", 1.0, 1.0, {})]), store.purge):
                with pytest.raises(StoreError, match="-shm was deleted or replaced"):
                    act()
            other.execute("ROLLBACK")
    with closing(SqliteStore(path)) as store:
        assert (store.damage(), store.last_seq()) == ((), 200)


def test_other_processes_checkpoints_and_purges_replace_no_file(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with closing(SqliteStore(path)) as store:
        for n in range(3):
            with closing(SqliteStore(path)) as other:
                other.append([LogEntry("item_put", f"o{n}", 1.0, 1.0, {})])
                assert other.purge()
                assert other.compact()
            assert store.append([LogEntry("item_put", f"i{n}", 1.0, 1.0, {})]) == ["stored"]
        assert store.last_seq() == 6
