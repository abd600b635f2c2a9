"""A request's spine: resolve, gather, score, filter, order, explain; each stage says what it removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from recsys.candidates import SOURCES, Candidates, Shopper, gather
from recsys.context import MAX_LIMIT, Query, Recommendations, RecommendedItem, Request
from recsys.context import Ranking as Ranking
from recsys.engine import Engine
from recsys.errors import RequestError
from recsys.history import UserHistory
from recsys.identities import shopper_key
from recsys.live import Live, Person, person_of
from recsys.placements import PLACEMENTS, Placement
from recsys.ranking.features import features
from recsys.ranking.ranker import NO_RANKER, Ranker
from recsys.rules.arrange import arrange, boosts
from recsys.rules.arrangement import with_tail
from recsys.rules.dials import NO_DIALS
from recsys.rules.exclusions import RULES as RULES
from recsys.rules.exclusions import first_of_group
from recsys.rules.masks import Masks, dialled, find_dials, without
from recsys.rules.told import reasons_of
from recsys.schema import EVENT_NAMES
from recsys.topk import top_k

LAST_RESORT = 1e-3
"""Keeps what the shopper has already in the list, behind all that is new, where nothing is ever bought twice."""

BLEND_HOUR_WEIGHT = 0.8
"""How much an item's lift at the hour counts where no ranker has learned it."""

FEWEST_KNOWN = 2
"""Distinct items of a shopper below which the blend orders: one says too little for trees to part shoppers by."""

STRANGENESS = 300.0
"""Distinct items at which what everyone buys counts double."""

RARE_REPEATS = 0.1
"""Share of repeats at which taste speaks half as much for what the shopper bought as for what is new."""

VIEWED: Final = EVENT_NAMES.index("view_item")
"""What items of a request are to a shopper of whom nothing else is known: things just looked at."""


@dataclass(frozen=True)
class Answer:
    """A list, and what there is to know of it beside.

    Attributes:
        recommendations: the list.
        placement: what it is, with what the request turned of it.
        shopper: whom it is for.
        rest: what follows the list, in order: rows, scores and sources.
    """

    recommendations: Recommendations
    placement: Placement
    shopper: Shopper
    rest: Ranking


def recommend(engine: Engine, request: Request, model_version: str = "", live: Live | None = None) -> Recommendations:
    """Answer a request for one of the lists that are built in; see `answer`."""
    return answer(engine, request, model_version, live).recommendations


