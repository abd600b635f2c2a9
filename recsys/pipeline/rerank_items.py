"""A given list of items, put in the order in which a shopper is likely to want them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.ids import UNKNOWN
from recsys.core.placements import PLACEMENTS, Placement
from recsys.core.request import Request
from recsys.pipeline.recommender import Recommender
from recsys.pipeline.resolve import resolve
from recsys.ranking.scoring import contributions, score_of
from recsys.retrieval.candidates import top_per_source, union
from recsys.retrieval.sources import CANDIDATE_SOURCES
from recsys.retrieval.user_state import UserState

ORDERED_BY: Final = "for_you"
"""The list whose sources and ranker say what a shopper will want next."""

MAX_RERANK_ITEMS: Final = 1000


def rerank_items(recommender: Recommender, request: Request) -> list[tuple[str, float]]:
    """Order a request's items by how likely its shopper takes them next.

    A candidate of the list `for_you` has the score that it has there, the others what the same features make of them.
    Sold-out items have their place, as nothing is left out; those that are not known come last, with 0, as they were
    given. For a shopper of whom nothing is known the order is that of what sells at this hour.

    Args:
        recommender: what answers.
        request: whom it is for, and `item_ids`; doubled ones count once. Its context chooses among offers;
            its placement, limit and filter are passed over.

    Returns:
        Ids and scores, best first.
    """
    engine, placement = recommender.engine_for(request), PLACEMENTS[ORDERED_BY]
    asked = tuple(dict.fromkeys(request.item_ids))
    query, _ = resolve(engine, _for_nobody_s_items(request), placement, recommender.live)
    given = engine.items.rows(asked)
    rows = np.sort(given[given != UNKNOWN])
    state = UserState(engine, query)
    score = _likelihood(placement, state, rows) if len(query.history) else _general(state, rows)
    order = np.lexsort((rows, np.where(score > 0, 0, -engine.popularity.share[rows]), -score))
    ids = engine.items.ids
    ranked = [(ids[rows[place]], float(score[place])) for place in order.tolist()]
    return ranked + [(id_, 0.0) for id_, row in zip(asked, given.tolist(), strict=True) if row == UNKNOWN]


def _likelihood(placement: Placement, state: UserState, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """The score of each row beside the list's own candidates, float64 (n,): the blend is a share of them all."""
    found = {name: CANDIDATE_SOURCES[name](state) for name in placement.sources}
    both = np.union1d(top_per_source(found, state), rows)
    candidates = union(found, both, len(state.engine.items))
    score = score_of(placement, state, candidates, contributions(placement, state, candidates), with_ranker=True)
    return score[both.searchsorted(rows)]


def _general(state: UserState, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """What sells at this hour, float64 (n,), as the list's fallback has it."""
    engine = state.engine
    worth: npt.NDArray[np.float64] = engine.popularity.share[rows].astype(np.float64)
    return worth * engine.timeofday.lift[rows, state.query.bucket]


def _for_nobody_s_items(request: Request) -> Request:
    """The same request without its items: they are what is asked about, not what was looked at."""
    return Request(
        ORDERED_BY,
        request.as_of,
        user_id=request.user_id,
        visitor_id=request.visitor_id,
        session_id=request.session_id,
    )
