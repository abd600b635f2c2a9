"""Counterfactual reports: a planted preference is found in random lists, and what no log carries is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from recsys.core.placements import PLACEMENTS, Pin, Placement
from recsys.core.request import Request
from recsys.drafts.counterfactual import COUNTS_ZH, MIN_LISTS, counterfactual
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from recsys.live.view import LiveView
from recsys.pipeline.recommender import Recommender
from recsys.rules.placement_registry import PlacementRegistry
from tests.recsys.drafts.random_lists import N_LISTS, has_events, write_random_lists

RANDOM = replace(PLACEMENTS["popular"], rotation=0.6, limit=4)


@pytest.fixture
def recommender(shop_models: Path) -> Recommender:
    opened = Recommender.open(shop_models)
    return replace(opened, book=PlacementRegistry(MappingProxyType({**PLACEMENTS, "popular": RANDOM})))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "store.sqlite")) as log:
        yield log


def popular(recommender: Recommender, n: int) -> list[str]:
    plain = replace(recommender, book=PlacementRegistry())
    return [item.item_id for item in plain.recommend_for(Request("popular", recommender.data_end, limit=n)).items]


def test_a_list_that_puts_the_liked_items_first_is_valued_higher(store: SqliteStore, recommender: Recommender) -> None:
    ranked = popular(recommender, 5)
    third, fifth = ranked[2], ranked[4]
    write_random_lists(store, recommender, {third, fifth})
    plain = replace(RANDOM, rotation=0.0)
    better = replace(plain, pins=(Pin(third, 1), Pin(fifth, 2)))
    for changed, true in ((better, 1.0), (plain, 0.5)):
        found = {each.estimator: each for each in counterfactual(recommender, store, "popular", changed).estimates}
        assert set(found) == {"logged", "ips", "self_normalized", "slate", "doubly_robust"}
        for name in ("slate", "doubly_robust"):
            half = (found[name].high - found[name].low) / 2
            assert abs(found[name].value - true) < 2 * half, name
        assert found["logged"].value < 0.95


def test_a_value_is_stated_in_words_with_what_it_is_worth(store: SqliteStore, recommender: Recommender) -> None:
    write_random_lists(store, recommender, set(popular(recommender, 1)))
    report = counterfactual(recommender, store, "popular", replace(RANDOM, rotation=0.0))
    assert report.counts == {"used": N_LISTS}
    assert report.support == 1
    assert report.text.startswith("The changed popular would get 0.")
    assert f"by {N_LISTS} lists worth" in report.text
    assert "预计每个列表" in report.text_zh


@pytest.mark.parametrize(
    ("present", "changed", "message"),
    [
        (PLACEMENTS["popular"], RANDOM, "lists of popular are not drawn at random: give it a rotation"),
        (replace(RANDOM, diversity=0.3), RANDOM, "the present list is rearranged after the draw (diversity)"),
        (RANDOM, replace(RANDOM, tail_share=0.3), "the changed list is rearranged after the draw (tail_share)"),
    ],
)
def test_placements_that_no_log_can_carry_are_refused(
    store: SqliteStore, recommender: Recommender, present: Placement, changed: Placement, message: str
) -> None:
    served = replace(recommender, book=PlacementRegistry(MappingProxyType({**PLACEMENTS, "popular": present})))
    report = counterfactual(served, store, "popular", changed)
    assert report.estimates == ()
    assert message in report.text
    assert report.text_zh.startswith("无法估计")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_version": "older"}, "of another bundle"),
        ({"experiments": {"calm": "mixed"}}, "of another variant"),
        ({"items": [{"item_id": "i"}]}, "not random"),
        ({"user_id": None}, "later pages, or of nobody"),
        ({"items": [{"item_id": "unknown", "propensity": 0.5}]}, "not reproduced"),
        ({"user_id": "a stranger"}, "of users without events"),
    ],
)
def test_lists_that_cannot_be_used_are_counted(
    store: SqliteStore, recommender: Recommender, changes: dict[str, Any], reason: str
) -> None:
    write_random_lists(store, recommender, set(), 8, **changes)
    report = counterfactual(recommender, store, "popular", replace(RANDOM, rotation=0.0))
    assert report.counts[reason] == 8
    assert f"expected at least {MIN_LISTS}" in report.text
    assert reason not in report.text_zh
    assert f"{COUNTS_ZH[reason]}8个" in report.text_zh


def test_a_change_that_the_log_has_not_explored_is_refused(store: SqliteStore, recommender: Recommender) -> None:
    write_random_lists(store, recommender, set(), 120)
    ids = popular(recommender, 100)[40:44]
    far = replace(RANDOM, rotation=0.0, pins=tuple(Pin(item, rank) for rank, item in enumerate(ids, 1)))
    report = counterfactual(recommender, store, "popular", far)
    assert "has explored only" in report.text
    assert report.support < 0.9
    assert report.estimates == ()


def test_lists_are_made_again_without_the_events_that_followed_in_the_same_second(
    store: SqliteStore, recommender: Recommender
) -> None:
    random = replace(RANDOM, own="drop")
    book = PlacementRegistry(MappingProxyType({**PLACEMENTS, "popular": random}))
    live = LiveView(recommender.engine)
    served = replace(recommender, book=book, live=live, log=store)
    users = [user for user in recommender.engine.users.ids if has_events(recommender, user)]
    for each in range(MIN_LISTS):
        user, at = users[each % len(users)], recommender.data_end + each // len(users) * 86_400
        found = served.recommend_for(Request("popular", at, limit=4, user_id=user))
        items = [{"item_id": item.item_id, "propensity": item.propensity} for item in found.items]
        body = {"placement": "popular", "model_version": recommender.version, "items": items, "user_id": user}
        bought = {"event": "purchase", "item_id": found.items[0].item_id, "user_id": user}
        store.append(
            [
                LogEntry("impression", f"r{each}", at, at, body, made_with=live.seq),
                LogEntry("event", None, at, at, bought | {"recommendation_id": f"r{each}"}),
            ]
        )
        served.catch_up()
    report = counterfactual(served, store, "popular", replace(random, rotation=0.0))
    assert report.counts == {"used": MIN_LISTS}


def test_a_sample_of_many_lists_is_replayed(store: SqliteStore, recommender: Recommender) -> None:
    write_random_lists(store, recommender, set(popular(recommender, 2)), 150)
    done: list[float] = []
    report = counterfactual(
        recommender, store, "popular", RANDOM, max_lists=110, on_progress=lambda _, share=0.0: done.append(share)
    )
    assert report.counts["used"] == 110
    assert done[-1] == 1
    logged, *others = report.estimates
    assert all(each.value == pytest.approx(logged.value) for each in others if each.estimator != "doubly_robust")
