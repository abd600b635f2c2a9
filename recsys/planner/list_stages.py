"""The stages of life that the items of lists fit, and those that their shoppers are in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.moments.stages import stages_of
from recsys.pipeline.recommender import Recommender
from recsys.planner.arbitration import NO_ITEM
from recsys.planner.shopper_lists import ShopperLists


class ListStages(NamedTuple):
    """The stages of the items of lists.

    Attributes:
        of_item: int64 (n_dates, n_users, n_lists, n_places), bits of the stages that an item fits, 0 for all.
        is_over: bool (n_users, n_lists, n_places), items of stages that the shopper is not in.
    """

    of_item: npt.NDArray[np.int64]
    is_over: npt.NDArray[np.bool_]


def list_stages(recommender: Recommender, lists: ShopperLists) -> ListStages | None:
    """Return the stages of the items of lists, by the occasions of all placements; None if no item has a stage."""
    placements = recommender.placements.values()
    stages = stages_of(recommender.current, (each for placement in placements for each in placement.occasions))
    if not stages.occasions:
        return None
    of_item = np.where(lists.item_idx == NO_ITEM, 0, stages.of_item[:, lists.item_idx])
    queries = [lists.asked[user, 0][1].moment_query for user in range(len(lists.item_idx))]
    of_user = np.array([stages.of_user(query.local, query.attributes()) for query in queries])
    is_over = (of_item != 0) & (of_item & of_user.T[:, :, None, None] == 0)
    return ListStages(of_item, is_over.any(axis=0))
