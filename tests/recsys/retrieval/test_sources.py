"""Each source on an engine of eight items, against values worked out by hand; see `tests.recsys.tiny_engine`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.dataset import VIEW_ITEM_LIST
from recsys.moments.registry import MOMENTS
from recsys.retrieval import sources, user_state
from recsys.retrieval.sources import CANDIDATE_SOURCES, _first_allowed
from recsys.retrieval.user_state import Scored, UserState
from recsys.search.vector_index import FlatIndex
from tests.recsys.tiny_engine import N_ITEMS, REFUND, VIEW, allowed, related, state_of, tiny_engine

ENGINE = tiny_engine()
SINGLE = 1e-5
"""Scores are float32 sums of a few terms."""

NEEDS_NOBODY = ("popular", "popular_by_hour")
NEEDS_SEEDS = ("bought_together", "complementary", "similar")
NEEDS_HISTORY = tuple(name for name in CANDIDATE_SOURCES if name not in (*NEEDS_NOBODY, *NEEDS_SEEDS))

LATEST = 1 / (1 + np.exp(-1.0))
"""Weight of the latest of two items."""


def pairs(found: Scored) -> list[tuple[int, float]]:
    rows, score = found
    return list(zip(rows.tolist(), score.tolist(), strict=True))


def scores(name: str, state: UserState) -> dict[int, float]:
    return dict(pairs(CANDIDATE_SOURCES[name](state)))


def close(expected: dict[int, float]) -> object:
    return pytest.approx(expected, rel=SINGLE)


def test_repeat_sums_what_is_left_of_each_purchase() -> None:
    """Steps of the tiny kernel are .03 apart: 21 days are in the ninth, one later order in the second."""
    of_21_days, of_today = 1 - 8 * 0.03, 1.0
    of_later = [1 - (17 + n) * 0.03 for n in range(3)]
    state = state_of((2, 21), (2, 0), (0, 21), (4, 1, VIEW))
    twice = of_21_days + of_later[2] + of_today + of_later[0]
    assert scores("repeat", state) == close({0: of_21_days + of_later[1], 2: twice})
    alone = state_of((2, 21), (0, 21), allowed=allowed(0, 4))
    assert scores("repeat", alone) == close({0: of_21_days + of_later[0]})


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (7.9, None),
        (8, 0.5 * np.exp(-(np.log(0.8) ** 2) / 0.5)),
        (10, 0.5),
        (20, 0.5 * np.exp(-(np.log(2) ** 2) / 0.5)),
        (30, 0.5 * np.exp(-(np.log(3) ** 2) / 0.5)),
        (30.1, None),
    ],
)
def test_due_falls_with_the_logarithm_of_the_time_on_both_sides(days: float, expected: float | None) -> None:
    """Bought once, so that the chance is everyone's rate, ½, and the interval everyone's, ten days."""
    assert scores("due", state_of((0, days))) == close({} if expected is None else {0: expected})


def test_due_leaves_out_what_hardly_anybody_buys_twice() -> None:
    """A rate of .1 is below the bound, one of .2 is at it."""
    assert scores("due", state_of((1, 10), (4, 10))) == close({4: 0.2})
    assert scores("due", state_of((0, 10), (4, 10), allowed=allowed(0))) == close({0: 0.5})


def test_due_takes_the_shopper_s_own_repeats_into_account() -> None:
    """Bought 20 and 10 days ago: the interval stays ten days, the chance becomes `(1 + 2·½) / (1 + 2)`."""
    assert scores("due", state_of((0, 20), (0, 10))) == close({0: 2 / 3})


def test_als_finds_what_lies_in_the_direction_of_the_shopper_s_items() -> None:
    """With item 0 alone the shopper is its vector, `(1, 0)`: scores are first coordinates above 0, best first."""
    assert pairs(CANDIDATE_SOURCES["als"](state_of((0, 0)))) == [(0, 1.0), (5, 0.75), (1, 0.5), (7, 0.375), (4, 0.25)]
    found = CANDIDATE_SOURCES["als"](state_of((0, 0), allowed=allowed(1, 3, 4, 6)))
    assert pairs(found) == [(1, 0.5), (4, 0.25)]


def test_als_needs_something_that_was_liked() -> None:
    rows, score = CANDIDATE_SOURCES["als"](state_of((0, 1, REFUND)))
    assert (len(rows), len(score), rows.dtype, score.dtype) == (0, 0, np.int32, np.float32)
    assert len(CANDIDATE_SOURCES["als"](state_of((3, 0), (0, 1, REFUND)))[0])


def test_als_finds_its_number_beyond_what_the_shopper_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_state, "N_NEAREST", 2)
    assert len(CANDIDATE_SOURCES["als"](state_of((0, 0)))[0]) == 3
    monkeypatch.setattr(user_state, "MAX_OWN_FOUND", 0)
    assert len(CANDIDATE_SOURCES["als"](state_of((0, 0)))[0]) == 2


def test_als_searches_for_a_single_shopper() -> None:
    """The largest of many equal scores are not more than the catalogue holds."""
    engine = tiny_engine(index=FlatIndex.build(np.ones((N_ITEMS, 2), np.float32)))
    assert scores("als", state_of((0, 0), engine=engine)) == close(dict.fromkeys(range(N_ITEMS), 1.0))


@given(st.integers(0, 200), st.integers(1, 9), st.sampled_from([None, 0.0, 0.05, 0.5, 1.0]), st.integers(0, 99))
def test_the_first_allowed_rows_are_found_without_a_look_at_all(
    n_rows: int, n: int, share: float | None, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.permutation(n_rows).astype(np.int32)
    mask = None if share is None else rng.random(n_rows) < share
    expected = [row for row in rows.tolist() if mask is None or mask[row]][:n]
    assert _first_allowed(rows, mask, n).tolist() == expected


def test_together_sums_the_partners_of_what_was_bought() -> None:
    """Item 0 was bought now (1), item 1 ten days ago, at half its weight: `2: ¼ + ½·½`, `0: ½·½`, `4: ½·⅛`."""
    state = state_of((0, 0), (1, 10))
    assert scores("together", state) == close({0: 0.25, 1: 0.5, 2: 0.5, 4: 0.0625})
    assert sorted(CANDIDATE_SOURCES["together"](state)[0].tolist()) == [0, 1, 2, 4]
    assert scores("together", state_of((0, 0), (1, 10), allowed=allowed(2, 5))) == close({2: 0.5})


def test_what_was_given_back_counts_for_nothing() -> None:
    assert scores("together", state_of((0, 0), (0, 0, REFUND), (2, 0))) == close({5: 1.0})
    assert scores("content", state_of((0, 0), (0, 0, REFUND), (2, 0))) == close({3: 0.5, 0: 0.25})


def test_affinity_shares_the_types_weights_among_their_items() -> None:
    """Two purchases of type 0 and one of type 1; items of the same type by their share of its sales."""
    found = scores("affinity", state_of((0, 0), (1, 0), (2, 0)))
    assert found == close({0: 0.4, 1: 0.8 / 3, 2: 0.2, 3: 0.4 / 3})
    assert scores("affinity", state_of((0, 0), allowed=allowed(1, 2))) == close({1: 0.4})
    assert scores("affinity", state_of((4, 0))) == close({4: 1.0}), "an item that never sold is no candidate"


def test_ease_weighs_by_the_logarithm_of_the_baskets() -> None:
    """`B(0, 2) = 1`, `B(0, 3) = −1`, `B(1, 2) = 2`: item 3 is spoken against."""
    assert scores("ease", state_of((0, 9), (0, 4), (1, 3))) == close({2: np.log(3) + 2 * np.log(2)})
    assert scores("ease", state_of((0, 9), (1, 3), allowed=allowed(0, 1))) == {}
    assert scores("ease", state_of((4, 9))) == {}, "the model knows nothing of item 4"


def test_touched_is_what_was_looked_at_and_never_bought() -> None:
    """A view weighs .15, and half of that after ten days; what was given back weighs less than 0, a list nothing."""
    state = state_of((0, 3), (0, 0, VIEW), (2, 0, VIEW), (4, 10, VIEW), (5, 0, REFUND), (6, 0, VIEW_ITEM_LIST))
    assert scores("touched", state) == close({2: 0.15, 4: 0.075})
    assert scores("touched", replace_query(state, allowed=allowed(4))) == close({4: 0.075})
    assert scores("touched", state_of((0, 3))) == {}


def test_content_sums_what_is_like_the_shopper_s_items(monkeypatch: pytest.MonkeyPatch) -> None:
    state = state_of((0, 0), (2, 10))
    assert scores("content", state) == close({0: 0.125, 1: 0.9, 2: 0.3, 3: 0.25, 7: 0.1})
    monkeypatch.setattr(user_state, "N_NEIGHBORS", 1)
    assert scores("content", replace(state)) == close({1: 0.9, 3: 0.25})
    assert scores("content", replace_query(state, allowed=allowed(3))) == close({3: 0.25})


def test_popular_is_the_catalogue_by_sales(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal shares come by row; what never sold is worth next to nothing, but not nothing."""
    found = pairs(CANDIDATE_SOURCES["popular"](state_of()))
    assert [row for row, _ in found] == [0, 1, 2, 3, 4, 6, 5, 7]
    assert dict(found) == close({0: 0.3, 1: 0.2, 2: 0.15, 3: 0.1, 4: 0.1, 5: 0.05, 6: 0.1, 7: 1e-12})
    monkeypatch.setattr(sources, "N_PER_SOURCE", 2)
    assert scores("popular", state_of()) == close({0: 0.3, 1: 0.2})
    assert scores("popular", state_of(allowed=allowed(1, 5, 6))) == close({1: 0.2, 6: 0.1})


