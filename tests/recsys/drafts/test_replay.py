"""Lists of the log, made again: the ranks of the shown items by both definitions, and what cannot be made again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from recsys.core.placements import PLACEMENTS
from recsys.core.request import Request
from recsys.drafts.random_lists import LoggedList
from recsys.drafts.replay import NOT_REPRODUCED, Replay, replay_lists
from recsys.pipeline.recommender import Recommender
from recsys.rules.placement_registry import PlacementRegistry

RANDOM = replace(PLACEMENTS["popular"], rotation=0.6, limit=4)
PLAIN = replace(RANDOM, rotation=0.0)


@pytest.fixture
def recommender(shop_models: Path) -> Recommender:
    opened = Recommender.open(shop_models)
    return replace(opened, book=PlacementRegistry(MappingProxyType({**PLACEMENTS, "popular": RANDOM})))


def logged(recommender: Recommender, user: str) -> LoggedList:
    at = recommender.data_end
    found = recommender.recommend_for(Request("popular", at, limit=4, user_id=user))
    return LoggedList("r", at, tuple(item.item_id for item in found.items), {"user_id": user}, None)


def test_the_ranks_are_those_before_the_draw_and_in_the_changed_list(recommender: Recommender) -> None:
    shown = logged(recommender, recommender.examples().user_id)
    ((same, replay),) = replay_lists(recommender, RANDOM, replace(RANDOM, rotation=0.3), [shown])
    assert same is shown
    assert isinstance(replay, Replay)
    assert replay.logged == replay.target  # the draw is all that differs
    assert replay.support_rank == (1, 2, 3, 4)
    assert replay.n_logged == replay.n_target
    ((_, cut),) = replay_lists(recommender, RANDOM, PLAIN, [shown])
    assert isinstance(cut, Replay)
    assert cut.target == tuple(rank if rank <= RANDOM.limit else 0 for rank in cut.logged)


def test_what_the_log_shows_but_the_replay_does_not_is_left_out(recommender: Recommender) -> None:
    shown = logged(recommender, recommender.examples().user_id)
    other = replace(shown, item_ids=shown.item_ids[::-1])
    nobody = logged(recommender, "nobody")
    found = [replay for _, replay in replay_lists(recommender, RANDOM, PLAIN, [other, nobody])]
    assert found == [NOT_REPRODUCED, "of users without events"]
