"""The user of one request at one moment: features of the history that several sources share, computed once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from recsys.core.topk import top_k
from recsys.data.history import UserHistory
from recsys.fitting.engine import Engine
from recsys.models.temporal.repeat import PurchaseStats, purchase_stats
from recsys.moments.found import MomentItems, MomentQuery
from recsys.moments.registry import MOMENTS
from recsys.retrieval.candidates import Scored
from recsys.retrieval.query import Query

N_HEAVIEST: Final = 60
N_NEAREST: Final = 120
N_NEIGHBORS: Final = 40
MAX_OWN_FOUND: Final = 300
"""Most of the user's own items that the nearest items are searched beyond."""


@dataclass(frozen=True)
class UserState:
    """The user of one request: features of the history that several sources share, each computed once."""

    engine: Engine
    query: Query

    @cached_property
    def has_history(self) -> bool:
        """Whether the user has any event."""
        return len(self.query.history.item_idx) > 0

    @cached_property
    def weighted_history(self) -> Scored:
        """The user's distinct items and their decayed event weights, of either sign."""
        history = self.query.history
        age_s = history.timestamp[-1:].max(initial=0) - history.timestamp
        return self.engine.als.weights_of(history.item_idx, history.event_type, age_s, history.rating_weight)

    @cached_property
    def recent_items(self) -> Scored:
        """The latest distinct items of the history, latest first, and weights by their positions, which sum to 1."""
        return self.engine.sequence.recent_items(self.query.history)

    @cached_property
    def bought(self) -> UserHistory:
        """The user's purchases."""
        return self.query.history.of_type(self.engine.dataset_info.target_event)

    @cached_property
    def vector(self) -> npt.NDArray[np.float32]:
        """The user in the space of the items' vectors, float32 (n_factors,); zeros without a history."""
        return self.engine.als.fold_in(*self.weighted_history)

    @property
    def n_nearest(self) -> int:
        """Number of nearest items that are searched: those that may be the user's own, and others."""
        return min(N_NEAREST + min(len(self.weighted_history[0]), MAX_OWN_FOUND), self.engine.n_items)

    @cached_property
    def nearest(self) -> Scored:
        """The allowed items of the largest inner products with the user's vector, and the products, best first."""
        scores, rows = self.engine.index.nearest(self.vector, self.n_nearest, self.query.allowed)
        return _positive(rows, scores)

    @cached_property
    def _moments(self) -> dict[str, MomentItems]:
        """What moments have found, by name; each is asked once."""
        return {}

    def moment(self, name: str) -> MomentItems:
        """Returns the items of a moment of `recsys.moments.registry`."""
        found = self._moments.get(name)
        if found is None:
            found = self._moments[name] = MOMENTS[name](self.moment_query)
        return found

    @cached_property
    def moment_query(self) -> MomentQuery:
        """The user as moments see it."""
        query = self.query
        return MomentQuery(
            self.engine,
            query.history,
            self.own,
            self.top_history_items,
            query.now,
            datetime.fromtimestamp(query.now, ZoneInfo(query.timezone)),
            query.allowed,
            query.context,
            query.attributes,
            query.occasions,
        )

    def keep_nearest(self, rows: npt.NDArray[np.int32], scores: npt.NDArray[np.float32]) -> None:
        """Keep what a search of many users at once has found, so that none is made for this user alone.

        Args:
            rows: int32 (n_nearest or more,), best first; -1 past the last item.
            scores: float32, their inner products.
        """
        object.__setattr__(self, "nearest", _positive(rows[: self.n_nearest], scores[: self.n_nearest]))

    @cached_property
    def own(self) -> PurchaseStats:
        """Counts, recency and intervals of the items that the user bought."""
        return purchase_stats(self.engine.repeat, self.bought, self.query.now)

    def lift(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """Returns how much likelier each item is at this hour than through the day, from all users and this one.

        `P(b | i, u) = (n_uib + κ·P(b | i)) / (n_ui + κ)`, divided by `P(b)`.
        """
        timeofday, query, bought = self.engine.timeofday, self.query, self.bought
        lift = timeofday.lift[rows, query.bucket]
        if not timeofday.is_fitted or not len(bought) or not len(rows):
            return lift
        here = timeofday.bucket_of_hour[bought.hour] == query.bucket
        order = np.argsort(rows)
        position = order[np.minimum(np.searchsorted(rows, bought.item_idx, sorter=order), len(rows) - 1)]
        known = rows[position] == bought.item_idx
        n_own = np.bincount(position[known], minlength=len(rows))
        n_here = np.bincount(position[known & here], minlength=len(rows))
        k, share = timeofday.config.personal_shrinkage, timeofday.bucket_share[query.bucket]
        return ((n_here / share + k * lift) / (n_own + k)).astype(np.float32)

    @cached_property
    def top_history_items(self) -> Scored:
        """The items of the largest weights, at most `N_HEAVIEST`."""
        rows, weight = self.weighted_history
        best = top_k(weight, N_HEAVIEST)
        best = best[weight[best] > 0]
        return rows[best], weight[best]

    @cached_property
    def similar(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """The `N_NEIGHBORS` most similar items of each of `top_history_items`, and their scores."""
        rows, hybrid = self.top_history_items[0], self.engine.hybrid
        near, score = hybrid.similar_idx[rows, :N_NEIGHBORS], hybrid.similar_score[rows, :N_NEIGHBORS]
        return np.ascontiguousarray(near), np.ascontiguousarray(score)


def _positive(rows: npt.NDArray[np.int32], scores: npt.NDArray[np.float32]) -> Scored:
    kept = (rows >= 0) & (scores > 0)
    return rows[kept], scores[kept]