def answer(
    engine: Engine,
    request: Request,
    model_version: str = "",
    live: Live | None = None,
    placements: Mapping[str, Placement] = PLACEMENTS,
    masks: Masks | None = None,
) -> Answer:
    """Answer a request.

    Args:
        engine: the models.
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
    query, missing = resolve(engine, request, placement, live, masks)
    shopper = Shopper(engine, query)
    ranking = rank(placement, shopper)
    page, rest = ranking.take(slice(query.limit)), ranking.take(slice(query.limit, None))
    told = told_of(placement, shopper, page, model_version, missing)
    return Answer(told, placement, shopper, rest)


def told_of(
    placement: Placement,
    shopper: Shopper,
    ranking: Ranking,
    model_version: str,
    missing: tuple[str, ...],
    first: int = 1,
) -> Recommendations:
    """A ranking as callers read it, with the reasons of each item.

    Args:
        placement: the list.
        shopper: whom, and what, the request is about.
        ranking: the items to be told.
        model_version: named in the answer.
        missing: seeds that the engine does not know.
        first: rank of the first item.
    """
    engine, query = shopper.engine, shopper.query
    reasons = reasons_of(placement, shopper, ranking.item_idx, ranking.source)
    ids = engine.items.ids
    items = tuple(
        RecommendedItem(ids[row], score, place, source, why)
        for place, (row, score, source, why) in enumerate(
            zip(ranking.item_idx.tolist(), ranking.score.tolist(), ranking.source, reasons, strict=True), first
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


def find_placement(request: Request, placements: Mapping[str, Placement] = PLACEMENTS) -> Placement:
    """The placement that a request names, and whose needs it meets, with what the request turns of it."""
    placement = placements.get(request.placement)
    if placement is None:
        raise RequestError(
            "placement", f"{request.placement!r} is not a placement: choose from {', '.join(placements)}"
        )
    if not 1 <= request.limit <= MAX_LIMIT:
        raise RequestError("limit", f"{request.limit} is out of range: choose 1 to {MAX_LIMIT}")
    if placement.anchor == "item" and not request.item_ids:
        raise RequestError("item_ids", f"placement {placement.name!r} wants at least one item")
    return dialled(placement, request)


def resolve(
    engine: Engine,
    request: Request,
    placement: Placement,
    live: Live | None = None,
    masks: Masks | None = None,
) -> tuple[Query, tuple[str, ...]]:
    """Turn ids into rows, filters into masks and `as_of` into the local hour; the second part are unknown seeds."""
    person = person_of(engine, request) if live is None else live.person(request)
    seeds = engine.items.rows(request.item_ids)
    known = seeds[seeds >= 0]
    local = datetime.fromtimestamp(request.as_of, ZoneInfo(person.timezone))
    allowed = engine.listable[placement.pool]
    dials, kept = find_dials(engine, request, placement, live, masks or Masks(0), person.timezone)
    if kept is not None:
        allowed = kept if allowed is None else kept & allowed
    if request.exclude:
        allowed = without(engine, allowed, request.exclude)
    history = person.history
    if placement.anchor == "user" and len(known) and not len(history):
        history = _session(known, request.as_of, local.hour)
    query = Query(
        user_idx=person.user_idx,
        now=request.as_of,
        hour=local.hour,
        bucket=int(engine.timeofday.bucket_of_hour[local.hour]),
        limit=request.limit,
        history=history,
        seeds=known,
        allowed=allowed,
        timezone=person.timezone,
        day=local.toordinal(),
        who=_who(request, person, live),
        n_more=request.n_more,
        dials=dials,
    )
    return query, tuple(id_ for id_, row in zip(request.item_ids, seeds, strict=True) if row < 0)


def _session(rows: npt.NDArray[np.int32], now: int, hour: int) -> UserHistory:
    """A history of things just looked at, for a shopper of whom nothing else is known."""
    n = len(rows)
    return UserHistory(
        item_idx=rows,
        timestamp=np.full(n, now, np.int64),
        kind=np.full(n, VIEWED, np.int8),
        basket_idx=np.full(n, -1, np.int32),
        hour=np.full(n, hour, np.int8),
        strength=np.ones(n, np.float32),
    )


def _who(request: Request, person: Person, live: Live | None) -> str:
    """Whom the day's chance is for; whoever wants no personal lists is nobody."""
    key = shopper_key(request.user_id, request.visitor_id, request.session_id)
    if key is None or (person.user_idx < 0 and not len(person.history)):
        return ""
    return key if live is None else live.identities.target(key)


def rank(placement: Placement, shopper: Shopper) -> Ranking:
    """Gather candidates, score them, filter and order, then arrange the list by the placement's dials.

    Where the placement's sources find nothing, its substitutes serve and then its fallback.
    """
    query = shopper.query
    ranking = _first_that_fills(placement, shopper)
    if placement.arranges or query.dials is not NO_DIALS or query.n_more:
        return arrange(placement, shopper, ranking)
    return ranking


def _first_that_fills(placement: Placement, shopper: Shopper) -> Ranking:
    query = shopper.query
    nothing_known = placement.anchor == "user" and not len(query.history)
    if not nothing_known:
        candidates = gather({name: SOURCES[name] for name in placement.sources}, shopper)
        ranking = _order(placement, shopper, candidates, fallback_used=False)
        if len(ranking.item_idx) or not (placement.fallback or placement.substitutes):
            return ranking
    longest: Ranking | None = None
    for substitute in placement.substitutes:
        if substitute.anchor == "user" and not len(query.history):
            continue
        candidates = gather({name: SOURCES[name] for name in substitute.sources}, shopper)
        found = _order(substitute, shopper, candidates, fallback_used=True, with_ranker=True)
        if len(found.item_idx) >= query.limit:
            return found
        longest = found if longest is None or len(found.item_idx) > len(longest.item_idx) else longest
    if longest is not None and (len(longest.item_idx) or not placement.fallback):
        return longest
    fallback = placement.fallback or "popular_by_hour"
    candidates = gather({fallback: SOURCES[fallback]}, shopper)
    return _order(placement, shopper, candidates, fallback_used=True)


