"""Features of a candidate for the rankers: one function for training and for serving."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.kernels.features import DECAYS_DAYS, RECENT_BASKETS, RECENT_DAYS, describe, describe_items
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.user_state import UserState

OF_USER: Final = (
    "shopper_baskets",
    "shopper_basket_gap_days",
    "shopper_idle_days",
    "shopper_basket_size",
    "shopper_distinct_items",
    "shopper_repeat_share",
    "shopper_baskets_28d",
)
OF_OWN: Final = (
    *(f"own_decayed_{days:.0f}d" for days in DECAYS_DAYS),
    *(f"own_{days:.0f}d" for days in RECENT_DAYS),
    *(f"own_last_{n}" for n in RECENT_BASKETS),
    "own_score",
    "own_baskets",
    "own_idle_days",
    "own_gap_days",
    "own_gap_deviation",
    "own_last_gap_days",
    "own_baskets_since",
    "own_rate_since_first",
    "own_elapsed_intervals",
    "own_chance_of_another",
)
OF_TYPE: Final = (
    "type_baskets",
    "type_score",
    "type_decayed_30d",
    "type_idle_days",
    "type_gap_days",
)
OF_ITEM: Final = (
    "log_share",
    "log_buyers",
    "trend",
    "interval_days",
    "repeat_rate",
    "share_in_type",
    "price",
)
SCORED: Final = ("together", "affinity", "ease", "around", "after")
"""Sources whose scores are features; that of `together` is a share of the history's weight."""

OF_PAIR: Final = (
    "own_rate",
    "own_score_share",
    "own_elapsed_gaps",
    "own_share_of_type",
    "type_elapsed_gaps",
    "price_to_usual",
    "touch_weight",
    "als",
    *SCORED,
)
FEATURES: Final = (*OF_USER, *OF_OWN, *OF_TYPE, *OF_ITEM, *OF_PAIR)
"""Names of the columns, in order."""


def features(state: UserState, candidates: Candidates) -> npt.NDArray[np.float32]:
    """Describe each candidate to a ranker; the same function serves past requests in training and live requests.

    Ages and gaps are in days, counts are numbers of baskets, and unknown values are NaN.

    Args:
        state: the user's history up to the moment of the request.
        candidates: the candidates with the scores of their sources; the columns of sources that the placement does not
            use are 0.

    Returns:
        float32 (n_candidates, len(FEATURES)), in Fortran order.
    """
    engine, own, rows = state.engine, state.own, candidates.item_idx
    chances = np.empty((3, len(own.item_idx)), np.float32)
    chances[0], chances[1] = own.score, own.elapsed(state.query.now)
    chances[2] = engine.repeat.repeat_probability(own)
    table = describe(
        state.query.now,
        own.item_idx,
        own.starts,
        own.time,
        own.order_times,
        chances,
        rows,
        engine.catalog.item_type,
        _of_item(state, rows),
        engine.catalog.price[own.item_idx],
        *state.weighted_history,
        _of_sources(state, candidates),
    )
    return table.T


def _of_item(state: UserState, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    engine = state.engine
    popularity, repeat = engine.popularity, engine.repeat
    block: npt.NDArray[np.float32] = describe_items(
        rows,
        popularity.share,
        popularity.n_buyers,
        popularity.trend,
        repeat.interval_days,
        repeat.repeat_rate,
        engine.share_in_type,
        engine.catalog.price,
    )
    return block


def _of_sources(state: UserState, candidates: Candidates) -> npt.NDArray[np.float32]:
    """Return the match of the vectors and the scores of the sources, float32 (1 + len(SCORED), n_candidates)."""
    rows, names = candidates.item_idx, candidates.names
    block = np.zeros((1 + len(SCORED), len(rows)), np.float32)
    np.matmul(state.engine.hybrid.vectors[rows], state.vector, out=block[0])
    for column, name in enumerate(SCORED, 1):
        if name in names:
            source = names.index(name)
            unit = 1 / max(float(state.top_history_items[1].sum()), 1e-9) if name == "together" else 1.0
            np.multiply(candidates.table[source], float(candidates.best_scores[source]) * unit, out=block[column])
    return block
