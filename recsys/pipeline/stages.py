"""The stages of a list, from candidates to the final order, and the one loop that runs them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from recsys.core.placements import Placement
from recsys.core.topk import top_k
from recsys.kernels.mixing import largest_parts
from recsys.pipeline.item_sets import rank_sets
from recsys.pipeline.stage_runs import Run, Stage, apply_rules, run_stages
from recsys.ranking.scoring import FILLING_WEIGHT, active_sources, list_weights, ranker_of, score_of
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.query import NO_ITEMS, NO_OVERRIDES, Ranking
from recsys.retrieval.sources import generate
from recsys.retrieval.user_state import UserState
from recsys.rules import rerank
from recsys.rules.diversity import apply_tail_quota
from recsys.rules.eligibility import dedupe_variants
from recsys.rules.new_items import add_new

GENERAL_SOURCES: Final = frozenset({"popular", "popular_by_hour"})
"""Sources that know nothing about the user or the item: a list that has no other evidence is a fallback."""


def rank(placement: Placement, state: UserState) -> Ranking:
    """Returns the list of a placement: its own sources, else its substitutes, else its fallback; then rearranged.

    Outside the window of the placement its own sources find nothing; a list without a fallback is then empty.
    """
    if placement.lists == "sets":
        return rank_sets(placement, state)
    if not (state.query.is_open or placement.fallback or placement.substitutes):
        return NO_ITEMS
    ranking = _first_that_fills(placement, state)
    if _is_rearranged(placement, state):
        return run_stages(_rearranging_stages(placement, state), placement, state, ranking)
    if len(ranking.item_idx) > state.query.limit:
        return run_stages((Stage("length", _cut),), placement, state, ranking)
    return ranking


def _first_that_fills(placement: Placement, state: UserState) -> Ranking:
    """The list of the placement's sources; where it is empty, the longest of the substitutes, or the fallback."""
    if state.query.is_open and (state.has_history or placement.anchor != "user" or placement.may_be_empty):
        ranking = _ordered(placement, state, active_sources(placement, state.engine.blends), with_ranker=True)
        if len(ranking.item_idx) or not (placement.fallback or placement.substitutes):
            return ranking
    longest: Ranking | None = None
    for substitute in placement.substitutes:
        if substitute.anchor == "user" and not state.has_history:
            continue
        ranking = _ordered(substitute, state, active_sources(substitute, state.engine.blends), with_ranker=True)
        if longest is None or len(ranking.item_idx) > len(longest.item_idx):
            longest = ranking
        if len(ranking.item_idx) >= state.query.limit:
            break
    if longest is None or (placement.fallback and not len(longest.item_idx)):
        longest = _ordered(placement, state, (placement.fallback or "popular_by_hour",), with_ranker=False)
    return replace(longest, fallback_used=True)


def _ordered(placement: Placement, state: UserState, sources: tuple[str, ...], *, with_ranker: bool) -> Ranking:
    found = run_stages((Stage("candidates", _candidates_of(sources)),), placement, state, NO_ITEMS)
    kept = apply_rules(placement, state, found)
    return run_stages(_ordering_stages(placement, state, with_ranker), placement, state, kept)


def _ordering_stages(placement: Placement, state: UserState, with_ranker: bool) -> Iterator[Stage]:
    """From candidates to an ordered list: score, order, one variant per product, tail share, new items."""
    yield Stage("score", _score_with_ranker if with_ranker else _score_without_ranker)
    if state.query.overrides.boosts or placement.freshness.boost:
        yield Stage("boosts", _boost)
    yield Stage("no evidence", _drop_without_evidence)
    yield Stage("order", _order)
    if state.engine.catalog.has_groups:
        yield Stage("variant", _drop_variants)
    if placement.tail_share and not _is_rearranged(placement, state):
        yield Stage("tail share", _reserve_tail)
    if with_ranker and placement.new_share and placement.anchor == "user" and len(state.engine.newest):
        yield Stage("new items", add_new)