def _order(
    placement: Placement,
    shopper: Shopper,
    candidates: Candidates,
    *,
    fallback_used: bool,
    with_ranker: bool | None = None,
) -> Ranking:
    engine, query = shopper.engine, shopper.query
    removed = {}
    for rule, keep in RULES.items():
        kept = keep(placement, shopper, candidates.item_idx)
        if not kept.all():
            removed[rule] = candidates.item_idx[~kept]
            candidates = candidates.take(kept)
    parts = contributions(placement, shopper, candidates)
    score = score_of(
        placement, shopper, candidates, parts, with_ranker=not fallback_used if with_ranker is None else with_ranker
    )
    if query.dials.boosts or placement.freshness.boost:
        score = score * boosts(placement, shopper, candidates.item_idx)
    speaks = score > 0
    if not speaks.all():
        removed["no evidence"] = candidates.item_idx[~speaks]
        candidates, parts, score = candidates.take(speaks), parts[:, speaks], score[speaks]
    is_arranged = placement.arranges or query.dials is not NO_DIALS or query.n_more > 0
    wants_all = is_arranged or placement.tail_share > 0 or bool((engine.catalog.group >= 0).any())
    best = top_k(score, len(score) if wants_all else query.limit, candidates.item_idx)
    leads = first_of_group(engine, candidates.item_idx[best])
    if not leads.all():
        removed["variant"] = candidates.item_idx[best[~leads]]
        best = best[leads]
    if not is_arranged:
        n_tail = int(placement.tail_share * query.limit)
        best = with_tail(best, engine.is_tail[candidates.item_idx[best]], n_tail, query.limit)
    names = tuple(candidates.scores)
    return Ranking(
        item_idx=candidates.item_idx[best],
        score=score[best].astype(np.float32),
        source=tuple(names[place] for place in parts[:, best].argmax(axis=0)) if len(best) else (),
        fallback_used=fallback_used,
        removed=removed,
    )


def contributions(placement: Placement, shopper: Shopper, candidates: Candidates) -> npt.NDArray[np.float64]:
    """What each source adds to each candidate's score, (n_sources, n_candidates).

    Where a list mixes what the shopper bought with what is new, the two sides are distributions over the candidates,
    weighted by the share of purchases that repeat an earlier one in this shop: `r·P(i | again) + (1 − r)·P(i | taste)`.
    Where repeats are rare, taste does not speak for what the shopper has already.
    """
    weights = np.array([_weight(placement, name, shopper) for name in candidates.scores])
    parts = np.array(list(candidates.scores.values()), np.float64) * weights[:, None]
    if "repeat" in candidates.scores and len(weights) > 1:
        is_repeat = np.array([name == "repeat" for name in candidates.scores])
        share = shopper.engine.repeat.repeat_share
        parts[:, candidates.scores["repeat"] > 0] *= (share + LAST_RESORT) / (share + RARE_REPEATS)
        for side, side_share in ((is_repeat, share), (~is_repeat, 1 - share)):
            parts[side] *= side_share / max(parts[side].sum(), 1e-12)
    return parts


def _weight(placement: Placement, source: str, shopper: Shopper) -> float:
    """A source's weight; the less is known of a shopper, the more counts what everyone buys."""
    weight = placement.sources.get(source, 1.0)
    if source == "popular":
        weight *= 1 + STRANGENESS / max(len(shopper.weighted[0]), 1)
    return weight


def score_of(
    placement: Placement,
    shopper: Shopper,
    candidates: Candidates,
    parts: npt.NDArray[np.float64],
    *,
    with_ranker: bool,
) -> npt.NDArray[np.float64]:
    """What the list is ordered by: the ranker's odds of being taken, else the blend; then the placement's dials.

    `score · lift^(w·h) · buyers^−β`, with `w` the weight of the hour that the ranker learned; odds are told as a
    probability in the end.
    """
    engine, rows = shopper.engine, candidates.item_idx
    ranker = ranker_of(placement, shopper) if with_ranker else NO_RANKER
    if ranker.is_fitted and len(rows):
        score = np.exp(ranker.log_odds(features(shopper, candidates)))
    else:
        score = blend(placement, engine, candidates, parts)
    if placement.hour_power:
        weight = ranker.hour_weight if ranker.is_fitted else BLEND_HOUR_WEIGHT
        score = score * shopper.lift(rows) ** (weight * placement.hour_power)
    if placement.tail_discount:
        score = score * np.maximum(engine.popularity.n_buyers[rows], 1.0) ** -placement.tail_discount
    return score / (1 + score) if ranker.is_fitted else score


def ranker_of(placement: Placement, shopper: Shopper) -> Ranker:
    """The ranker that a placement names; an unfitted one where it names none, or next to nothing is known."""
    if not placement.ranker or len(shopper.weighted[0]) < FEWEST_KNOWN:
        return NO_RANKER
    ranker: Ranker = getattr(shopper.engine.rankers, placement.ranker)
    return ranker


def blend(
    placement: Placement, engine: Engine, candidates: Candidates, parts: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The order that needs no training, float64 (n_candidates,): what the sources add up to, times `trend^t`."""
    score = parts.sum(axis=0)
    if placement.trend_power:
        score = score * engine.popularity.trend[candidates.item_idx] ** placement.trend_power
    return score
