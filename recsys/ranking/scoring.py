"""The score of a list: the ranker's odds, or the weighted sum of the sources, and the factors of the placement."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.placements import Placement
from recsys.fitting.blend import NO_BLEND, Blend, Blends, between
from recsys.fitting.engine import Engine
from recsys.fitting.ranker import NO_RANKER, Ranker
from recsys.kernels.mixing import mix_parts
from recsys.ranking.features import features
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.user_state import UserState

LEAST_REPEAT_MASS: Final = 0.02
"""Least mass of the bought items, so that a search can raise it where the repeat share misses repeats."""

REPEAT_FLOOR_SCORE: Final = 1e-3
"""Keeps items that the user has in the list, behind all new ones, in a shop where nothing is bought twice."""

BLEND_HOUR_WEIGHT: Final = 0.8
"""Weight of an item's lift at the hour where no ranker has learned it."""

POPULARITY_OF_FEW: Final = 5.0
"""Factor of the weight of popularity for a history of one item, where no search has learned the weights."""

FILLING_WEIGHT: Final = 1e-6
"""Least part of its prior weight that a source keeps: what learned weights leave out fills the end of a list."""

REPEAT_SHARE_HALF_POINT: Final = 0.1
"""Share of repeat purchases at which taste counts half as much for bought items as for new ones."""


def list_weights(placement: Placement, state: UserState, names: tuple[str, ...]) -> npt.NDArray[np.float64]:
    """Returns the weight of each source in one list, float64 (n_sources,); see `weights_of`."""
    return weights_of(placement, state.engine.blends, names, np.array([len(state.weighted_history[0])]))[:, 0]


def contributions(
    placement: Placement,
    state: UserState,
    candidates: Candidates,
    weights: npt.NDArray[np.float64] | None = None,
) -> npt.NDArray[np.float64]:
    """Returns the part of each source in each candidate's score, float64 (n_sources, n_candidates); see `mix`.

    Args:
        placement: the list.
        state: the user and the query.
        candidates: with their scores.
        weights: those of `list_weights`, if they are known.
    """
    scores, names = candidates.table, candidates.names
    weights = list_weights(placement, state, names) if weights is None else weights
    return mix(scores, weights[:, None], np.array([scores.shape[1]]), names, state.engine.repeat.repeat_share)


def mix(
    scores: npt.NDArray[np.float32],
    weights: npt.NDArray[np.float64],
    size: npt.NDArray[np.int64],
    names: tuple[str, ...],
    repeat_share: float,
) -> npt.NDArray[np.float64]:
    """Returns the part of each source in the score of each candidate of some requests.

    Where a list mixes bought items with new ones, the two sides are distributions over the candidates of a request,
    weighted by the share `r` of purchases in this shop that repeat an earlier one:
    `w·max(r, m)·P(i | again) + (1 − r)·P(i | taste)`, with `w` the weight of the source `repeat`
    and `m = LEAST_REPEAT_MASS`. Where repeats are rare, taste
    does not count for bought items.

    Args:
        scores: float32 (n_sources, n), score of each candidate by each source, one request after the other.
        weights: float64 (n_sources, n_requests), weight of each source in each request.
        size: int64 (n_requests,), candidates of each request.
        names: of the sources.
        repeat_share: r, in [0, 1].

    Returns:
        float64 (n_sources, n).
    """
    again = names.index("repeat") if "repeat" in names and len(names) > 1 else -1
    asked = (np.ascontiguousarray(scores, np.float32), np.ascontiguousarray(weights), size, again)
    parts: npt.NDArray[np.float64] = mix_parts(*asked, *shares_of_repeats(repeat_share))
    return parts


def shares_of_repeats(repeat_share: float) -> tuple[float, float, float]:
    """Return the share of repeats, the mass of bought items, and what taste counts for these; see `mix`."""
    damping = (repeat_share + REPEAT_FLOOR_SCORE) / (repeat_share + REPEAT_SHARE_HALF_POINT)
    return repeat_share, max(repeat_share, LEAST_REPEAT_MASS), damping


