"""A request's spine: resolve, gather, score, filter, order, explain; each stage says what it removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from recsys.candidates import SOURCES, Candidates, Shopper, gather
from recsys.context import MAX_LIMIT, Query, Recommendations, RecommendedItem, Request
from recsys.engine import Engine
from recsys.errors import RequestError
from recsys.live import Live, person_of
from recsys.placements import PLACEMENTS, Placement
from recsys.ranking.features import features
from recsys.ranking.ranker import NO_RANKER
from recsys.reasons import reasons_for
from recsys.topk import top_k

LAST_RESORT = 1e-3
"""Keeps what the shopper has already in the list, behind all that is new, where nothing is ever bought twice."""

BLEND_HOUR_WEIGHT = 0.8
"""How much an item's lift at the hour counts where no ranker has learned it."""

STRANGENESS = 300.0
"""Distinct items at which what everyone buys counts double."""

RARE_REPEATS = 0.1
"""Share of repeats at which taste speaks half as much for what the shopper bought as for what is new."""

SOON = 0.5
"""Part of an item's interval for which a shopper who just bought it is not shown it beside another item."""


@dataclass(frozen=True)
class Ranking:
    """What the pipeline found, in rows; best first.

    Attributes:
        item_idx: int32 (n,).
        score: float32 (n,), descending.
        source: the source that spoke most for each item.
        fallback_used: whether the fallback served.
        removed: by rule, the rows that it took out of the candidates.
    """

    item_idx: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]
    source: tuple[str, ...]
    fallback_used: bool
    removed: Mapping[str, npt.NDArray[np.int32]]


