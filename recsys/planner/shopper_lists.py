"""The lists of some shoppers, in rows, that messages are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from recsys.core.placements import Placement
from recsys.core.request import RecommendedItem, Request
from recsys.pipeline.batch import rank_batch
from recsys.pipeline.recommend import to_recommendations
from recsys.pipeline.recommender import Recommender
from recsys.planner.arbitration import NO_ITEM
from recsys.planner.habits import Visits, visits_of
from recsys.retrieval.block_search import BlockSearch
from recsys.retrieval.query import Ranking
from recsys.retrieval.user_state import UserState

Asked = tuple[Placement, UserState, Ranking]


@dataclass(frozen=True)
class ShopperLists:
    """The lists of some shoppers.

    Attributes:
        item_idx: int32 (n_users, n_lists, n_places), `NO_ITEM` beyond the end of a list; a list that is the fallback is
            empty, as nothing in it is about the shopper.
        score: float64, same shape; 0 beyond the end.
        asked: the lists as they were made, by position of shopper and list; a list that was not made is empty.
        visits: of the shoppers.
        timezones: of the shoppers.
    """

    item_idx: npt.NDArray[np.int32]
    score: npt.NDArray[np.float64]
    asked: dict[tuple[int, int], Asked]
    visits: Visits
    timezones: tuple[str, ...]

    def items(self, user: int, list_idx: int, places: npt.NDArray[np.int64], version: str) -> list[RecommendedItem]:
        """Return some items of a list with their reasons."""
        placement, state, ranking = self.asked[user, list_idx]
        page = ranking.take(places[places != NO_ITEM])
        return list(to_recommendations(placement, state, page, version).items)


Searches = dict[str, BlockSearch]
"""Decoded vectors, by the pool of the placement, which narrows the items that are searched."""

Wants = Callable[[ShopperLists, int], npt.NDArray[np.bool_]]
"""Returns the shoppers that a further list is made for, from the lists before it."""


def ask_lists(
    recommender: Recommender,
    user_ids: Sequence[str],
    names: Sequence[str],
    n_places: int,
    as_of: int,
    searches: Searches | None = None,
    wants: Wants = lambda lists, n: np.ones(len(lists.item_idx), np.bool_),
) -> ShopperLists:
    """Make the lists of some shoppers at a moment.

    Args:
        recommender: the open bundle.
        user_ids: the shoppers; their lists are kept in memory.
        names: placements for users, at least one.
        n_places: length of each list.
        as_of: seconds since 1970.
        searches: keeps decoded vectors from one call to the next.
        wants: for whom each list after the first is made; for all if not given.
    """
    searches = {} if searches is None else searches
    shape = (len(user_ids), len(names), n_places)
    lists = ShopperLists(np.full(shape, NO_ITEM, np.int32), np.zeros(shape), {}, visits_of((), (), 0), ())
    for n, name in enumerate(names):
        users = (np.flatnonzero(wants(lists, n)) if n else np.arange(len(user_ids))).tolist()
        requests = (Request(name, as_of, n_places, user_id=user_ids[user]) for user in users)
        search = searches.setdefault(recommender.placements[name].pool, BlockSearch())
        found = rank_batch(
            recommender.current, requests, recommender.placements, recommender.live, recommender.masks, search
        )
        for user, (placement, state, ranking) in zip(users, found, strict=True):
            lists.asked[user, n] = (placement, state, ranking)
            if not ranking.fallback_used:
                rows = ranking.item_idx[:n_places]
                lists.item_idx[user, n, : len(rows)] = rows
                lists.score[user, n, : len(rows)] = ranking.score[:n_places]
        if n == 0:
            lists = _with_visits(lists, recommender.engine.dataset_info.target_event)
    return lists


def _with_visits(lists: ShopperLists, target_event: int) -> ShopperLists:
    """Add the visits, from the histories that the first list was made of."""
    queries = [lists.asked[user, 0][1].query for user in range(len(lists.item_idx))]
    timezones = tuple(query.timezone for query in queries)
    visits = visits_of([query.history for query in queries], timezones, target_event)
    return replace(lists, visits=visits, timezones=timezones)
