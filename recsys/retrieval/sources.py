"""The sources of candidates: each finds items that fit a user or go with an item."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.topk import is_among
from recsys.kernels.candidates import sum_lists
from recsys.models.pairs.related_items import RelatedItems
from recsys.models.pairs.sequence import weigh_recent
from recsys.retrieval.candidates import Candidates, Scored, unite
from recsys.retrieval.moment_sources import MOMENT_SOURCES
from recsys.retrieval.query import Mask, Query, Rows
from recsys.retrieval.user_state import UserState

Source = Callable[[UserState], Scored]

N_PER_SOURCE: Final = 120
EARLIEST_DUE: Final = 0.8
LATEST_DUE: Final = 3.0
DUE_SPREAD: Final = 0.5
MIN_REPEAT_PROBABILITY: Final = 0.2


def repeat_source(state: UserState) -> Scored:
    """Items that the user bought, by the days and the orders since each purchase."""
    own = state.own
    return _allowed(state.query, own.item_idx, own.score)


def due_source(state: UserState) -> Scored:
    """Items that are due to be bought again: `P(again) · exp(−ln²(elapsed) / 2σ²)`, elapsed in the item's intervals."""
    own, query = state.own, state.query
    elapsed = own.elapsed(query.now)
    probability = state.engine.repeat.repeat_probability(own)
    due = (elapsed >= EARLIEST_DUE) & (elapsed <= LATEST_DUE) & (probability >= MIN_REPEAT_PROBABILITY)
    score = probability[due] * np.exp(-(np.log(elapsed[due]) ** 2) / (2 * DUE_SPREAD**2))
    return _allowed(query, own.item_idx[due], score.astype(np.float32))


def als_source(state: UserState) -> Scored:
    """Items that similar users buy: the hybrid index, searched with a vector folded in from the history."""
    return state.nearest if (state.weighted_history[1] > 0).any() else _nothing()


def copurchase_source(state: UserState) -> Scored:
    """Items that share baskets with the user's items: `Σ_i w_i · P(j | i)`."""
    return _summed(state, state.engine.copurchase.partners, *state.top_history_items)


def affinity_source(state: UserState) -> Scored:
    """Best sellers of the product types that the user buys."""
    rows, weight = state.weighted_history
    found, score = state.engine.affinity.score(rows, weight, state.query.allowed)
    positive = score > 0
    return found[positive], score[positive]


def ease_source(state: UserState) -> Scored:
    """Items that a linear model between the best sellers predicts from the user's purchases, else from the views."""
    own = state.own
    if len(own.item_idx):
        return _allowed(state.query, *state.engine.ease.score(own.item_idx, own.n_baskets))
    rows, weight = state.top_history_items
    return _allowed(state.query, *state.engine.ease.score(rows, weight / max(float(weight.max(initial=0)), 1e-12)))


def around_source(state: UserState) -> Scored:
    """Items that people turn to around the user's latest items."""
    return state.engine.sequence.around.sums(*state.recent_items, state.query.allowed)


def after_source(state: UserState) -> Scored:
    """Items that people take after the user's latest items."""
    return state.engine.sequence.after.sums(*state.recent_items, state.query.allowed)


def recent_items_source(state: UserState) -> Scored:
    """Items that the user viewed or put into a cart, and never bought."""
    rows, weight = state.weighted_history
    kept = (weight > 0) & ~is_among(rows, state.own.item_idx)
    return _allowed(state.query, rows[kept], weight[kept])


def content_source(state: UserState) -> Scored:
    """Items that are similar to the user's: finds items that nobody has bought yet."""
    return _likeness(state, *state.similar, state.top_history_items[1])


def popular_source(state: UserState) -> Scored:
    """Best sellers."""
    engine, query = state.engine, state.query
    best = _first_allowed(engine.by_popularity, query.allowed, N_PER_SOURCE)
    return best, np.maximum(engine.popularity.share[best], 1e-12)


