from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from recsys.core.errors import StoreError
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from serving.runtime import retention
from serving.runtime.retention import Retention
from serving.runtime.settings import load_settings

DAY_S = 86_400
NOW = 1_700_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "store.sqlite")) as store:
        for days in (500, 100, 10):
            at = float(NOW - days * DAY_S)
            store.append(
                [
                    LogEntry("event", f"e{days}", at, at, {"item_id": "tea"}),
                    LogEntry("impression", f"r{days}", at, at, {"items": []}),
                    LogEntry("item_patch", "tea", at, at, {"price": 1.0}),
                ]
            )
        yield store


def kept(store: SqliteStore) -> list[str | None]:
    return [each.entry.key for each in store.read_after(0, 100) if each.entry.key != "tea"]


@pytest.mark.parametrize(
    ("events", "impressions", "left"),
    [
        (None, None, ["e500", "r500", "e100", "r100", "e10", "r10"]),
        (400, 90, ["e100", "e10", "r10"]),
        (None, 5, ["e500", "e100", "e10"]),
        (50, None, ["r500", "r100", "e10", "r10"]),
    ],
)
def test_each_kind_is_kept_for_its_own_days(
    store: SqliteStore, events: float | None, impressions: float | None, left: list[str]
) -> None:
    settings = load_settings(keep_events_days=events, keep_impressions_days=impressions)
    retention = Retention(settings, lambda: store, lambda: NOW)
    retention.remove()
    assert kept(store) == left
    assert not any(retention.remove().values())
    assert sum(each.entry.key == "tea" for each in store.read_after(0, 100)) == 3


def test_it_goes_on_after_a_failure(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "INTERVAL_S", 0.001)
    failures = iter([StoreError("busy"), StoreError("full")])

    def open_log() -> SqliteStore:
        for failure in failures:
            raise failure
        return store

    async def until_removed() -> None:
        running = asyncio.create_task(Retention(load_settings(keep_events_days=50), open_log, lambda: NOW).run())
        while "e500" in kept(store):
            await asyncio.sleep(0.01)
        running.cancel()

    asyncio.run(asyncio.wait_for(until_removed(), 30))


def test_it_ends_at_once_if_everything_is_kept(store: SqliteStore) -> None:
    asyncio.run(asyncio.wait_for(Retention(load_settings(), lambda: store, lambda: NOW).run(), 30))
    assert len(kept(store)) == 6
