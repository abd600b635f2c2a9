from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from recsys.eventlog.identities import Identities
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from serving.runtime import merges
from serving.runtime.merges import MergeLog


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "log.sqlite")) as store:
        yield store


def change(kind: Any, source: str, target: str) -> LogEntry:
    return LogEntry(kind, source, 0.0, 0.0, {"into": target})


def event(number: int) -> LogEntry:
    return LogEntry("event", f"e{number}", 0.0, 0.0, {"item_id": "i", "event": "view_item", "user_id": "u"})


def test_merges_are_followed(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merges, "BATCH", 2)
    log = MergeLog(lambda: store)
    assert (log.is_merged("v", "u"), log.aliases_of("u")) == (False, ("u",))
    store.append([change("merge", "v", "u"), *map(event, range(5)), change("merge", "w", "v")])
    assert (log.is_merged("v", "u"), log.aliases_of("u")) == (True, ("u", "v", "w"))
    store.append([change("unmerge", "v", "u")])
    assert (log.is_merged("v", "u"), log.aliases_of("u"), log.aliases_of("v")) == (False, ("u",), ("v", "w"))


def test_a_late_reader_and_an_early_one_agree(store: SqliteStore) -> None:
    early = MergeLog(lambda: store)
    for kind, source, target in [("merge", "a", "b"), ("merge", "b", "c"), ("unmerge", "a", "b"), ("merge", "c", "a")]:
        store.append([change(kind, source, target)])
        late = MergeLog(lambda: store)
        for key in "abc":
            assert [early.is_merged(key, into) for into in "abc"] == [late.is_merged(key, into) for into in "abc"]
            assert early.aliases_of(key) == late.aliases_of(key)


def test_only_new_entries_are_read(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append([change("merge", "v", "u")])
    log = MergeLog(lambda: store)
    assert log.is_merged("v", "u")
    monkeypatch.setattr(store, "read_types", lambda *_: pytest.fail("merges are read twice"))
    monkeypatch.setattr(store, "read_after", lambda *_, **__: pytest.fail("there is no new entry"))
    assert log.is_merged("v", "u")


def test_merges_of_the_bundle_count_where_the_log_has_none(store: SqliteStore) -> None:
    served = Identities({"visitor": "u", "moved": "u", "far": "visitor"})
    log = MergeLog(lambda: store, lambda: served)
    assert log.aliases_of("u") == ("u", "far", "moved", "visitor")
    assert log.is_merged("visitor", "u")
    assert not log.is_merged("far", "u")
    assert [log.closes_circle("u", "far"), log.closes_circle("u", "new"), log.closes_circle("far", "new")] == [
        True, False, False,
    ]  # fmt: skip
    change_of_log = change("merge", "moved", "other")
    store.append([change_of_log])
    assert log.aliases_of("u") == ("u", "far", "visitor"), "also while the bundle's view is behind"
    served.apply(change_of_log)
    assert log.aliases_of("other") == ("other", "moved")
