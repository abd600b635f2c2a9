"""The stages of a list on an engine of eight items: what each adds and takes out, by hand and as properties."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.placements import PLACEMENTS, Placement
from recsys.fitting.blend import Blend, Blends
from recsys.pipeline.stages import Stage, rank, run_stages
from recsys.ranking.scoring import score_of
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.query import NO_ITEMS, Ranking, RuleOverrides
from tests.recsys.tiny_engine import N_ITEMS, VIEW, allowed, f32, i32, state_of, tiny_engine

ENGINE = tiny_engine()
POPULAR = Placement("popular", "none", {"popular": 1.0})
ADDING = {"candidates", "fill", "pins"}


def names(ranking: Ranking) -> list[str]:
    return [record.stage for record in ranking.records]


def test_stages_run_in_order_and_are_recorded() -> None:
    rows = Ranking(i32(3, 1, 2), f32(3, 2, 1), np.array(["x"] * 3, np.object_))
    stages = (
        Stage("first", lambda placement, state, ranking: ranking.take(slice(2))),
        Stage("second", lambda placement, state, ranking: ranking.take(np.array([1, 0]))),
    )
    found = run_stages(stages, POPULAR, state_of(), rows)
    assert found.item_idx.tolist() == [1, 3]
    recorded = [(record.stage, record.before.tolist(), record.after.tolist()) for record in found.records]
    assert recorded == [("first", [3, 1, 2], [3, 1]), ("second", [3, 1], [1, 3])]
    again = run_stages(stages[1:], POPULAR, state_of(), found)
    assert names(again) == ["first", "second", "second"]
    assert run_stages((), POPULAR, state_of(), NO_ITEMS).records == ()


def test_the_best_sellers_one_of_each_product() -> None:
    """Items 0 and 1 are variants; popularity orders, and item 3 comes before 4 of the same share."""
    found = rank(POPULAR, state_of())
    assert found.item_idx.tolist() == [0, 2, 3, 4, 6]
    assert found.score.dtype == np.float32
    assert found.score.tolist() == pytest.approx([5, 2.5, 5 / 3, 5 / 3, 5 / 3], rel=1e-5)
    assert set(found.source.tolist()) == {"popular"}
    assert names(found) == ["candidates", "score", "no evidence", "order", "variant", "length"]
    assert {stage: rows.tolist() for stage, rows in found.removed.items()} == {"variant": [1], "length": [5, 7]}


def test_each_item_names_the_source_that_says_most_for_it() -> None:
    """Item 2's popularity is half of the best's, its place among bought-together items third."""
    placed = Placement("mine", "item", {"bought_together": 1.0, "similar": 1.0})
    found = rank(placed, state_of(seeds=i32(0)))
    by_row = dict(zip(found.item_idx.tolist(), found.source.tolist(), strict=True))
    assert by_row == {4: "bought_together", 2: "similar", 7: "similar"}


def test_rules_are_stages_that_explain_what_they_took_out() -> None:
    placed = replace(POPULAR, anchor="item", own="not_yet_due", seen_days=9.0)
    state = state_of((3, 1), (4, 1, VIEW), seeds=i32(0), allowed=allowed(0, 1, 2, 3, 4, 6))
    found = rank(placed, state)
    assert found.item_idx.tolist() == [2, 6]
    assert {stage: rows.tolist() for stage, rows in found.removed.items()} == {
        "seed": [0, 1],
        "own": [3],
        "seen": [4],
    }


def test_a_shop_without_variants_cuts_when_it_orders() -> None:
    alone = replace(ENGINE, catalog=replace(ENGINE.catalog, group=np.full(N_ITEMS, -1, np.int32)))
    found = rank(POPULAR, state_of(engine=alone))
    assert found.item_idx.tolist() == [0, 1, 2, 3, 4]
    assert names(found) == ["candidates", "score", "no evidence", "order"]


def test_the_tail_gets_its_share_of_the_page() -> None:
    """Items 0 and 1 alone are the head: of three places two go to the tail."""
    alone = replace(ENGINE, catalog=replace(ENGINE.catalog, group=np.full(N_ITEMS, -1, np.int32)))
    state = state_of(engine=alone)
    state = replace(state, query=replace(state.query, limit=3))
    assert rank(POPULAR, state).item_idx.tolist() == [0, 1, 2]
    assert rank(replace(POPULAR, tail_share=0.7), state).item_idx.tolist() == [0, 2, 3]


def test_strangers_get_the_fallback() -> None:
    for_you = PLACEMENTS["for_you"]
    stranger, known = rank(for_you, state_of()), rank(for_you, state_of((0, 3), (2, 1)))
    assert (stranger.fallback_used, known.fallback_used) == (True, False)
    assert stranger.item_idx.tolist() == rank(PLACEMENTS["popular"], state_of()).item_idx.tolist()
    assert rank(replace(for_you, fallback=""), state_of()).fallback_used


def test_sources_that_find_nothing_leave_the_list_to_the_fallback_or_empty() -> None:
    """Item 3 has no list of its own."""
    placed = Placement("mine", "item", {"bought_together": 1.0}, fallback="popular")
    found = rank(placed, state_of(seeds=i32(3)))
    assert found.fallback_used
    assert found.item_idx.tolist() == [0, 2, 4, 6, 5]
    nothing = rank(replace(placed, fallback=""), state_of(seeds=i32(3)))
    assert (nothing.item_idx.tolist(), nothing.fallback_used) == ([], False)


def test_the_first_substitute_that_fills_the_list_serves_else_the_longest() -> None:
    mine = Placement("mine", "user", {"due": 1.0}, fallback="")
    three = replace(mine, anchor="item", sources={"similar": 1.0})
    two = replace(mine, anchor="item", sources={"bought_together": 1.0})
    needs_a_user = replace(mine, sources={"repeat": 1.0})

    def served(limit: int, *substitutes: Placement) -> list[int]:
        state = state_of(seeds=i32(0))
        state = replace(state, query=replace(state.query, limit=limit))
        found = rank(replace(mine, substitutes=substitutes), state)
        assert found.fallback_used
        return found.item_idx.tolist()

    assert served(1, two, three) == [4]
    assert served(5, two, three) == [2, 7], "seed 0 and its variant are no candidates"
    assert served(5, needs_a_user, two) == [4]
    assert served(5, three, two) == [2, 7]


ROWS = st.integers(0, N_ITEMS - 1)


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    name = draw(st.sampled_from(sorted(PLACEMENTS)))
    return replace(
        PLACEMENTS[name],
        diversity=draw(st.sampled_from([0.0, 0.5])),
        max_per_category=draw(st.sampled_from([0, 1])),
        rotation=draw(st.sampled_from([0.0, 0.5])),
        tail_share=draw(st.sampled_from([0.0, 0.4])),
        own=draw(st.sampled_from(["keep", "drop", "not_yet_due"])),
        seen_days=draw(st.sampled_from([0.0, 9.0])),
    )


@given(
    placed=placements(),
    events=st.lists(st.tuples(ROWS, st.integers(0, 30), st.sampled_from([VIEW, 7])), max_size=5),
    seeds=st.lists(ROWS, max_size=2, unique=True),
    some=st.none() | st.sets(ROWS),
    promoted=st.sets(ROWS),
    pinned=st.lists(ROWS, max_size=2, unique=True),
    n_lookahead=st.sampled_from([0, 3]),
)
def test_every_list_keeps_what_its_rules_promise(
    placed: Placement,
    events: list[tuple[int, int, int]],
    seeds: list[int],
    some: set[int] | None,
    promoted: set[int],
    pinned: list[int],
    n_lookahead: int,
) -> None:
    overrides = RuleOverrides(
        promotions=((allowed(*promoted), 0.4),) if promoted else (),
        pins=tuple((row, rank_) for rank_, row in enumerate(pinned, 1)),
    )
    state = state_of(
        *events,
        engine=ENGINE,
        seeds=i32(*seeds),
        allowed=None if some is None else allowed(*some),
        overrides=overrides,
        n_lookahead=n_lookahead,
    )
    found = rank(placed, state)
    rows = found.item_idx.tolist()
    assert len(rows) == len(set(rows)) <= state.query.limit + n_lookahead
    assert len(found.score) == len(found.source) == len(rows)
    assert some is None or set(rows) <= some
    assert placed.anchor != "item" or not set(rows) & set(seeds)
    assert not {0, 1} <= set(rows), "variants of one product"
    for before, after in zip(found.records[:-1], found.records[1:], strict=True):
        assert before.after is after.before
    for record in found.records:
        kept, removed = set(record.after.tolist()), set(record.removed.tolist())
        assert not kept & removed
        assert set(record.before.tolist()) <= kept | removed
        assert record.stage in ADDING or kept | removed == set(record.before.tolist()), record.stage
    if placed.rotation and found.propensity is not None:
        assert ((found.propensity > 0) & (found.propensity <= 1)).all()


def test_what_learned_weights_leave_out_fills_the_list_behind_all_others() -> None:
    found = {"als": f32(1, 0, 0, 0.5, 0, 0, 0, 0), "popular": f32(1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)}
    taken = Candidates.of(np.arange(N_ITEMS, dtype=np.int32), found, dict.fromkeys(found, 1.0))
    learned = Blend(sources=("als", "popular"), few=(1.0, 0.0), many=(1.0, 0.0), uses_ranker=False)
    placed = replace(PLACEMENTS["discover"], sources={"als": 1.0, "popular": 0.5}, tail_discount=0.0, trend_power=0.0)
    state = state_of((2, 1), engine=replace(ENGINE, blends=Blends(new=learned)))
    score, _ = score_of(placed, state, taken, with_ranker=False)
    assert (score > 0).all(), "a list is as long as its sources can make it"
    assert score[[0, 3]].min() > 1e4 * np.delete(score, [0, 3]).max()


def test_a_list_that_only_popularity_orders_is_a_fallback() -> None:
    """The other sources find items, and the learned weights do not count them."""
    learned = {"few": (0.0, 1.0), "many": (0.0, 1.0)}
    popular = Blend(sources=("als", "popular"), **learned, uses_ranker=False)
    personal = replace(popular, few=(1.0, 0.0), many=(1.0, 0.0))
    placed = replace(PLACEMENTS["for_you"], sources={"als": 1.0, "popular": 1.0})
    for blend, expected in ((popular, True), (personal, False)):
        state = state_of((2, 1), engine=replace(ENGINE, blends=Blends(next=blend)))
        assert rank(placed, state).fallback_used is expected
