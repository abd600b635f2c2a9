"""A given list of items, put in the order in which a shopper is likely to want them."""

from __future__ import annotations

from typing import Final

import numpy as np

from recsys.candidates import SOURCES, Candidates, Shopper, gather, spread
from recsys.context import Request
from recsys.ids import UNKNOWN
from recsys.pipeline import contributions, resolve, score_of
from recsys.placements import PLACEMENTS
from recsys.recommender import Recommender

ORDERED_BY: Final = "for_you"
"""The list whose sources and ranker say what a shopper will want next."""

MAX_GIVEN: Final = 1000


def rank_given(recommender: Recommender, request: Request) -> list[tuple[str, float]]:
    """Order a request's items by how likely its shopper takes them next.

    A candidate of the list `for_you` has the score that it has there, the others what the same features make of them.
    Sold-out items have their place, as nothing is left out; those that are not known come last, with 0, as they were
    given.

    Args:
        recommender: what answers.
        request: whom it is for, and `item_ids`; doubled ones count once. Its
            placement, limit and filter are passed over.

    Returns:
        Ids and scores, best first.
    """
    engine, placement = recommender.current, PLACEMENTS[ORDERED_BY]
    asked = tuple(dict.fromkeys(request.item_ids))
    query, _ = resolve(engine, _for_nobody_s_items(request), placement, recommender.live)
    shopper = Shopper(engine, query)
    given = engine.items.rows(asked)
    known = given[given != UNKNOWN]
    rows = np.union1d(known, gather({name: SOURCES[name] for name in placement.sources}, shopper).item_idx)
    found = {name: SOURCES[name](shopper) for name in placement.sources}
    candidates = Candidates(
        item_idx=rows,
        scores={name: spread(rows, *scored) for name, scored in found.items()},
        best={name: float(score.max(initial=0)) for name, (_, score) in found.items()},
    )
    parts = contributions(placement, shopper, candidates)
    score = score_of(placement, shopper, candidates, parts, with_ranker=bool(len(query.history)))
    asked_for = np.isin(rows, known)
    rows, score = rows[asked_for], score[asked_for]
    order = np.lexsort((rows, -engine.popularity.share[rows], -score))
    ids = engine.items.ids
    ranked = [(ids[rows[place]], float(score[place])) for place in order.tolist()]
    return ranked + [(id_, 0.0) for id_, row in zip(asked, given.tolist(), strict=True) if row == UNKNOWN]


def _for_nobody_s_items(request: Request) -> Request:
    """The same request without its items: they are what is asked about, not what was looked at."""
    return Request(
        ORDERED_BY,
        request.as_of,
        user_id=request.user_id,
        visitor_id=request.visitor_id,
        session_id=request.session_id,
    )