def test_popular_by_hour_is_sales_times_lift(monkeypatch: pytest.MonkeyPatch) -> None:
    morning = {2: 0.6, 1: 0.2, 4: 0.2, 0: 0.15, 3: 0.1, 5: 0.05}
    found = pairs(CANDIDATE_SOURCES["popular_by_hour"](state_of(hour=9)))
    assert [row for row, _ in found] == list(morning), "best first, equal ones by row, and none without a sale"
    assert dict(found) == close(morning)
    evening = {0: 0.45, 1: 0.2, 6: 0.2, 3: 0.1, 4: 0.05, 5: 0.05, 2: 0.0375}
    assert scores("popular_by_hour", state_of(hour=20)) == close(evening)
    assert scores("popular_by_hour", state_of(hour=9, allowed=allowed(1, 5, 7))) == close({1: 0.2, 5: 0.05})
    monkeypatch.setattr(sources, "N_PER_SOURCE", 2)
    assert scores("popular_by_hour", state_of(hour=9)) == close({2: 0.6, 1: 0.2})


def test_the_latest_items_bring_what_is_around_them_and_after_them() -> None:
    state = state_of((3, 2), (0, 1))
    assert scores("around", state) == close(
        {2: 0.5 * LATEST + 0.4 * (1 - LATEST), 4: 0.25 * LATEST, 0: 0.2 * (1 - LATEST)}
    )
    assert scores("after", state) == close({4: 0.75 * LATEST, 5: 1 - LATEST})
    assert scores("around", state_of()) == {}


