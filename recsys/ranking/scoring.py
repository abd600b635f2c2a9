"""What a list is ordered by: the ranker's odds, or the blend of what the sources say, and the placement's dials."""

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
"""Keeps what the shopper has already in the list, behind all that is new, where nothing is ever bought twice."""

BLEND_HOUR_WEIGHT: Final = 0.8
"""How much an item's lift at the hour counts where no ranker has learned it."""

MIN_ITEMS_FOR_RANKER: Final = 2
"""Distinct items of a shopper below which the blend orders: one says too little for trees to part shoppers by."""

POPULARITY_DOUBLING_ITEMS: Final = 300.0
"""Distinct items at which what everyone buys counts double."""

REPEAT_SHARE_HALF_POINT: Final = 0.1
"""Share of repeats at which taste speaks half as much for what the shopper bought as for what is new."""


def contributions(placement: Placement, state: UserState, candidates: Candidates) -> npt.NDArray[np.float64]:
    """What each source adds to each candidate's score, (n_sources, n_candidates).

    Where a list mixes what the shopper bought with what is new, the two sides are distributions over the candidates,
    weighted by the share of purchases that repeat an earlier one in this shop: `r·P(i | again) + (1 − r)·P(i | taste)`.
    Where repeats are rare, taste does not speak for what the shopper has already.
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
    """A source's weight; the less is known of a shopper, the more counts what everyone buys."""
    weight = placement.sources.get(source, 1.0)
    if source == "popular":
        weight *= 1 + POPULARITY_DOUBLING_ITEMS / max(len(state.weighted_history[0]), 1)
    return weight


def score_of(
    placement: Placement,
    state: UserState,
    candidates: Candidates,
    parts: npt.NDArray[np.float64],
    *,
    with_ranker: bool,
) -> npt.NDArray[np.float64]:
    """What the list is ordered by: the ranker's odds of being taken, else the blend; then the placement's dials.

    `score · lift^(w·h) · buyers^−β`, with `w` the weight of the hour that the ranker learned; odds are told as a
    probability in the end.
    """
    engine, rows = state.engine, candidates.item_idx
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
    return score / (1 + score) if ranker.is_fitted else score


def ranker_of(placement: Placement, state: UserState) -> Ranker:
    """The ranker that a placement names; an unfitted one where it names none, or next to nothing is known."""
    if not placement.ranker or len(state.weighted_history[0]) < MIN_ITEMS_FOR_RANKER:
        return NO_RANKER
    ranker: Ranker = getattr(state.engine.rankers, placement.ranker)
    return ranker


def blend(
    placement: Placement, engine: Engine, candidates: Candidates, parts: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The order that needs no training, float64 (n_candidates,): what the sources add up to, times `trend^t`."""
    score = parts.sum(axis=0)
    if placement.trend_power:
        score = score * engine.popularity.trend[candidates.item_idx] ** placement.trend_power
    return score