def _rearranging_stages(placement: Placement, state: UserState) -> Iterator[Stage]:
    """From an ordered list of all candidates to the list as the placement's rules arrange it."""
    overrides = state.query.overrides
    if placement.rotation:
        yield Stage("rotation", rerank.rotate)
    if placement.diversity:
        yield Stage("diversity", rerank.diversify)
    if (placement.fallback or placement.substitutes) and (overrides.is_filtered or overrides.promotions):
        yield Stage("fill", rerank.fill)
    if placement.max_per_category:
        yield Stage("category bound", rerank.cap_categories)
    if placement.tail_share:
        yield Stage("tail share", rerank.reserve_tail)
    if overrides.promotions:
        yield Stage("promotions", rerank.promote)
    if overrides.pins:
        yield Stage("variant", rerank.drop_displaced_variants)
        yield Stage("pins", rerank.pin)
    yield Stage("length", _cut)


def _is_rearranged(placement: Placement, state: UserState) -> bool:
    query = state.query
    return placement.arranges or query.overrides is not NO_OVERRIDES or query.n_lookahead > 0


def _candidates_of(sources: tuple[str, ...]) -> Run:
    def run(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
        found = generate(sources, state)
        n = len(found.item_idx)
        return replace(
            ranking, item_idx=found.item_idx, score=np.zeros(n), source=np.empty(n, np.object_), candidates=found
        )

    return run


def _score_with_ranker(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
    return _score(placement, state, ranking, with_ranker=True)


def _score_without_ranker(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
    return _score(placement, state, ranking, with_ranker=False)


def _score(placement: Placement, state: UserState, ranking: Ranking, *, with_ranker: bool) -> Ranking:
    candidates = ranking.candidates
    weights = list_weights(placement, state, candidates.names)
    score, parts = score_of(placement, state, candidates, with_ranker=with_ranker, weights=weights)
    source = _as_objects(candidates.names)[largest_parts(parts)] if len(score) else ranking.source
    can_be_general = placement.anchor == "user" or (placement.anchor == "item" and len(score) > 0)
    can_be_general = can_be_general and not placement.may_be_empty
    has_ranker = with_ranker and ranker_of(placement, state).is_fitted
    is_general = can_be_general and not _has_evidence(candidates, None if has_ranker else weights)
    return Ranking(ranking.item_idx, score, source, ranking.fallback_used or is_general)


def _has_evidence(candidates: Candidates, weights: npt.NDArray[np.float64] | None) -> bool:
    """Whether a source other than popularity found an item and has a weight, where weights order the list."""
    counts = _is_specific(candidates.names)
    if weights is not None:
        counts = counts & (weights > 2 * FILLING_WEIGHT * max(float(weights.max(initial=0)), 1.0))
    return bool(candidates.table[counts].any())


@lru_cache(maxsize=64)
def _as_objects(names: tuple[str, ...]) -> npt.NDArray[np.object_]:
    """Names of sources as an array, object (n,)."""
    return np.array(names, np.object_)


@lru_cache(maxsize=64)
def _is_specific(names: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Which sources know something about the user or the item, bool (n,)."""
    return np.array([name not in GENERAL_SOURCES for name in names], np.bool_)


def _boost(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
    return replace(ranking, score=ranking.score * rerank.boost_factors(placement, state, ranking.item_idx))


def _drop_without_evidence(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
    is_found = ranking.score > 0
    return ranking if is_found.all() else ranking.take(is_found)


def _order(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
    """By score, then by row; no longer than the page where no later stage needs the rest."""
    needs_all = _is_rearranged(placement, state) or placement.tail_share > 0 or state.engine.catalog.has_groups
    n = len(ranking.score) if needs_all else state.query.limit
    ordered = ranking.take(top_k(ranking.score, n, ranking.item_idx))
    return replace(ordered, score=ordered.score.astype(np.float32))


def _drop_variants(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
    is_first = dedupe_variants(state.engine, ranking.item_idx)
    return ranking if is_first.all() else ranking.take(is_first)


def _reserve_tail(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
    """Gives the tail its share of the page, and cuts the list to the page; see `apply_tail_quota`."""
    limit, is_tail = state.query.limit, state.engine.is_tail[ranking.item_idx]
    order = np.arange(len(ranking.item_idx))
    return ranking.take(apply_tail_quota(order, is_tail, int(placement.tail_share * limit), limit))


def _cut(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
    return ranking.take(slice(rerank.n_wanted(state)))
