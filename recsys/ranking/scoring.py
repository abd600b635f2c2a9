"""The score of a list: the ranker's odds, or the weighted sum of the sources, and the factors of the placement."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.placements import Placement
from recsys.fitting.engine import Engine
from recsys.fitting.ranker import NO_RANKER, Ranker
from recsys.ranking.features import features
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.user_state import UserState

REPEAT_FLOOR_SCORE: Final = 1e-3
"""Keeps items that the user has in the list, behind all new ones, in a shop where nothing is bought twice."""

BLEND_HOUR_WEIGHT: Final = 0.8
"""Weight of an item's lift at the hour where no ranker has learned it."""

MIN_ITEMS_FOR_RANKER: Final = 2
"""Fewest distinct items in a history for which the ranker orders; the blend orders shorter ones."""

POPULARITY_DOUBLING_ITEMS: Final = 300.0
"""Number of distinct items in a history at which popularity counts double."""

REPEAT_SHARE_HALF_POINT: Final = 0.1
"""Share of repeat purchases at which taste counts half as much for bought items as for new ones."""


def contributions(placement: Placement, state: UserState, candidates: Candidates) -> npt.NDArray[np.float64]:
    """Returns the part of each source in each candidate's score, float64 (n_sources, n_candidates).

    Where a list mixes bought items with new ones, the two sides are distributions over the candidates, weighted by the
    share `r` of purchases in this shop that repeat an earlier one: `r·P(i | again) + (1 − r)·P(i | taste)`. Where
    repeats are rare, taste does not count for bought items.
    """
    weights = np.array([_weight(placement, name, state) for name in candidates.scores])
    parts = np.array(list(candidates.scores.values()), np.float64) * weights[:, None]
    if "repeat" in candidates.scores and len(weights) > 1:
        is_repeat = np.array([name == "repeat" for name in candidates.scores])
        share = state.engine.repeat.repeat_share
        parts *= np.where(
            candidates.scores["repeat"] > 0, (share + REPEAT_FLOOR_SCORE) / (share + REPEAT_SHARE_HALF_POINT), 1
        )
        again, taste = (max(parts[side].sum(), 1e-12) for side in (is_repeat, ~is_repeat))
        parts *= np.where(is_repeat, share / again, (1 - share) / taste)[:, None]
    return parts


def _weight(placement: Placement, source: str, state: UserState) -> float:
    """The weight of a source; popularity counts more for users with shorter histories."""
    weight = placement.sources.get(source, 1.0)
    if source == "popular":
        weight *= 1 + POPULARITY_DOUBLING_ITEMS / max(len(state.weighted_history[0]), 1)
    return weight


def score_of(
    placement: Placement,
    state: UserState,
    candidates: Candidates,
    *,
    with_ranker: bool,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns the score of each candidate, float64 (n_candidates,), and the parts of the sources in its blend.

    The score is the ranker's odds, else the blend, times factors: `score · lift^(w·h) · buyers^−β`, with `w` the weight
    of the hour that the ranker learned, and `h` and `β` of the placement. Odds become a probability at the end. The
    parts are those of `contributions`.
    """
    engine, rows = state.engine, candidates.item_idx
    parts = contributions(placement, state, candidates)
    ranker = ranker_of(placement, state) if with_ranker else NO_RANKER
    if ranker.is_fitted and len(rows):
        score = np.exp(ranker.log_odds(features(state, candidates)))
    else:
        score = blend(placement, engine, candidates, parts)
    if placement.hour_power:
        weight = ranker.hour_weight if ranker.is_fitted else BLEND_HOUR_WEIGHT
        score = score * state.lift(rows) ** (weight * placement.hour_power)
    if placement.tail_discount:
        score = score * np.maximum(engine.popularity.n_buyers[rows], 1.0) ** -placement.tail_discount
    return (score / (1 + score) if ranker.is_fitted else score), parts


def ranker_of(placement: Placement, state: UserState) -> Ranker:
    """Returns the ranker of a placement; an unfitted one where it has none, or the history is too short."""
    if not placement.ranker or len(state.weighted_history[0]) < MIN_ITEMS_FOR_RANKER:
        return NO_RANKER
    ranker: Ranker = getattr(state.engine.rankers, placement.ranker)
    return ranker


def blend(
    placement: Placement, engine: Engine, candidates: Candidates, parts: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Returns the score without a ranker, float64 (n_candidates,): the sum of the sources' parts times `trend^t`."""
    score = parts.sum(axis=0)
    if placement.trend_power:
        score = score * engine.popularity.trend[candidates.item_idx] ** placement.trend_power
    return score
