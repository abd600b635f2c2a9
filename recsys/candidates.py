"""Sources, each with its own idea of what fits, and their union: the candidates of one request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.context import Query
from recsys.engine import Engine
from recsys.models.repeat import OwnItems, own_items
from recsys.topk import top_k

N_PER_SOURCE: Final = 120
QUOTAS: Final[Mapping[str, int]] = MappingProxyType(
    {"repeat": 150, "als": 80, "together": 80, "affinity": 80, "ease": 60, "popular": 60, "touched": 60, "content": 40}
)
"""Most candidates that a source may bring to a list that is ranked; all that any source knows of them counts."""

N_HEAVIEST: Final = 60
MAX_OWN_FOUND: Final = 300
N_NEIGHBORS: Final = 40
EARLIEST_DUE: Final = 0.8
LATEST_DUE: Final = 3.0
DUE_SPREAD: Final = 0.5
MIN_CHANCE_OF_ANOTHER: Final = 0.2

Scored = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]
"""Distinct rows of items, int32 (n,), and their scores, float32 (n,), > 0."""


@dataclass(frozen=True)
class Shopper:
    """What several sources ask of the shopper's history, worked out once a request."""

    engine: Engine
    query: Query

    @cached_property
    def weighted(self) -> Scored:
        """The shopper's distinct items and their decayed event weights, of either sign."""
        history = self.query.history
        age_s = self.query.now - history.timestamp
        return self.engine.als.weights_of(history.item_idx, history.kind, age_s, history.strength)

    @cached_property
    def vector(self) -> npt.NDArray[np.float32]:
        """The shopper in the space of the items' vectors, float32 (n_factors,); zeros where nothing is known."""
        return self.engine.als.fold_in(*self.weighted)

    @cached_property
    def own(self) -> OwnItems:
        """What the shopper bought."""
        return own_items(self.engine.repeat, self.query.history, self.engine.shop.goal, self.query.now)

    def lift(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """How much likelier each item is at this hour than through the day, by everyone's habit and the shopper's.

        `P(b | i, u) = (n_uib + κ·P(b | i)) / (n_ui + κ)`, divided by `P(b)`.
        """
        timeofday, query = self.engine.timeofday, self.query
        lift = timeofday.lift[rows, query.bucket]
        bought = query.history.of_kind(self.engine.shop.goal)
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
    def heaviest(self) -> Scored:
        """The items that weigh most, at most `N_HEAVIEST`."""
        rows, weight = self.weighted
        best = top_k(weight, N_HEAVIEST)
        best = best[weight[best] > 0]
        return rows[best], weight[best]


Source = Callable[[Shopper], Scored]


@dataclass(frozen=True)
class Candidates:
    """The union of what sources found.

    Attributes:
        item_idx: int32 (n,), distinct, ascending.
        scores: by source, float32 (n,), divided by the source's best; 0 where it did not find the item.
        best: by source, the score of the best that it found, 0 where it found nothing.
    """

    item_idx: npt.NDArray[np.int32]
    scores: Mapping[str, npt.NDArray[np.float32]]
    best: Mapping[str, float]

    def take(self, kept: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Candidates:
        """The chosen candidates."""
        return Candidates(self.item_idx[kept], {name: score[kept] for name, score in self.scores.items()}, self.best)


def gather(sources: Mapping[str, Source], shopper: Shopper) -> Candidates:
    """Ask every source and unite what they found.

    What the shopper owns comes from the source that knows it best, `repeat`, if from any; the quotas of the others are
    for what is new.

    Args:
        sources: by name.
        shopper: whom, and what, the request is about.
    """
    found = {name: source(shopper) for name, source in sources.items()}
    rows = _distinct(np.concatenate([_within_quota(name, *found[name], shopper) for name in found]))
    best = {name: float(score.max(initial=0)) for name, (_, score) in found.items()}
    return Candidates(rows, {name: spread(rows, *scored) for name, scored in found.items()}, best)


def _within_quota(
    name: str, rows: npt.NDArray[np.int32], score: npt.NDArray[np.float32], shopper: Shopper
) -> npt.NDArray[np.int32]:
    quota = QUOTAS.get(name)
    if quota is None or len(rows) <= quota:
        return rows
    if name != "repeat":
        is_new = ~is_among(rows, shopper.own.item_idx)
        rows, score = rows[is_new], score[is_new]
    return rows[top_k(score, quota, rows)]


def spread(
    rows: npt.NDArray[np.int32], found: npt.NDArray[np.int32], score: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Scores of all rows (ascending) from those of the rows found, as shares of the best; 0 where not found."""
    column = np.zeros(len(rows), np.float32)
    if len(rows) and score.max(initial=0) > 0:
        place = np.minimum(rows.searchsorted(found), len(rows) - 1)
        known = rows[place] == found
        column[place[known]] = score[known] / score.max()
    return column


def is_among(rows: npt.NDArray[np.int32], ascending: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Which rows are in an ascending array, bool (n,)."""
    if not len(ascending):
        return np.zeros(len(rows), np.bool_)
    return ascending[np.minimum(ascending.searchsorted(rows), len(ascending) - 1)] == rows


def repeat_source(shopper: Shopper) -> Scored:
    """What the shopper bought, by recency-weighted count."""
    own = shopper.own
    return _allowed(shopper.query, own.item_idx, own.score)


def due_source(shopper: Shopper) -> Scored:
    """What the shopper is due to buy again: `P(again) · exp(−ln²(elapsed) / 2σ²)`, elapsed in the item's intervals."""
    own, query = shopper.own, shopper.query
    elapsed = own.elapsed(query.now)
    chance = shopper.engine.repeat.chance_of_another(own)
    due = (elapsed >= EARLIEST_DUE) & (elapsed <= LATEST_DUE) & (chance >= MIN_CHANCE_OF_ANOTHER)
    score = chance[due] * np.exp(-(np.log(elapsed[due]) ** 2) / (2 * DUE_SPREAD**2))
    return _allowed(query, own.item_idx[due], score.astype(np.float32))


def als_source(shopper: Shopper) -> Scored:
    """What shoppers alike buy: the hybrid index searched with a vector folded in from the history."""
    rows, weight = shopper.weighted
    if not (weight > 0).any():
        return _nothing()
    engine = shopper.engine
    k = min(N_PER_SOURCE + min(len(rows), MAX_OWN_FOUND), len(engine.items))
    scores, found = engine.index.search(shopper.vector[None], k, shopper.query.allowed)
    kept = (found[0] >= 0) & (scores[0] > 0)
    return found[0][kept], scores[0][kept]


def together_source(shopper: Shopper) -> Scored:
    """What goes into baskets with the shopper's items: `Σ_i w_i · P(j | i)`."""
    rows, weight = shopper.heaviest
    partners = shopper.engine.copurchase.partners
    near = partners.item_idx[rows]
    score = partners.score[rows] * weight[:, None]
    return _summed(shopper.query, near.ravel(), score.ravel())


def affinity_source(shopper: Shopper) -> Scored:
    """What sells of the types that the shopper buys."""
    rows, weight = shopper.weighted
    found, score = shopper.engine.affinity.score(rows, weight, shopper.query.allowed)
    positive = score > 0
    return found[positive], score[positive]


def ease_source(shopper: Shopper) -> Scored:
    """What the shopper's items speak for, by a linear model between the best sellers."""
    own = shopper.own
    return _allowed(shopper.query, *shopper.engine.ease.score(own.item_idx, own.n_baskets))


def touched_source(shopper: Shopper) -> Scored:
    """What the shopper looked at, or put into a cart, and never bought."""
    rows, weight = shopper.weighted
    kept = (weight > 0) & ~is_among(rows, shopper.own.item_idx)
    return _allowed(shopper.query, rows[kept], weight[kept])


def content_source(shopper: Shopper) -> Scored:
    """What is like the shopper's items: serves items that nobody bought yet."""
    rows, weight = shopper.heaviest
    hybrid = shopper.engine.hybrid
    near = hybrid.similar_idx[rows, :N_NEIGHBORS]
    score = hybrid.similar_score[rows, :N_NEIGHBORS] * weight[:, None]
    return _summed(shopper.query, near.ravel(), score.ravel())


def popular_source(shopper: Shopper) -> Scored:
    """What everyone buys."""
    engine, query = shopper.engine, shopper.query
    best = engine.by_popularity
    if query.allowed is not None:
        best = best[query.allowed[best]]
    best = best[:N_PER_SOURCE]
    return best, np.maximum(engine.popularity.share[best], 1e-12)


def popular_by_hour_source(shopper: Shopper) -> Scored:
    """What sells at this hour: `P(item) · lift(item | part of the day)`."""
    engine, query = shopper.engine, shopper.query
    score = engine.popularity.share * engine.timeofday.lift[:, query.bucket]
    if query.allowed is not None:
        score = np.where(query.allowed, score, 0)
    best = top_k(score, N_PER_SOURCE)
    best = best[score[best] > 0]
    return best.astype(np.int32), score[best].astype(np.float32)


def bought_together_source(shopper: Shopper) -> Scored:
    """What ends up in baskets with the seeds."""
    lists = shopper.engine.copurchase.bought_together
    seeds = shopper.query.seeds
    return _summed(shopper.query, lists.item_idx[seeds].ravel(), lists.score[seeds].ravel())


def complementary_source(shopper: Shopper) -> Scored:
    """What goes with the seeds and could replace none of them."""
    lists = shopper.engine.copurchase.complementary
    seeds = shopper.query.seeds
    return _summed(shopper.query, lists.item_idx[seeds].ravel(), lists.score[seeds].ravel())


def similar_source(shopper: Shopper) -> Scored:
    """What could replace the seeds."""
    hybrid = shopper.engine.hybrid
    seeds = shopper.query.seeds
    return _summed(shopper.query, hybrid.similar_idx[seeds].ravel(), hybrid.similar_score[seeds].ravel())


SOURCES: Final[Mapping[str, Source]] = MappingProxyType(
    {
        "repeat": repeat_source,
        "due": due_source,
        "als": als_source,
        "together": together_source,
        "affinity": affinity_source,
        "ease": ease_source,
        "touched": touched_source,
        "content": content_source,
        "popular": popular_source,
        "popular_by_hour": popular_by_hour_source,
        "bought_together": bought_together_source,
        "complementary": complementary_source,
        "similar": similar_source,
    }
)


def _distinct(rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Distinct rows, ascending; by sorting, which beats `np.unique`'s hash table fifteen times at this size."""
    ordered = np.sort(rows)
    return ordered[np.concatenate([ordered[:1] >= 0, ordered[1:] != ordered[:-1]])]


def _nothing() -> Scored:
    return np.empty(0, np.int32), np.empty(0, np.float32)


def _allowed(query: Query, rows: npt.NDArray[np.int32], score: npt.NDArray[np.float32]) -> Scored:
    if query.allowed is None:
        return rows, score
    kept = query.allowed[rows]
    return rows[kept], score[kept]


def _summed(query: Query, rows: npt.NDArray[np.int32], score: npt.NDArray[np.float32]) -> Scored:
    """Sum scores of equal rows; -1 marks the end of a list."""
    kept = (rows >= 0) & (score > 0)
    distinct, place = np.unique(rows[kept], return_inverse=True)
    summed = np.bincount(place, score[kept], len(distinct)).astype(np.float32)
    return _allowed(query, distinct, summed)
