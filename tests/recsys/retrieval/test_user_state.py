"""What is worked out of a history, by hand on an engine of eight items and against loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.retrieval import user_state
from recsys.retrieval.user_state import UserState
from tests.recsys.tiny_engine import N_ITEMS, REFUND, VIEW, history, i32, state_of, tiny_engine

ENGINE = tiny_engine()
ROWS = st.integers(0, N_ITEMS - 1)


def test_a_history_weighs_by_event_and_age() -> None:
    """Half after ten days; a view weighs .15, a refund −1; purchases and views of one item add up."""
    rows, weight = state_of((4, 10), (2, 0, VIEW), (2, 20), (0, 0, REFUND)).weighted_history
    assert rows.tolist() == [0, 2, 4]
    assert weight.tolist() == pytest.approx([-1, 0.4, 0.5])


def test_the_heaviest_items_come_first_and_none_that_was_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    state = state_of((4, 10), (2, 0), (5, 0), (0, 0, REFUND), (1, 30))
    assert state.top_history_items[0].tolist() == [2, 5, 4, 1]
    assert state.top_history_items[1].tolist() == pytest.approx([1, 1, 0.5, 0.125])
    monkeypatch.setattr(user_state, "N_HEAVIEST", 2)
    assert replace(state).top_history_items[0].tolist() == [2, 5]


def test_what_was_bought_is_the_purchases_alone() -> None:
    state = state_of((0, 3), (1, 2, VIEW), (0, 1), (2, 0, REFUND))
    assert state.bought.item_idx.tolist() == [0, 0]
    assert state.own.item_idx.tolist() == [0]
    assert state.own.n_baskets.tolist() == [2]
    assert state.own.elapsed(state.query.now).tolist() == pytest.approx([1 / (10 * 22 / 30)])


def test_a_shopper_is_where_the_items_are() -> None:
    """With `G = I`, item 0 alone, of weight 1: `x = (I + e₁e₁ᵀ)⁻¹ · 2e₁ = e₁`; of nobody nothing is known."""
    assert state_of((0, 0)).vector.tolist() == pytest.approx([1, 0])
    assert state_of().vector.tolist() == [0, 0]


def test_everyone_s_lift_is_that_of_the_part_of_the_day() -> None:
    rows = i32(2, 0, 6)
    assert state_of(hour=9).lift(rows).tolist() == [4, 0.5, 0]
    assert state_of(hour=20).lift(rows).tolist() == [0.25, 1.5, 2]
    assert state_of((0, 1), hour=9).lift(rows[:0]).tolist() == []


def test_a_shopper_s_own_hours_pull_the_lift() -> None:
    """Item 0 was bought twice in the morning: `(2 / ½ + 2·½) / (2 + 2)`; in the evening `2·1.5 / (2 + 2)`."""
    assert state_of((0, 3), (0, 1), hour=9).lift(i32(0, 2)).tolist() == [1.25, 4]
    bought = history((0, 3), (0, 1), hour=9)
    evening = state_of(hour=20)
    evening = UserState(evening.engine, replace(evening.query, history=bought))
    assert evening.lift(i32(2, 0)).tolist() == [0.25, 0.75]


def test_where_no_hour_is_known_there_is_no_lift() -> None:
    timeofday = replace(ENGINE.timeofday, is_fitted=False, lift=np.ones((N_ITEMS, 2), np.float32))
    state = state_of((0, 1), engine=replace(ENGINE, timeofday=timeofday))
    assert state.lift(i32(0, 1)).tolist() == [1, 1]


@given(
    bought=st.lists(st.tuples(ROWS, st.integers(0, 40)), max_size=10),
    rows=st.lists(ROWS, unique=True, max_size=N_ITEMS),
    hours=st.tuples(*[st.sampled_from([3, 9, 12, 20])] * 2),
)
def test_the_lift_is_that_of_a_loop(bought: list[tuple[int, int]], rows: list[int], hours: tuple[int, int]) -> None:
    """`P(b | i, u) / P(b) = (n_uib / P(b) + κ·lift) / (n_ui + κ)`, with `κ = 2` and two parts of the day alike."""
    bought_at, asked_at = hours
    plain = state_of(hour=asked_at, engine=ENGINE)
    state = UserState(ENGINE, replace(plain.query, history=history(*bought, hour=bought_at)))
    bucket, is_here = int(asked_at >= 12), (bought_at >= 12) == (asked_at >= 12)
    expected = []
    for row in rows:
        n_own = sum(item == row for item, _ in bought)
        n_here = n_own if is_here else 0
        expected.append((n_here / 0.5 + 2 * float(ENGINE.timeofday.lift[row, bucket])) / (n_own + 2))
    found = state.lift(i32(*rows))
    assert found.dtype == np.float32
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


def test_what_a_block_found_is_kept_as_the_own_search_finds_it() -> None:
    state, alone = state_of((0, 0)), state_of((0, 0))
    n = alone.n_nearest
    scores, rows = ENGINE.index.search(alone.vector[None], N_ITEMS)
    state.keep_nearest(np.append(rows[0], -1).astype(np.int32), np.append(scores[0], -np.inf).astype(np.float32))
    assert n == N_ITEMS
    assert state.nearest[0].tolist() == alone.nearest[0].tolist()
    assert (state.nearest[1] > 0).all()
