"""A filter that keeps one item in two hundred still fills the list, though sources look at a few hundred alone."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.core.placements import PLACEMENTS
from recsys.core.request import MAX_LIMIT, Request
from recsys.filters import compile_filter
from recsys.fitting.engine import Engine
from recsys.fitting.fit import fit_models
from recsys.pipeline.recommend import recommend_with_trace
from recsys.rules.masks import Masks
from tests.shop import at, dataset_of, moment, small_config

N_ITEMS = 20_000
N_USERS = 60
SHARE = 0.005
FILLED = [
    name
    for name, placement in PLACEMENTS.items()
    if name not in ("buy_again", "item_sets") and not placement.may_be_empty and placement.own != "drop_types"
]


@pytest.fixture(scope="module")
def large_engine() -> Engine:
    """Items in 200 types, sold by a power law; one in 200 is marked, spread evenly."""
    rng = np.random.default_rng(3)
    catalog = [
        {
            "item_id": f"i{n:05d}",
            "category": [f"c{n % 20}", f"t{n % 200}"],
            "price": float(5 + n % 90),
            "tags": ["marked"] if n % 200 == n // 200 % 200 else ["other"],
        }
        for n in range(N_ITEMS)
    ]
    popular = rng.permutation(N_ITEMS)
    events = [
        {
            "user_id": f"u{user}",
            "item_id": f"i{popular[int(N_ITEMS * rng.random() ** 3)]:05d}",
            "basket_id": f"u{user}/{day}",
            "timestamp": at(moment(day, 9) + line),
        }
        for user in range(N_USERS)
        for day in range(0, 60, 4)
        for line in range(4)
    ]
    return fit_models(dataset_of(events, catalog), small_config())


@pytest.mark.parametrize("limit", [10, MAX_LIMIT])
@pytest.mark.parametrize("name", FILLED)
@pytest.mark.parametrize("user_id", ["u3", "a stranger"])
def test_a_narrow_filter_still_fills_the_list(large_engine: Engine, name: str, user_id: str, limit: int) -> None:
    end = large_engine.dataset_info.end
    seeds = ("i00007",) if PLACEMENTS[name].anchor == "item" else ()
    text = "has(tags, 'marked')"
    mask = Masks().of(text, large_engine, {}, {})
    assert mask.mean() == pytest.approx(SHARE)
    found = recommend_with_trace(
        large_engine,
        Request(name, end, limit, user_id, seeds, filter=compile_filter(text, large_engine.items_table.schema)),
    ).recommendations.items
    rows = large_engine.items.rows(item.item_id for item in found)
    assert mask[rows].all()
    assert len(set(rows.tolist())) == len(rows)
    is_free = mask & (large_engine.is_tail if PLACEMENTS[name].pool == "tail" else True)
    if PLACEMENTS[name].own == "drop":
        is_free[large_engine.history.of(large_engine.users.row(user_id), end).item_idx] = False
    if PLACEMENTS[name].only_complements:
        is_free &= large_engine.catalog.item_type != large_engine.catalog.item_type[7]
    if not seeds or PLACEMENTS[name].own != "not_yet_due":
        assert len(rows) == min(limit, int(is_free.sum()))
    assert len(rows) >= min(limit, 80)
    scores = [item.score for item in found]
    assert scores == sorted(scores, reverse=True)
    assert all(item.reasons for item in found)
