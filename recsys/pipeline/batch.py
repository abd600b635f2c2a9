"""Many requests at once: the same lists as one after the other, with what they share found in blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from recsys.core.placements import PLACEMENTS, Placement
from recsys.core.request import Recommendations, Request
from recsys.fitting.engine import Engine
from recsys.live.view import LiveView
from recsys.pipeline.recommend import to_recommendations
from recsys.pipeline.resolve import resolve_request
from recsys.pipeline.stages import rank
from recsys.ranking.scoring import active_sources
from recsys.retrieval.block_search import BlockSearch
from recsys.retrieval.query import Ranking
from recsys.retrieval.user_state import UserState
from recsys.rules.masks import Masks

CHUNK: Final = 1000
"""Requests that are resolved at a time; bounds the memory."""

Resolved = tuple[Placement, UserState, Ranking]
"""A request's placement and user, and the list in rows."""


def rank_batch(
    engine: Engine,
    requests: Iterable[Request],
    placements: Mapping[str, Placement] = PLACEMENTS,
    live: LiveView | None = None,
    masks: Masks | None = None,
    search: BlockSearch | None = None,
) -> Iterator[Resolved]:
    """Yields the list of each request, in rows.

    Args:
        engine: the models, over the catalog without offers.
        requests: the requests, in any number.
        placements: the lists, by name.
        live: the changes since the bundle was trained; `engine` is then its engine.
        masks: keeps compiled filters and masks; new ones if not given.
        search: keeps decoded vectors from one batch to the next; a new one if not given.

    Raises:
        RequestError: a request cannot be served.
        FilterError: a value does not fit a request's filter.
    """
    masks, search, left = masks or Masks(), search or BlockSearch(), iter(requests)
    while chunk := list(islice(left, CHUNK)):
        resolved = [resolve_request(engine, request, placements, live, masks) for request in chunk]
        search.fill(_searching(resolved))
        resolved.reverse()
        while resolved:  # none is kept longer than its list is used
            placement, state = resolved.pop()
            yield placement, state, rank(placement, state)


def recommend_batch(
    engine: Engine,
    requests: Iterable[Request],
    model_version: str = "",
    live: LiveView | None = None,
    placements: Mapping[str, Placement] = PLACEMENTS,
    masks: Masks | None = None,
    search: BlockSearch | None = None,
) -> Iterator[Recommendations]:
    """Yields the list of each request, as `recommend_with_trace` returns it; see `rank_batch`."""
    for placement, state, ranking in rank_batch(engine, requests, placements, live, masks, search):
        page = ranking.split(state.query.limit)[0] if state.query.n_lookahead else ranking
        yield to_recommendations(placement, state, page, model_version)


def _searching(resolved: Sequence[tuple[Placement, UserState]]) -> Iterator[UserState]:
    """The users whose lists search the vectors."""
    for placement, state in resolved:
        is_for_user = placement.anchor == "user" or (placement.anchor == "any" and not len(state.query.seeds))
        if is_for_user and "als" in active_sources(placement, state.engine.blends) and state.has_history:
            yield state