def popular_by_hour_source(state: UserState) -> Scored:
    """Best sellers at this hour: `P(item) · lift(item | part of the day)`."""
    engine, query = state.engine, state.query
    best = _first_allowed(engine.sales_by_bucket.best(query.bucket), query.allowed, N_PER_SOURCE)
    return best, engine.sales_by_bucket.score(query.bucket, best)


def bought_together_source(state: UserState) -> Scored:
    """Items that share baskets with the seeds."""
    seeds = state.query.seeds
    return _summed(state, state.engine.copurchase.bought_together, seeds, np.ones(len(seeds), np.float32))


def complementary_source(state: UserState) -> Scored:
    """Items that complement the seeds and replace none of them."""
    seeds = state.query.seeds
    return _summed(state, state.engine.copurchase.complementary, seeds, np.ones(len(seeds), np.float32))


def similar_source(state: UserState) -> Scored:
    """Items that can replace the seeds, the last seed above all."""
    hybrid = state.engine.hybrid
    seeds, weight = _weighted_seeds(state)
    return _likeness(state, hybrid.similar_idx[seeds], hybrid.similar_score[seeds], weight)


def viewed_together_source(state: UserState) -> Scored:
    """Items that people turn to around the seeds, the last seed above all."""
    return state.engine.sequence.around.sums(*_weighted_seeds(state), state.query.allowed)


def alternatives_source(state: UserState) -> Scored:
    """The same in shops that record views, where items around each other are alternatives."""
    return viewed_together_source(state) if state.engine.sequence.by_view else _nothing()


def _weighted_seeds(state: UserState) -> Scored:
    """The distinct seeds, latest first, and weights by their positions from the end."""
    seeds = state.query.seeds
    return weigh_recent(seeds, np.arange(len(seeds)), state.engine.sequence.config)


CANDIDATE_SOURCES: Final[Mapping[str, Source]] = MappingProxyType(
    {
        "repeat": repeat_source,
        "due": due_source,
        "als": als_source,
        "together": copurchase_source,
        "affinity": affinity_source,
        "ease": ease_source,
        "touched": recent_items_source,
        "around": around_source,
        "after": after_source,
        "content": content_source,
        "popular": popular_source,
        "popular_by_hour": popular_by_hour_source,
        "bought_together": bought_together_source,
        "complementary": complementary_source,
        "similar": similar_source,
        "viewed_together": viewed_together_source,
        "alternatives": alternatives_source,
        **MOMENT_SOURCES,
    }
)


def generate(names: Iterable[str], state: UserState) -> Candidates:
    """Asks some sources and unites what they found.

    Args:
        names: of the sources.
        state: the user and the query.

    Returns:
        The candidates within the quotas of their sources.
    """
    found = {name: CANDIDATE_SOURCES[name](state) for name in names}
    return unite(found, state.own.item_idx, state.engine.n_items)


def _nothing() -> Scored:
    return np.empty(0, np.int32), np.empty(0, np.float32)


def _first_allowed(rows: npt.NDArray[np.int32], allowed: Mask | None, n: int) -> npt.NDArray[np.int32]:
    """Returns the first `n` rows that are allowed; looks at no more of them than it needs, up to a factor of 4."""
    if allowed is None:
        return rows[:n]
    size = 2 * n
    while True:
        found = rows[:size]
        found = found[allowed[found]]
        if len(found) >= n or size >= len(rows):
            return found[:n]
        size *= 4


def _allowed(query: Query, rows: npt.NDArray[np.int32], score: npt.NDArray[np.float32]) -> Scored:
    if query.allowed is None:
        return rows, score
    kept = query.allowed[rows]
    return rows[kept], score[kept]


def _summed(state: UserState, lists: RelatedItems, rows: Rows, weight: npt.NDArray[np.float32]) -> Scored:
    """Returns the sums of the weighted scores of the lists of some rows."""
    return lists.sums(rows, weight, state.query.allowed, state.engine.n_items)


def _likeness(state: UserState, near: Rows, score: npt.NDArray[np.float32], weight: npt.NDArray[np.float32]) -> Scored:
    """Returns the sums of the weighted scores of some lists of similar items; -1 marks the end of a list."""
    return sum_lists(near, score, weight, state.query.allowed, state.engine.n_items)