def weights_of(
    placement: Placement, blends: Blends, names: tuple[str, ...], n_items: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """Returns the weight of each source for histories of some lengths, float64 (n_sources, n).

    Args:
        placement: the list.
        blends: the learned weights.
        names: of the sources; a fallback that the placement does not list has the weight 1.
        n_items: (n,), distinct items of each history.
    """
    learned = blend_of(placement, blends)
    prior = between(*prior_weights(placement, names), n_items)
    if learned.is_fitted and len(names) > 1 and learned.knows(names):
        return np.maximum(learned.weights(names, n_items), FILLING_WEIGHT * prior)
    return prior


def prior_weights(
    placement: Placement, names: tuple[str, ...]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns the weights of a placement's definition for a history of one item and for a long one, float64 each."""
    return _prior_weights(tuple(placement.sources.items()), placement.has_own_weights, names)


@lru_cache(maxsize=256)
def _prior_weights(
    sources: tuple[tuple[str, float], ...], has_own_weights: bool, names: tuple[str, ...]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    weight = dict(sources)
    many = np.array([weight.get(name, 1.0) for name in names], np.float64)
    factor = 1.0 if has_own_weights else POPULARITY_OF_FEW
    few = many * np.array([factor if name == "popular" else 1.0 for name in names])
    few.flags.writeable = many.flags.writeable = False
    return few, many


def active_sources(placement: Placement, blends: Blends) -> tuple[str, ...]:
    """Returns the sources of a placement that have a weight by its definition or by the learned blend."""
    learned = blend_of(placement, blends)
    chosen = {name for name, *ends in zip(learned.sources, learned.few, learned.many, strict=True) if any(ends)}
    return tuple(name for name, weight in placement.sources.items() if weight or name in chosen)


def blend_of(placement: Placement, blends: Blends) -> Blend:
    """Returns the learned blend of a placement; an unfitted one where it has none."""
    found: Blend = getattr(blends, placement.blend) if placement.blend else NO_BLEND
    return found


def score_of(
    placement: Placement,
    state: UserState,
    candidates: Candidates,
    *,
    with_ranker: bool,
    weights: npt.NDArray[np.float64] | None = None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns the score of each candidate, float64 (n_candidates,), and the parts of the sources in its blend.

    The score is the ranker's odds, else the blend, times factors: `score · lift^(w·h) · buyers^−β`, with `w` the weight
    of the hour that the ranker learned, and `h` and `β` of the placement. Odds become a probability at the end. The
    parts are those of `contributions`, which says what `weights` are.
    """
    engine, rows = state.engine, candidates.item_idx
    parts = contributions(placement, state, candidates, weights)
    ranker = ranker_of(placement, state) if with_ranker else NO_RANKER
    if ranker.is_fitted and len(rows):
        score = np.exp(ranker.log_odds(features(state, candidates)))
    else:
        score = blend(placement, engine, candidates, parts)
    if placement.hour_power:
        weight = ranker.hour_weight if ranker.is_fitted else BLEND_HOUR_WEIGHT
        score = score * state.lift(rows) ** (weight * placement.hour_power)
    if discount := _tail_discount(placement, engine.blends):
        score = score * np.maximum(engine.popularity.n_buyers[rows], 1.0) ** -discount
    return (score / (1 + score) if ranker.is_fitted else score), parts


def ranker_of(placement: Placement, state: UserState) -> Ranker:
    """Returns the ranker of a placement; an unfitted one where it has none, or the blend serves."""
    if not placement.ranker:
        return NO_RANKER
    learned = blend_of(placement, state.engine.blends)
    if learned.is_fitted and not learned.uses_ranker:
        return NO_RANKER
    ranker: Ranker = getattr(state.engine.rankers, placement.ranker)
    return ranker


def _tail_discount(placement: Placement, blends: Blends) -> float:
    learned = blend_of(placement, blends)
    return learned.tail_discount if learned.is_fitted else placement.tail_discount


def _trend_power(placement: Placement, blends: Blends) -> float:
    learned = blend_of(placement, blends)
    return learned.trend_power if learned.is_fitted else placement.trend_power


def blend(
    placement: Placement, engine: Engine, candidates: Candidates, parts: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Returns the score without a ranker, float64 (n_candidates,): the sum of the sources' parts times `trend^t`."""
    score = parts.sum(axis=0)
    if power := _trend_power(placement, engine.blends):
        score = score * engine.popularity.trend[candidates.item_idx] ** power
    return score
