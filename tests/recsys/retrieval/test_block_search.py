from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.retrieval import block_search as module
from recsys.retrieval.block_search import BlockSearch
from recsys.retrieval.user_state import UserState
from recsys.search.vector_index import FlatIndex
from tests.recsys.tiny_engine import N_ITEMS, REFUND, allowed, state_of, tiny_engine

VECTORS = np.random.default_rng(4).standard_normal((N_ITEMS, 2)).astype(np.float32)
ENGINE = tiny_engine(index=FlatIndex.build(VECTORS))
HISTORIES = [[(item, age), (other, 5)] for item in range(N_ITEMS) for other in (0, 3) for age in (0, 9)]
MASKS = (None, allowed(1, 3, 4, 6), allowed(0, 2, 5), allowed())


def states(mask: np.ndarray | None = None) -> list[UserState]:
    return [state_of(*events, engine=ENGINE, allowed=mask) for events in HISTORIES]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MIN_USERS", 5)
    monkeypatch.setattr(module, "USERS_PER_BLOCK", 7)


@pytest.mark.parametrize("mask", MASKS, ids=["all", "four", "three", "none"])
def test_a_block_finds_what_a_search_per_user_finds(mask: np.ndarray | None) -> None:
    searched = states(mask)
    BlockSearch().fill(searched)
    for state in searched:
        assert "nearest" in vars(state)
        rows, scores = replace(state).nearest
        np.testing.assert_array_equal(state.nearest[0], rows)
        np.testing.assert_allclose(state.nearest[1], scores, rtol=1e-6)
        assert (state.nearest[0].dtype, state.nearest[1].dtype) == (np.int32, np.float32)


def test_users_with_several_masks_and_engines_are_searched_apart() -> None:
    other = tiny_engine(index=FlatIndex.build(-VECTORS))
    searched = [state for mask in (*MASKS, MASKS[1]) for state in states(mask)]
    searched += [state_of(*events, engine=other) for events in HISTORIES]
    order = np.random.default_rng(1).permutation(len(searched))
    search = BlockSearch()
    for _ in range(2):
        search.fill([searched[position] for position in order])
    for state in searched:
        np.testing.assert_array_equal(state.nearest[0], replace(state).nearest[0])


def test_vectors_are_decoded_once_for_equal_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    vectors = FlatIndex.vectors
    monkeypatch.setattr(FlatIndex, "vectors", lambda self: (decoded.append(self), vectors(self))[1])
    search = BlockSearch()
    for _ in range(3):
        search.fill(states(allowed(1, 3)))
    assert len(decoded) == 1
    search.fill(states(allowed(1, 4)))
    assert len(decoded) == 2


def test_a_few_users_and_those_without_a_liked_item_are_left_to_their_own_search() -> None:
    few, nobody = states()[:4], [state_of(engine=ENGINE), state_of((0, 1, REFUND), engine=ENGINE)] * 5
    BlockSearch().fill([*few, *nobody])
    assert not any("nearest" in vars(state) for state in (*few, *nobody))
