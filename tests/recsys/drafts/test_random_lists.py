"""What is read of the log for estimates: random lists of one placement, why others are left out, and clicks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from recsys.drafts.random_lists import read_random_lists
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from recsys.pipeline.recommender import Recommender

ITEMS = [{"item_id": "a", "propensity": 0.5}, {"item_id": "b", "propensity": 0.2}]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "store.sqlite")) as log:
        yield log


def test_each_list_is_kept_or_counted_by_the_reason(store: SqliteStore, shop_models: Path) -> None:
    recommender = Recommender.open(shop_models)
    good = {"placement": "popular", "model_version": recommender.version, "items": ITEMS, "user_id": "u"}
    bodies = [
        good,
        good | {"placement": "for_you"},
        good | {"model_version": "older"},
        good | {"experiments": {"e": "b"}},
        good | {"items": [{"item_id": "a"}]},
        good | {"items": [{**ITEMS[0], "position": 21}]},
        {key: value for key, value in good.items() if key != "user_id"},
    ]
    store.append([LogEntry("impression", f"r{n}", 10.5, 10.5, body) for n, body in enumerate(bodies)])
    store.append(
        [
            LogEntry("event", None, 11, 11, {"event": event, "item_id": "a", "user_id": "u"} | extra)
            for event, extra in (
                ("view_item", {"recommendation_id": "r0"}),
                ("view_item", {}),
                ("purchase", {"recommendation_id": "r0"}),
            )
        ]
    )
    seen: list[float] = []
    found = read_random_lists(
        recommender, store, "popular", batch=2, on_progress=lambda _, share=0.0: seen.append(share)
    )
    (kept,) = found.lists
    assert (kept.id, kept.at, kept.item_ids, kept.user) == ("r0", 10, ("a", "b"), {"user_id": "u"})
    assert found.left_out == {
        "of another bundle": 1,
        "of another variant": 1,
        "not random": 1,
        "later pages, or of nobody": 2,
    }
    assert found.clicked == {("r0", "a")}
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_an_empty_log_has_none(store: SqliteStore, shop_models: Path) -> None:
    found = read_random_lists(replace(Recommender.open(shop_models)), store, "popular")
    assert (found.lists, found.left_out, found.clicked) == ([], {}, set())