def test_items_around_each_other_are_alternatives_only_where_people_look() -> None:
    engine = tiny_engine()
    buyers = replace(engine, sequence=replace(engine.sequence, by_view=False))
    seeds = {"seeds": np.array([0], np.int32)}
    assert scores("viewed_together", state_of(engine=buyers, **seeds)) == close({2: 0.5, 4: 0.25})
    assert scores("alternatives", state_of(engine=buyers, **seeds)) == {}


def test_views_feed_the_linear_model_where_nothing_was_bought() -> None:
    viewed, bought = state_of((0, 1, VIEW), (2, 1, VIEW)), state_of((0, 1), (2, 1))
    assert scores("ease", viewed) == close(scores("ease", bought))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bought_together", {1: 0.5, 4: 0.5, 5: 0.05}),
        ("complementary", {0: 0.7, 2: 0.4, 4: 0.3}),
        (
            "similar",
            {
                0: 0.25 * LATEST,
                1: 0.9 * (1 - LATEST),
                2: 0.3 * (1 - LATEST),
                3: 0.5 * LATEST,
                7: 0.1 * (1 - LATEST),
            },
        ),
        ("viewed_together", {2: 0.5 * (1 - LATEST), 3: 0.6 * LATEST, 4: 0.25 * (1 - LATEST)}),
        ("alternatives", {2: 0.5 * (1 - LATEST), 3: 0.6 * LATEST, 4: 0.25 * (1 - LATEST)}),
    ],
)
def test_lists_of_several_seeds_are_summed(name: str, expected: dict[int, float]) -> None:
    asked = {"seeds": np.array([0, 2], np.int32)}
    assert scores(name, state_of(**asked)) == close(expected)
    some = allowed(0, 4, 7)
    kept = {row: score for row, score in expected.items() if some[row]}
    assert scores(name, state_of(allowed=some, **asked)) == close(kept)


