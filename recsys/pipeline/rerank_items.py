"""A list of items in the order in which a user is likely to want them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.ids import UNKNOWN
from recsys.core.placements import PLACEMENTS, Placement
from recsys.core.request import Request
from recsys.pipeline.recommender import Recommender
from recsys.pipeline.resolve import resolve
from recsys.ranking.scoring import score_of
from recsys.retrieval.candidates import top_per_source, union
from recsys.retrieval.query import Rows
from recsys.retrieval.sources import CANDIDATE_SOURCES
from recsys.retrieval.user_state import UserState

ORDERED_BY: Final = "for_you"
"""The list whose sources and ranker predict the next items of a user."""

MAX_RERANK_ITEMS: Final = 1000


def rerank_items(recommender: Recommender, request: Request) -> list[tuple[str, float]]:
    """Orders the items of a request by the probability that its user takes them next.

    A candidate of the list `for_you` has its score there; the score of another item comes from the same features.
    Sold-out items keep their positions, since nothing is left out. Unknown items come last, with a score of 0, in the
    order given. For an unknown user the order is that of the best sellers at this hour.

    Args:
        recommender: the open bundle.
        request: the user, and `item_ids`; doubled ones count once. Its context selects the offers; its placement, limit
            and filter are ignored.

    Returns:
        Ids and scores, best first.
    """
    placement = PLACEMENTS[ORDERED_BY]
    asked = tuple(dict.fromkeys(request.item_ids))
    of_user = replace(request, placement=ORDERED_BY, item_ids=(), filter=None, exclude=())
    state = resolve(recommender.current, of_user, placement, recommender.live)
    engine = state.engine
    known = engine.items.rows(asked)
    rows = np.sort(known[known != UNKNOWN])
    score = _probability(placement, state, rows) if state.has_history else _general(state, rows)
    order = np.lexsort((rows, np.where(score > 0, 0, -engine.popularity.share[rows]), -score))
    ids = engine.items.ids
    ranked = [(ids[rows[position]], float(score[position])) for position in order.tolist()]
    return ranked + [(id_, 0.0) for id_, row in zip(asked, known.tolist(), strict=True) if row == UNKNOWN]


def _probability(placement: Placement, state: UserState, rows: Rows) -> npt.NDArray[np.float64]:
    """The score of each row among the candidates of the list, float64 (n,): the blend is a share of all of them."""
    found = {name: CANDIDATE_SOURCES[name](state) for name in placement.sources}
    n_items = state.engine.n_items
    both = np.union1d(top_per_source(found, state.own.item_idx, n_items), rows)
    candidates = union(found, both, n_items)
    score, _ = score_of(placement, state, candidates, with_ranker=True)
    return score[both.searchsorted(rows)]


def _general(state: UserState, rows: Rows) -> npt.NDArray[np.float64]:
    """The score of the fallback, float64 (n,): sales at this hour."""
    engine = state.engine
    share: npt.NDArray[np.float64] = engine.popularity.share[rows].astype(np.float64)
    return share * engine.timeofday.lift[rows, state.query.bucket]
