"""A bounded share of the places of a personal list for new items that fit the user."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from recsys.core.placements import Placement
from recsys.core.topk import is_in, top_k
from recsys.data.dataset import DAY_S
from recsys.fitting.engine import Engine
from recsys.retrieval.query import Ranking, Rows
from recsys.retrieval.user_state import UserState
from recsys.rules.eligibility import dedupe_variants, eligible_mask

NEW_DAYS: Final = 30
"""Age up to which an item is new, while it has fewer than `warm_buyers` buyers."""

MAX_NEW: Final = 5000
"""New items that are compared with a user, the newest first; bounds the cost of a request."""

MIN_MATCH: Final = 0.5
"""A new item fits if its inner product with the user is at least this part of the median of the listed items."""

SOURCE: Final = "content"


def add_new(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
    """Gives the last places of the page to the new items that fit best; those that it lists anyway count.

    Args:
        placement: `new_share` of the page's places are for new items, rounded down.
        state: the user and the query.
        ranking: the ordered list.
    """
    engine, limit = state.engine, state.query.limit
    page = ranking.item_idx[:limit]
    new = new_items(engine, state.query.now)
    n_free = int(placement.new_share * limit) - int(is_in(page, new).sum())
    if n_free < 1 or not len(new) or not len(page):
        return ranking
    fitting = _fitting(placement, state, new[~is_in(new, page)], page)[:n_free]
    if not len(fitting):
        return ranking
    rest = ranking.take(~is_in(ranking.item_idx, fitting))
    n_before = max(min(limit, len(rest.item_idx) + len(fitting)) - len(fitting), 0)
    before, behind = rest.split(n_before)
    last = float(before.score[-1]) if n_before else float(ranking.score[0])
    return replace(
        ranking,
        item_idx=np.concatenate([before.item_idx, fitting, behind.item_idx]),
        score=np.concatenate([before.score, np.full(len(fitting), last, ranking.score.dtype), behind.score]),
        source=np.concatenate([before.source, np.full(len(fitting), SOURCE, np.object_), behind.source]),
    )


def new_items(engine: Engine, now: int) -> Rows:
    """Returns the new items at a moment, the newest first, int32, at most `MAX_NEW`.

    Args:
        engine: the models.
        now: seconds since 1970; items without `created_at` are not new.
    """
    newest = engine.newest
    age_s = now - engine.created_at_s[newest]
    newest = newest[(age_s >= 0) & (age_s <= NEW_DAYS * DAY_S)]
    return newest[engine.popularity.n_buyers[newest] < engine.config.hybrid.warm_buyers][:MAX_NEW]


def _fitting(placement: Placement, state: UserState, new: Rows, page: Rows) -> npt.NDArray[np.int32]:
    """The new items that may be listed and fit the user, the best first, one variant of a product."""
    new = new[eligible_mask(placement, state, new)]
    if not len(new):
        return new
    vectors = state.engine.hybrid.vectors
    match = np.asarray(vectors[new], np.float32) @ state.vector
    usual = float(np.median(np.asarray(vectors[page], np.float32) @ state.vector))
    order = top_k(match, len(match), new)
    order = order[(match[order] >= MIN_MATCH * usual) & (match[order] > 0)]
    fitting = new[order]
    group = state.engine.catalog.group
    fitting = fitting[(group[fitting] < 0) | ~is_in(group[fitting], group[page])]
    return fitting[dedupe_variants(state.engine, fitting)]
