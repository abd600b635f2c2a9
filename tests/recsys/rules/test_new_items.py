"""New items in personal lists: by hand on the engine of eight items, and for the fans of a niche."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.placements import PLACEMENTS, Placement
from recsys.core.request import Request
from recsys.data.dataset import DAY_S
from recsys.fitting.engine import Engine
from recsys.live.catalog_overlay import CatalogOverlay
from recsys.pipeline.recommend import recommend
from recsys.retrieval.query import Ranking
from recsys.retrieval.user_state import UserState
from recsys.rules.new_items import NEW_DAYS, add_new, new_items
from tests.recsys.tiny_engine import N_ITEMS, NOW, i32, state_of, tiny_engine
from tests.shop import LEATHER_FANS, USERS_WITH_HISTORY, at

PLACED = Placement("mine", "user", {"als": 1.0}, new_share=0.4)
"""Of five places, two."""


def engine_with(ages: dict[int, float], n_buyers: dict[int, int] | None = None) -> Engine:
    """Items created some days ago; without buyers unless given."""
    base = tiny_engine()
    created = [at(round(NOW - ages[row] * DAY_S)) if row in ages else None for row in range(N_ITEMS)]
    buyers = base.popularity.n_buyers.copy()
    buyers[list(ages)] = 0
    for row, n in (n_buyers or {}).items():
        buyers[row] = n
    items = base.items_table.with_columns(pl.Series("created_at", created, base.items_table.schema["created_at"]))
    return replace(base, items_table=items, popularity=replace(base.popularity, n_buyers=buyers))


def ranking_of(*rows: int) -> Ranking:
    n = len(rows)
    return Ranking(i32(*rows), np.linspace(1, 0.5, n, dtype=np.float32), np.full(n, "als", np.object_))


def state_with(engine: Engine, vector: tuple[float, float] = (1.0, 0.0)) -> UserState:
    """A state whose user has a given vector."""
    state = state_of((0, 1), engine=engine)
    vars(state)["vector"] = np.array(vector, np.float32)
    return state


@pytest.mark.parametrize(
    ("age", "buyers", "is_new"),
    [(0, 0, True), (NEW_DAYS, 4, True), (NEW_DAYS + 1, 0, False), (1, 5, False), (-1, 0, False)],
)
def test_an_item_is_new_if_it_was_created_of_late_and_has_few_buyers(age: float, buyers: int, is_new: bool) -> None:
    found = new_items(engine_with({3: age}, {3: buyers}), NOW)
    assert found.tolist() == ([3] if is_new else [])


def test_the_newest_come_first() -> None:
    assert new_items(engine_with({2: 5, 4: 1, 6: 3}), NOW).tolist() == [4, 6, 2]


def test_new_items_that_fit_get_the_last_places_of_the_page() -> None:
    """The user's vector is (1, 0): item 5 scores .75 and item 7 .375; the median of the list is .375."""
    ranking = add_new(PLACED, state_with(engine_with({5: 1, 7: 1})), ranking_of(0, 1, 4, 2, 3, 6))
    assert ranking.item_idx.tolist() == [0, 1, 4, 5, 7, 2, 3, 6]
    assert ranking.source.tolist()[3:5] == ["content"] * 2
    assert (np.diff(ranking.score) <= 0).all()


def test_new_items_that_do_not_fit_get_none() -> None:
    ranking = ranking_of(0, 1, 4)
    assert add_new(PLACED, state_with(engine_with({3: 1, 2: 1})), ranking) is ranking


def test_new_items_that_are_listed_anyway_count_against_the_share() -> None:
    ranking = add_new(PLACED, state_with(engine_with({5: 1, 7: 1, 0: 1})), ranking_of(0, 1, 4, 2, 3))
    assert ranking.item_idx.tolist() == [0, 1, 4, 2, 5, 3]


@given(
    rows=st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=8, unique=True),
    new=st.sets(st.integers(0, N_ITEMS - 1)),
    share=st.floats(0, 1),
)
def test_no_item_is_lost_and_no_more_places_go_to_new_ones(rows: list[int], new: set[int], share: float) -> None:
    state = state_with(engine_with(dict.fromkeys(new, 1.0)))
    before = ranking_of(*rows)
    after = add_new(replace(PLACED, new_share=share), state, before)
    assert len(set(after.item_idx.tolist())) == len(after.item_idx)
    assert set(rows) <= set(after.item_idx.tolist())
    old = [row for row in rows if row not in new]
    assert [row for row in after.item_idx.tolist() if row not in new] == old
    had, has = (len(new & set(each.item_idx[:5].tolist())) for each in (before, after))
    assert has <= max(had, int(share * 5))
    assert (np.diff(after.score) <= 0).all()


WALLET: dict[str, Any] = {
    "title": "手工皮具 钱包",
    "category": ["手工", "皮具", "钱包"],
    "tags": ["手工", "真皮", "小众"],
    "brand": "匠心",
}


@pytest.mark.parametrize("placement", ["for_you", "discover"])
def test_a_new_item_reaches_the_fans_of_its_niche_and_few_others(shop_engine: Engine, placement: str) -> None:
    now = shop_engine.dataset_info.end + 60
    overlay = CatalogOverlay(shop_engine)
    overlay.apply("new", "item_put", WALLET | {"created_at": at(now - 10).isoformat()})
    waiting = overlay.unsettled()
    assert waiting is not None
    overlay.settle(waiting.settled())

    def share(users: list[str]) -> float:
        lists = [recommend(overlay.engine, Request(placement, user_id=user, limit=10, as_of=now)) for user in users]
        for each in lists:
            assert len(each.items) == len({item.item_id for item in each.items}) == 10
            assert all(item.reasons for item in each.items)
        return float(np.mean(["new" in [item.item_id for item in each.items] for each in lists]))

    others = [user for user in USERS_WITH_HISTORY if user not in LEATHER_FANS]
    assert share(list(LEATHER_FANS)) >= 0.8
    assert share(others) <= 0.3


def test_the_share_is_that_of_the_placements() -> None:
    assert {name for name, each in PLACEMENTS.items() if each.new_share} == {"for_you", "discover"}