@given(
    lists=st.lists(
        st.lists(st.tuples(st.integers(0, N_ITEMS - 1), st.sampled_from([0.0, 0.25, 0.5, 2.0])), max_size=3),
        min_size=N_ITEMS,
        max_size=N_ITEMS,
    ),
    seeds=st.lists(st.integers(0, N_ITEMS - 1), max_size=4),
    some=st.none() | st.sets(st.integers(0, N_ITEMS - 1)),
)
def test_seeds_lists_are_the_sum_of_a_loop(
    lists: list[list[tuple[int, float]]], seeds: list[int], some: set[int] | None
) -> None:
    model = replace(ENGINE.copurchase, bought_together=related(*map(tuple, lists)))
    state = state_of(
        engine=replace(ENGINE, copurchase=model),
        seeds=np.array(seeds, np.int32),
        allowed=None if some is None else allowed(*some),
    )
    expected: dict[int, float] = {}
    for seed in seeds:
        for row, score in lists[seed]:
            if score > 0 and (some is None or row in some):
                expected[row] = expected.get(row, 0.0) + score
    rows, score = CANDIDATE_SOURCES["bought_together"](state)
    assert len(set(rows.tolist())) == len(rows)
    assert score.dtype == np.float32
    assert dict(zip(rows.tolist(), score.tolist(), strict=True)) == close(expected)


EVENTS = st.lists(
    st.tuples(st.integers(0, N_ITEMS - 1), st.integers(0, 60), st.sampled_from([VIEW, REFUND, 7])), max_size=8
)


@pytest.mark.parametrize("name", CANDIDATE_SOURCES)
@given(
    events=EVENTS, seeds=st.lists(st.integers(0, N_ITEMS - 1), max_size=3), some=st.sets(st.integers(0, N_ITEMS - 1))
)
def test_a_mask_only_takes_rows_out(
    name: str, events: list[tuple[int, float, int]], seeds: list[int], some: set[int]
) -> None:
    """What is found among a few items is what is found among all, without the others: no quota is full here."""
    asked = {"seeds": np.array(seeds, np.int32)}
    everything = scores(name, state_of(*events, engine=ENGINE, **asked))
    found = CANDIDATE_SOURCES[name](state_of(*events, engine=ENGINE, allowed=allowed(*some), **asked))
    assert len(set(found[0].tolist())) == len(found[0]) == len(found[1])
    assert all(score > 0 for _, score in pairs(found))
    assert dict(pairs(found)) == close({row: score for row, score in everything.items() if row in some})


@pytest.mark.parametrize("name", NEEDS_HISTORY)
def test_nobody_s_history_finds_nothing(name: str) -> None:
    rows, score = CANDIDATE_SOURCES[name](state_of())
    assert (rows.tolist(), score.tolist()) == ([], [])


@pytest.mark.parametrize("name", NEEDS_SEEDS)
def test_no_seeds_find_nothing(name: str) -> None:
    rows, score = CANDIDATE_SOURCES[name](state_of((0, 0)))
    assert (rows.tolist(), score.tolist()) == ([], [])


@pytest.mark.parametrize("name", NEEDS_NOBODY)
def test_what_everyone_buys_is_the_same_for_all(name: str) -> None:
    assert scores(name, state_of((0, 1), (2, 3, VIEW))) == scores(name, state_of())


def test_a_source_s_type_is_single_precision() -> None:
    state = state_of((0, 10), (1, 3), (2, 0, VIEW), seeds=np.array([0], np.int32))
    for name, source in CANDIDATE_SOURCES.items():
        rows, score = source(state)
        assert (rows.dtype, score.dtype) == (np.int32, np.float32), name
        assert len(rows) or name in MOMENTS, name


def replace_query(state: UserState, **changes: object) -> UserState:
    return UserState(state.engine, replace(state.query, **changes))  # type: ignore[arg-type]
