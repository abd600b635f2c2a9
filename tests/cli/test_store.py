from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from recsys.eventlog.opening import open_log
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from tests.cli.conftest import Run
from tests.postgres import schema_of

DAY_S = 86_400


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A live log with old and new entries of every group."""
    path, now = tmp_path / "events.db", time.time()
    with closing(SqliteStore(path)) as store:
        for days in (40, 20, 0):
            at = now - days * DAY_S
            body = {"user_id": "u", "item_id": "tea"}
            store.append(
                [
                    LogEntry("event", f"e{days}", at, at, body | {"event": "purchase"}),
                    LogEntry("impression", f"r{days}", at, at, {"user_id": "u", "items": [{"item_id": "tea"}]}),
                    LogEntry("item_patch", "tea", at, at, {"price": float(days)}),
                    LogEntry("user_patch", "u", at, at, {"region": "north"}),
                    LogEntry("merge", f"v{days}", at, at, {"into": "u"}),
                ]
            )
    return path


def kept(path: Path) -> list[tuple[str, str | None]]:
    with closing(SqliteStore(path)) as store:
        return [(stored.entry.entry_type, stored.entry.key) for stored in store.read_after(0, 100)]


def test_prune_removes_old_entries_of_each_kind_by_its_own_age(log: Path, recsys: Run) -> None:
    before = kept(log)
    done = recsys("store", "prune", "--store", log, "--events-older-than", "30d", "--impressions-older-than", "240h")
    assert done.code == 0
    assert ("removed 1 events before" in done.out, "removed 2 impressions before" in done.out) == (True, True)
    gone = (("event", "e40"), ("impression", "r40"), ("impression", "r20"))
    assert kept(log) == [entry for entry in before if entry not in gone]


def test_prune_removes_changes_up_to_a_number(log: Path, recsys: Run) -> None:
    done = recsys("store", "prune", "--store", log, "--events-older-than", "30d", "--changes-up-to", 10, "--json")
    report = json.loads(done.out)
    assert (done.code, report["events_removed"], report["changes_removed"]) == (0, 1, 4)
    assert "impressions_removed" not in report
    changes = [entry_type for entry_type, _ in kept(log) if entry_type.endswith("_patch")]
    assert changes == ["item_patch", "user_patch"]
    assert sum(entry_type == "merge" for entry_type, _ in kept(log)) == 3


@pytest.mark.parametrize(
    "age", ["-1d", "30", "", "d", "1e3d", "99999d", "999999.999999999d", "9" * 300 + "d", "30 d", "30m", "nan"]
)
def test_an_age_names_its_unit(log: Path, recsys: Run, age: str) -> None:
    done = recsys("store", "prune", "--store", log, f"--events-older-than={age}")
    assert (done.code, "--events-older-than" in done.err, "400d" in done.err) == (2, True, True)
    assert len(kept(log)) == 15


def test_a_missing_log_and_a_prune_of_nothing_are_wrong_calls(tmp_path: Path, log: Path, recsys: Run) -> None:
    missing = recsys("store", "prune", "--store", tmp_path / "none.db", "--events-older-than", "1d")
    assert (missing.code, "none.db" in missing.err) == (2, True)
    nothing = recsys("store", "prune", "--store", log)
    assert (nothing.code, "nothing to remove" in nothing.err) == (2, True)


def test_compact_returns_the_space(log: Path, recsys: Run) -> None:
    with closing(SqliteStore(log)) as store:
        store.append([LogEntry("event", f"x{n}", 1.0, 1.0, {"item_id": "tea" * 50}) for n in range(5_000)])
    recsys("store", "prune", "--store", log, "--events-older-than", "1000d")
    report = json.loads(recsys("store", "compact", "--store", log, "--json").out)
    assert report["compacted"]
    assert report["bytes_after"] < report["bytes_before"] / 2
    assert len(kept(log)) == 15


def test_a_backup_is_restored_without_who_was_erased_since(log: Path, tmp_path: Path, recsys: Run) -> None:
    backup = tmp_path / "log.backup"
    assert json.loads(recsys("store", "backup", "--store", log, "--out", backup, "--json").out)["entries"] == 15
    with closing(SqliteStore(log)) as store:
        store.erase(["u"], time.time())
    done = recsys("store", "restore", "--from", backup, "--store", log)
    assert (done.code, "removed 9 entries" in done.out, "before-restore" in done.out) == (0, True, True)
    assert sorted({entry_type for entry_type, _ in kept(log)}) == ["erasure", "item_patch", "merge"]


def test_a_log_in_use_is_not_restored(log: Path, tmp_path: Path, recsys: Run) -> None:
    recsys("store", "backup", "--store", log, "--out", tmp_path / "log.backup")
    with closing(SqliteStore(log)):
        done = recsys("store", "restore", "--from", tmp_path / "log.backup", "--store", log)
    assert (done.code, "stop the server" in done.err) == (2, True)


def test_check_finds_nothing_wrong_with_a_sound_log(recsys: Run, log: Path) -> None:
    said = recsys("store", "check", "--store", log)
    assert said.code == 0
    assert "3 entries of type event" in said.out
    assert said.out.endswith("nothing is wrong\n")


def test_check_names_entries_that_cannot_be_read_or_applied(recsys: Run, log: Path, shop_models: Path) -> None:
    with closing(sqlite3.connect(log)) as db:
        db.execute("UPDATE log SET body = '{' WHERE seq = 3")
        one_piece = "json_set(body, '$.item_id', 'phone-1', '$.quantity', 'x')"
        db.execute(f"UPDATE log SET body = {one_piece} WHERE kind = 'event' AND seq != 3")
        db.commit()
    said = recsys("store", "check", "--store", log, "--models", shop_models, "--json")
    assert said.code == 1
    found = json.loads(said.out)
    assert [each["seq"] for each in found["unreadable"]] == [3]
    assert [each["seq"] for each in found["set_aside"]] == [1, 3, 6, 11]
    assert found["damage"] == []
    text = recsys("store", "check", "--store", log, "--models", shop_models)
    assert text.code == 1
    assert "entry 3 cannot be read" in text.out
    assert "is set aside" in text.out
    assert "nothing is wrong" not in text.out


def test_check_of_no_file_is_a_wrong_call(recsys: Run, tmp_path: Path) -> None:
    assert recsys("store", "check", "--store", tmp_path / "none").code == 2


def test_a_log_moves_to_a_database_while_its_server_runs(log: Path, recsys: Run, tmp_path: Path) -> None:
    database = schema_of(tmp_path)
    done = recsys("store", "migrate", log, database)
    assert done.code == 0
    assert f"copied {len(kept(log))} entries of {log} to postgresql://" in done.out
    with closing(SqliteStore(log)) as store:
        store.append([LogEntry("event", "since", 1.0, 1.0, {"user_id": "u", "item_id": "tea", "event": "purchase"})])
        store.erase(["nobody"], time.time())
        store.delete_before(time.time() - 30 * DAY_S, ["impression"])
    report = json.loads(recsys("store", "migrate", log, database, "--json").out)
    assert (report["copied"], report["removed"], report["last_seq"]) == (2, 1, 17)
    with closing(open_log(database)) as store:
        assert [(each.entry.entry_type, each.entry.key) for each in store.read_after(0, 100)] == kept(log)
    checked = recsys("store", "check", "--store", database)
    assert (checked.code, "nothing is wrong" in checked.out) == (0, True)
    pruned = recsys("store", "prune", "--store", database, "--events-older-than", "30d", "--json")
    assert json.loads(pruned.out)["events_removed"] == 2
    compacted = json.loads(recsys("store", "compact", "--store", database, "--json").out)
    assert compacted["compacted"]
    assert compacted["bytes_before"] > 0
    attributed = recsys("attribution", "--store", database, "--json")
    assert attributed.code == 0


def test_what_only_a_file_allows_is_refused_for_a_database(log: Path, recsys: Run, tmp_path: Path) -> None:
    database = schema_of(tmp_path)
    copied = recsys("store", "backup", "--store", database, "--out", tmp_path / "copy")
    assert (copied.code, "is a database: copy it with pg_dump" in copied.err) == (2, True)
    restored = recsys("store", "restore", "--from", log, "--store", database)
    assert (restored.code, "is a database: restore it with pg_restore" in restored.err) == (2, True)
    moved = recsys("store", "migrate", log, tmp_path / "other.sqlite")
    assert (moved.code, "expected an address such as postgresql://" in moved.err) == (2, True)
