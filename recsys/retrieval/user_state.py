"""One shopper at one moment: what several sources and features ask of a history, worked out once a request."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.topk import top_k
from recsys.data.history import UserHistory
from recsys.fitting.engine import Engine
from recsys.models.temporal.repeat import PurchaseStats, purchase_stats
from recsys.retrieval.query import Query

N_HEAVIEST: Final = 60

Scored = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]
"""Distinct rows of items, int32 (n,), and their scores, float32 (n,), > 0."""


@dataclass(frozen=True)
class UserState:
    """What several sources ask of the shopper's history, worked out once a request."""

    engine: Engine
    query: Query

    @cached_property
    def weighted_history(self) -> Scored:
        """The shopper's distinct items and their decayed event weights, of either sign."""
        history = self.query.history
        age_s = self.query.now - history.timestamp
        return self.engine.als.weights_of(history.item_idx, history.kind, age_s, history.rating_weight)

    @cached_property
    def bought(self) -> UserHistory:
        """The shopper's purchases."""
        return self.query.history.of_kind(self.engine.dataset_info.target_event)

    @cached_property
    def vector(self) -> npt.NDArray[np.float32]:
        """The shopper in the space of the items' vectors, float32 (n_factors,); zeros where nothing is known."""
        return self.engine.als.fold_in(*self.weighted_history)

    @cached_property
    def own(self) -> PurchaseStats:
        """What the shopper bought."""
        return purchase_stats(self.engine.repeat, self.bought, self.engine.dataset_info.target_event, self.query.now)

    def lift(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """How much likelier each item is at this hour than through the day, by everyone's habit and the shopper's.

        `P(b | i, u) = (n_uib + κ·P(b | i)) / (n_ui + κ)`, divided by `P(b)`.
        """
        timeofday, query, bought = self.engine.timeofday, self.query, self.bought
        lift = timeofday.lift[rows, query.bucket]
        if not timeofday.is_fitted or not len(bought) or not len(rows):
            return lift
        here = timeofday.bucket_of_hour[bought.hour] == query.bucket
        order = np.argsort(rows)
        place = order[np.minimum(np.searchsorted(rows, bought.item_idx, sorter=order), len(rows) - 1)]
        known = rows[place] == bought.item_idx
        n_own = np.bincount(place[known], minlength=len(rows))
        n_here = np.bincount(place[known & here], minlength=len(rows))
        k, share = timeofday.config.personal_shrinkage, timeofday.bucket_share[query.bucket]
        return ((n_here / share + k * lift) / (n_own + k)).astype(np.float32)

    @cached_property
    def top_history_items(self) -> Scored:
        """The items that weigh most, at most `N_HEAVIEST`."""
        rows, weight = self.weighted_history
        best = top_k(weight, N_HEAVIEST)
        best = best[weight[best] > 0]
        return rows[best], weight[best]
