from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from recsys.core.errors import DataError, StoreError
from recsys.eventlog.identities import SESSION
from recsys.eventlog.sqlite import FILES_S, SqliteStore
from recsys.eventlog.sqlite_dedup import digest_of
from recsys.eventlog.sqlite_schema import (
    STORE_SCHEMA_VERSION,
    connect,
    fetch_count,
    open_file,
    row_of,
    store_error,
    with_retry,
)
from recsys.eventlog.store import LogEntry


def entry(
    entry_type: Any = "event", key: str | None = "e", part: tuple[str, int] | None = None, **body: Any
) -> LogEntry:
    return LogEntry(entry_type, key, 1.5, 2.5, body, part)


def test_an_event_row_has_its_ids_in_columns_and_its_body_as_json() -> None:
    row = row_of(entry(user_id="u", visitor_id="v", item_id="tea", received_at="left out"), 0)
    assert row.stored == (
        "event", "e", 1.5, 2.5, "u", "v", digest_of("event", "e"), '{"user_id":"u","visitor_id":"v","item_id":"tea"}',
    )  # fmt: skip
    assert (row.follows, row.session) == (False, None)


def test_an_anonymous_event_has_the_key_of_its_session() -> None:
    assert row_of(entry(session_id="s"), 0).session == f"{SESSION}s"
    assert row_of(entry(session_id="s", visitor_id="v"), 0).session is None
    assert row_of(entry("item_put", "tea", session_id="s"), 0).session is None


def test_a_user_change_belongs_to_its_user_and_an_item_change_to_nobody() -> None:
    assert row_of(entry("user_patch", "u"), 0).user_id == "u"
    assert row_of(entry("item_patch", "tea", user_id="u"), 0).user_id is None
    assert row_of(entry("user_patch", "u"), 0).digest is None


def test_the_first_part_of_an_event_has_the_digest_of_the_event() -> None:
    first, second = row_of(entry(key="e#1", part=("e", 1)), 0), row_of(entry(key="e#2", part=("e", 2)), 1)
    assert (first.digest, first.follows) == (digest_of("event", "e"), False)
    assert (second.digest, second.follows) == (digest_of("event", "e#2"), True)
    assert row_of(entry(key=None), 0).digest is None


@pytest.mark.parametrize("wrong", [{"x": object()}, {"x": "\ud800"}])
def test_a_body_that_is_not_json_is_named_by_its_position(wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="entry 3 cannot be encoded"):
        row_of(entry(**wrong), 3)


def test_a_time_must_be_finite() -> None:
    with pytest.raises(DataError, match="a time is not finite"):
        row_of(LogEntry("event", "e", float("nan"), 1.0, {}), 0)


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
