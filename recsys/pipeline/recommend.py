"""A request's spine: resolve, gather, score, filter, order, explain; each stage says what it removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from recsys.core.placements import PLACEMENTS, Placement
from recsys.core.request import Recommendations, RecommendedItem, Request
from recsys.core.topk import top_k
from recsys.fitting.engine import Engine
from recsys.live.view import LiveView
from recsys.pipeline.offer_view import with_offers
from recsys.pipeline.resolve import find_placement, resolve
from recsys.ranking.scoring import contributions, score_of
from recsys.reasons.labels import rule_reasons
from recsys.retrieval.candidates import Candidates, generate
from recsys.retrieval.query import NO_OVERRIDES
from recsys.retrieval.query import Ranking as Ranking
from recsys.retrieval.sources import CANDIDATE_SOURCES
from recsys.retrieval.user_state import UserState
from recsys.rules.diversity import apply_tail_quota
from recsys.rules.eligibility import ELIGIBILITY_RULES as RULES
from recsys.rules.eligibility import dedupe_variants
from recsys.rules.masks import Masks
from recsys.rules.rerank import boosts, rerank


@dataclass(frozen=True)
class RankedResult:
    """A list, and what there is to know of it beside.

    Attributes:
        recommendations: the list.
        placement: what it is, with what the request turned of it.
        state: whom it is for.
        rest: what follows the list, in order: rows, scores and sources.
    """

    recommendations: Recommendations
    placement: Placement
    state: UserState
    rest: Ranking


def recommend(
    engine: Engine, request: Request, model_version: str = "", live: LiveView | None = None
) -> Recommendations:
    """Answer a request for one of the lists that are built in; see `recommend_with_trace`."""
    return recommend_with_trace(engine, request, model_version, live).recommendations


def recommend_with_trace(
    engine: Engine,
    request: Request,
    model_version: str = "",
    live: LiveView | None = None,
    placements: Mapping[str, Placement] = PLACEMENTS,
    masks: Masks | None = None,
) -> RankedResult:
    """Answer a request, over the catalogue with the offers in place that apply to it.

    Args:
        engine: the models, over the catalogue in general.
        request: what is asked.
        model_version: named in the answer.
        live: what was learned of shoppers since; `engine` is then the one that it keeps.
        placements: the lists that there are, by name.
        masks: of filters, held from one request to the next; new ones if not given.

    Returns:
        The list; empty where nothing is known to list. Seeds that the engine does not know are in `missing_ids`.

    Raises:
        RequestError: if the placement or the limit is not one that exists, or the list wants a seed or user.
        FilterError: if the request's filter cannot be read.
    """
    placement = find_placement(request, placements)
    engine = with_offers(engine, request, live)
    query, missing = resolve(engine, request, placement, live, masks)
    state = UserState(engine, query)
    ranking = rank(placement, state)
    page, rest = ranking.take(slice(query.limit)), ranking.take(slice(query.limit, None))
    told = to_recommendations(placement, state, page, model_version, missing)
    return RankedResult(told, placement, state, rest)


def to_recommendations(
    placement: Placement,
    state: UserState,
    ranking: Ranking,
    model_version: str,
    missing: tuple[str, ...],
    first: int = 1,
) -> Recommendations:
    """A ranking as callers read it, with the reasons of each item.

    Args:
        placement: the list.
        state: whom, and what, the request is about.
        ranking: the items to be told.
        model_version: named in the answer.
        missing: seeds that the engine does not know.
        first: rank of the first item.
    """
    engine, query = state.engine, state.query
    reasons = rule_reasons(placement, state, ranking.item_idx, ranking.source)
    ids = engine.items.ids
    chance = repeat(1.0, len(reasons)) if ranking.propensity is None else ranking.propensity.tolist()
    items = tuple(
        RecommendedItem(ids[row], score, place, source, why, likely)
        for place, (row, score, source, why, likely) in enumerate(
            zip(ranking.item_idx.tolist(), ranking.score.tolist(), ranking.source, reasons, chance, strict=True), first
        )
    )
    n_head = int(engine.popularity.is_head[ranking.item_idx].sum())
    return Recommendations(
        placement=placement.name,
        model_version=model_version,
        items=items,
        fallback_used=ranking.fallback_used,
        missing_ids=missing,
        head_share=n_head / max(len(items), 1),
        local_hour=query.hour,
        timezone=query.timezone,
    )


def rank(placement: Placement, state: UserState) -> Ranking:
    """Gather candidates, score them, filter and order, then arrange the list by the placement's dials.

    Where the placement's sources find nothing, its substitutes serve and then its fallback.
    """
    query = state.query
    ranking = _first_that_fills(placement, state)
    if placement.arranges or query.overrides is not NO_OVERRIDES or query.n_lookahead:
        return rerank(placement, state, ranking)
    return ranking


def _first_that_fills(placement: Placement, state: UserState) -> Ranking:
    query = state.query
    nothing_known = placement.anchor == "user" and not len(query.history)
    if not nothing_known:
        candidates = generate({name: CANDIDATE_SOURCES[name] for name in placement.sources}, state)
        ranking = _order(placement, state, candidates, fallback_used=False)
        if len(ranking.item_idx) or not (placement.fallback or placement.substitutes):
            return ranking
    longest: Ranking | None = None
    for substitute in placement.substitutes:
        if substitute.anchor == "user" and not len(query.history):
            continue
        candidates = generate({name: CANDIDATE_SOURCES[name] for name in substitute.sources}, state)
        found = _order(substitute, state, candidates, fallback_used=True, with_ranker=True)
        if len(found.item_idx) >= query.limit:
            return found
        longest = found if longest is None or len(found.item_idx) > len(longest.item_idx) else longest
    if longest is not None and (len(longest.item_idx) or not placement.fallback):
        return longest
    fallback = placement.fallback or "popular_by_hour"
    candidates = generate({fallback: CANDIDATE_SOURCES[fallback]}, state)
    return _order(placement, state, candidates, fallback_used=True)


def _order(
    placement: Placement,
    state: UserState,
    candidates: Candidates,
    *,
    fallback_used: bool,
    with_ranker: bool | None = None,
) -> Ranking:
    engine, query = state.engine, state.query
    removed = {}
    for rule, keep in RULES.items():
        kept = keep(placement, state, candidates.item_idx)
        if not kept.all():
            removed[rule] = candidates.item_idx[~kept]
            candidates = candidates.take(kept)
    parts = contributions(placement, state, candidates)
    score = score_of(
        placement, state, candidates, parts, with_ranker=not fallback_used if with_ranker is None else with_ranker
    )
    if query.overrides.boosts or placement.freshness.boost:
        score = score * boosts(placement, state, candidates.item_idx)
    speaks = score > 0
    if not speaks.all():
        removed["no evidence"] = candidates.item_idx[~speaks]
        candidates, parts, score = candidates.take(speaks), parts[:, speaks], score[speaks]
    is_arranged = placement.arranges or query.overrides is not NO_OVERRIDES or query.n_lookahead > 0
    wants_all = is_arranged or placement.tail_share > 0 or engine.catalog.has_groups
    best = top_k(score, len(score) if wants_all else query.limit, candidates.item_idx)
    leads = dedupe_variants(engine, candidates.item_idx[best])
    if not leads.all():
        removed["variant"] = candidates.item_idx[best[~leads]]
        best = best[leads]
    if not is_arranged:
        n_tail = int(placement.tail_share * query.limit)
        best = apply_tail_quota(best, engine.is_tail[candidates.item_idx[best]], n_tail, query.limit)
    names = tuple(candidates.scores)
    return Ranking(
        item_idx=candidates.item_idx[best],
        score=score[best].astype(np.float32),
        source=tuple(names[place] for place in parts[:, best].argmax(axis=0)) if len(best) else (),
        fallback_used=fallback_used,
        removed=removed,
    )
