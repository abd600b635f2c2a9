from __future__ import annotations

import numpy as np

from recsys.core.request import Request
from recsys.pipeline.recommender import Recommender
from recsys.planner.arbitration import NO_ITEM
from recsys.planner.shopper_lists import ShopperLists, ask_lists
from tests.shop import NEW_YORKER, TIMEZONE, USERS_WITH_HISTORY, WEEKLY_SHOPPERS

USERS = (*USERS_WITH_HISTORY[:3], NEW_YORKER, WEEKLY_SHOPPERS[0], "stranger")
LISTS = ("buy_again", "for_you")


def test_lists_are_those_of_requests_and_fallbacks_are_empty(recommender: Recommender) -> None:
    now = recommender.data_end
    lists = ask_lists(recommender, USERS, LISTS, 5, now)
    ids = recommender.engine.items.ids
    for user, user_id in enumerate(USERS):
        for n, name in enumerate(LISTS):
            expected = recommender.recommend_for(Request(name, now, 5, user_id=user_id))
            listed = [ids[row] for row in lists.item_idx[user, n] if row != NO_ITEM]
            assert listed == ([] if expected.fallback_used else [item.item_id for item in expected.items])
    assert lists.timezones == (*[TIMEZONE] * 3, "America/New_York", *[TIMEZONE] * 2)
    assert (lists.score[lists.item_idx == NO_ITEM] == 0).all()
    assert lists.visits.recent_orders(now)[-1] == 0


def test_chosen_items_have_their_reasons(recommender: Recommender) -> None:
    now = recommender.data_end
    lists = ask_lists(recommender, USERS[:1], LISTS, 5, now)
    items = lists.items(0, 1, np.array([3, 1, NO_ITEM]), "v")
    listed = recommender.recommend_for(Request("for_you", now, 5, user_id=USERS[0])).items
    assert [item.item_id for item in items] == [listed[3].item_id, listed[1].item_id]
    assert items[0].reasons == listed[3].reasons


def test_a_list_is_made_for_those_who_want_it(recommender: Recommender) -> None:
    def wants(lists: ShopperLists, n: int) -> np.ndarray:
        assert (lists.item_idx[:, 0] != NO_ITEM).any()
        return np.array([True, False, True])

    lists = ask_lists(recommender, USERS[:3], ("for_you", "discover"), 5, recommender.data_end, wants=wants)
    assert (lists.item_idx[:, 1, 0] != NO_ITEM).tolist() == [True, False, True]
