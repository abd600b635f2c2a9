"""Counts of lists follow the live log, for a bounded time per call."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from recsys.pipeline.recommender import Recommender
from serving.runtime import list_stats
from serving.runtime.list_stats import ListStats

AT = 1_719_800_000


def write(log: SqliteStore, n: int, start: int = 0) -> None:
    body = {"placement": "home", "items": [{"item_id": "a"}]}
    log.append([LogEntry("impression", f"r{start + k}", AT, AT, body) for k in range(n)])


def test_a_call_goes_on_where_the_last_one_ended(
    tmp_path: Path, shop_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(SqliteStore(tmp_path / "store.sqlite")) as log:
        stats, shop = ListStats(lambda: log), Recommender.open(shop_models)
        assert stats.days(shop, AT, 1) == ({}, 0, True)
        write(log, 5)
        assert [counts.lists for counts in stats.days(shop, AT, 1)[0].values()] == [5]
        write(log, 3, 5)
        monkeypatch.setattr(list_stats, "MAX_S", 0)
        assert stats.days(shop, AT, 1)[2] is False
        monkeypatch.setattr(list_stats, "MAX_S", 1)
        found, unmatched, is_complete = stats.days(shop, AT, 1)
        assert ([counts.lists for counts in found.values()], unmatched, is_complete) == ([8], 0, True)
