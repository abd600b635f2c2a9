"""Stages and rules run in order, each with a record of the rows before and after it."""

from __future__ import annotations

import numpy as np

from recsys.core.placements import PLACEMENTS, Placement
from recsys.pipeline.stage_runs import Stage, apply_rules, run_stages
from recsys.retrieval.query import Ranking
from recsys.retrieval.user_state import UserState
from tests.recsys.tiny_engine import allowed, i32, state_of

FOR_YOU = PLACEMENTS["for_you"]


def ranking(*rows: int) -> Ranking:
    return Ranking(i32(*rows), np.ones(len(rows)), np.full(len(rows), "als", np.object_))


def test_stages_run_one_after_another_and_are_recorded() -> None:
    def odd(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
        return ranking.take(ranking.item_idx % 2 == 1)

    def first(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
        return ranking.take(slice(1))

    found = run_stages((Stage("odd", odd), Stage("first", first)), FOR_YOU, state_of(), ranking(4, 3, 5))
    assert found.item_idx.tolist() == [3]
    assert {name: rows.tolist() for name, rows in found.removed.items()} == {"odd": [4], "first": [5]}


def test_each_rule_is_recorded_with_what_is_left_for_it() -> None:
    state = state_of((2, 1.0), allowed=allowed(0, 2, 3))
    found = apply_rules(PLACEMENTS["discover"], state, ranking(1, 2, 3))
    assert found.item_idx.tolist() == [3]
    assert {name: rows.tolist() for name, rows in found.removed.items()} == {"unavailable": [1], "own": [2]}


def test_without_a_rule_that_applies_nothing_changes() -> None:
    one = ranking(1, 2)
    found = apply_rules(FOR_YOU, state_of(), one)
    assert found.item_idx is one.item_idx
    assert not found.removed