def recommend(engine: Engine, request: Request, model_version: str = "", live: Live | None = None) -> Recommendations:
    """Answer a request.

    Args:
        engine: the models.
        request: what is asked.
        model_version: named in the answer.
        live: what was learned of shoppers since; `engine` is then the one that it keeps.

    Returns:
        The list; empty where nothing is known to list. Seeds that the engine does not know are in `missing_ids`.

    Raises:
        RequestError: if the placement or the limit is not one that exists, or the list wants a seed or user.
    """
    placement = find_placement(request)
    query, missing = resolve(engine, request, placement, live)
    shopper = Shopper(engine, query)
    ranking = rank(placement, shopper)
    reasons = reasons_for(placement, shopper, ranking.item_idx, ranking.source)
    ids = engine.items.ids
    items = tuple(
        RecommendedItem(ids[row], score, place, source, why)
        for place, (row, score, source, why) in enumerate(
            zip(ranking.item_idx.tolist(), ranking.score.tolist(), ranking.source, reasons, strict=True), 1
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


def find_placement(request: Request) -> Placement:
    """The placement that a request names, and whose needs it meets."""
    placement = PLACEMENTS.get(request.placement)
    if placement is None:
        raise RequestError(
            "placement", f"{request.placement!r} is not a placement: choose from {', '.join(PLACEMENTS)}"
        )
    if not 1 <= request.limit <= MAX_LIMIT:
        raise RequestError("limit", f"{request.limit} is out of range: choose 1 to {MAX_LIMIT}")
    if placement.anchor == "item" and not request.item_ids:
        raise RequestError("item_ids", f"placement {placement.name!r} wants at least one item")
    return placement


def resolve(
    engine: Engine, request: Request, placement: Placement, live: Live | None = None
) -> tuple[Query, tuple[str, ...]]:
    """Turn ids into rows and `as_of` into the local hour; the second part are unknown seeds."""
    person = person_of(engine, request) if live is None else live.person(request)
    seeds = engine.items.rows(request.item_ids)
    hour = datetime.fromtimestamp(request.as_of, ZoneInfo(person.timezone)).hour
    query = Query(
        user_idx=person.user_idx,
        now=request.as_of,
        hour=hour,
        bucket=int(engine.timeofday.bucket_of_hour[hour]),
        limit=request.limit,
        history=person.history,
        seeds=seeds[seeds >= 0],
        allowed=engine.listable[placement.pool],
        timezone=person.timezone,
    )
    return query, tuple(id_ for id_, row in zip(request.item_ids, seeds, strict=True) if row < 0)


def rank(placement: Placement, shopper: Shopper) -> Ranking:
    """Gather candidates, score them, filter and order; the fallback's where the placement's sources find nothing."""
    nothing_known = placement.anchor == "user" and not len(shopper.query.history)
    if not nothing_known:
        candidates = gather({name: SOURCES[name] for name in placement.sources}, shopper)
        ranking = _order(placement, shopper, candidates, fallback_used=False)
        if len(ranking.item_idx) or not placement.fallback:
            return ranking
    fallback = placement.fallback or "popular_by_hour"
    candidates = gather({fallback: SOURCES[fallback]}, shopper)
    return _order(placement, shopper, candidates, fallback_used=True)


def _order(placement: Placement, shopper: Shopper, candidates: Candidates, *, fallback_used: bool) -> Ranking:
    engine, query = shopper.engine, shopper.query
    removed = {}
    for rule, keep in RULES.items():
        kept = keep(placement, shopper, candidates.item_idx)
        if not kept.all():
            removed[rule] = candidates.item_idx[~kept]
            candidates = candidates.take(kept)
    parts = contributions(placement, shopper, candidates)
    score = _scores(placement, shopper, candidates, parts, with_ranker=not fallback_used)
    speaks = score > 0
    if not speaks.all():
        removed["no evidence"] = candidates.item_idx[~speaks]
        candidates, parts, score = candidates.take(speaks), parts[:, speaks], score[speaks]
    wants_all = placement.tail_share > 0 or bool((engine.catalog.group >= 0).any())
    best = top_k(score, len(score) if wants_all else query.limit, candidates.item_idx)
    best, variants = _one_a_group(engine, candidates.item_idx, best)
    if len(variants):
        removed["variant"] = variants
    best = _with_tail(
        best, engine.is_tail[candidates.item_idx[best]], int(placement.tail_share * query.limit), query.limit
    )
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


def _scores(
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
    ranker = getattr(engine.rankers, placement.ranker) if placement.ranker and with_ranker else NO_RANKER
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


def blend(
    placement: Placement, engine: Engine, candidates: Candidates, parts: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The order that needs no training, float64 (n_candidates,): what the sources add up to, times `trend^t`."""
    score = parts.sum(axis=0)
    if placement.trend_power:
        score = score * engine.popularity.trend[candidates.item_idx] ** placement.trend_power
    return score


def _is_listable(placement: Placement, shopper: Shopper, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    allowed = shopper.query.allowed
    return np.ones(len(rows), np.bool_) if allowed is None else allowed[rows]


def _is_no_seed(placement: Placement, shopper: Shopper, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    seeds = shopper.query.seeds
    if not len(seeds):
        return np.ones(len(rows), np.bool_)
    group = shopper.engine.catalog.group
    groups = group[seeds][group[seeds] >= 0]
    return ~(np.isin(rows, seeds) | np.isin(group[rows], groups))


def _is_wanted(placement: Placement, shopper: Shopper, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    if placement.own == "keep" or not len(shopper.query.history):
        return np.ones(len(rows), np.bool_)
    own = shopper.own
    dropped = own.item_idx
    if placement.own == "not_yet_due":
        dropped = dropped[own.elapsed(shopper.query.now) < SOON]
    return ~np.isin(rows, dropped)


def _complements_seeds(placement: Placement, shopper: Shopper, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    kept = np.ones(len(rows), np.bool_)
    if placement.only_complements:
        catalog, backward = shopper.engine.catalog, shopper.engine.copurchase.backward
        types = catalog.item_type
        for seed in shopper.query.seeds.tolist():
            kept &= (types[rows] != types[seed]) | (types[seed] < 0)
            kept &= ~backward.of(seed, rows, catalog)
    return kept


RULES: Final[Mapping[str, Callable[[Placement, Shopper, npt.NDArray[np.int32]], npt.NDArray[np.bool_]]]] = (
    MappingProxyType(
        {
            "unavailable": _is_listable,
            "seed": _is_no_seed,
            "no complement": _complements_seeds,
            "own": _is_wanted,
        }
    )
)
"""What may leave a list, in order; each says which candidates it keeps."""


def _with_tail(
    order: npt.NDArray[np.int64], is_tail: npt.NDArray[np.bool_], n_tail: int, limit: int
) -> npt.NDArray[np.int64]:
    """The first `limit` of an order with at least `n_tail` of the tail, if it has so many.

    The best of the tail that did not get in take the places of the last others, behind all that stays.
    """
    inside = np.arange(len(order)) < limit
    n_missing = n_tail - int((inside & is_tail).sum())
    coming = np.flatnonzero(~inside & is_tail)[: max(n_missing, 0)]
    if len(coming):
        inside[np.flatnonzero(inside & ~is_tail)[-len(coming) :]] = False
        inside[coming] = True
    return order[inside]


def _one_a_group(
    engine: Engine, rows: npt.NDArray[np.int32], best: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Keep the best variant of each product; the second part are the rows of the others."""
    group = engine.catalog.group[rows[best]]
    _, first = np.unique(np.where(group >= 0, group, -2 - np.arange(len(group))), return_index=True)
    kept = np.zeros(len(best), np.bool_)
    kept[first] = True
    return best[kept], rows[best[~kept]]
