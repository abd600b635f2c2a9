"""The dials of a placement, turned on a list that its scores have ordered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.placements import Placement
from recsys.core.topk import top_k
from recsys.data.dataset import DAY_S
from recsys.fitting.engine import Engine
from recsys.reasons.labels import PINNED
from recsys.retrieval.query import Mask, Ranking
from recsys.retrieval.user_state import UserState
from recsys.rules.diversity import (
    Places,
    apply_pins,
    apply_promotions,
    apply_tail_quota,
    cap_per_category,
    gumbel_keys,
    mmr,
    propensities,
    seeded_uniform,
)
from recsys.rules.eligibility import dedupe_variants, eligible_mask

Rows = npt.NDArray[np.int32]
BACKFILL_SOURCE: Final = "popular"
"""Source of what fills a list: all that is known for it is how well it sells."""

FIRST_LOOK: Final = 4
FEW_VARIANTS: Final = 2
"""Of what may fill a list, so many times as much as it lacks is looked at first, and is enough if so much is left."""

BACKFILL_SCORE_RATIO: Final = 0.5
"""Scores of what fills a list start at this part of the last score before."""


def boosts(placement: Placement, state: UserState, rows: Rows) -> npt.NDArray[np.float64]:
    """What each item's score is multiplied by, float64 (n,), > 0: boosts, and what being new is worth."""
    factors = np.ones(len(rows))
    for mask, factor in state.query.overrides.boosts:
        factors[mask[rows]] *= factor
    freshness = placement.freshness
    if freshness.boost:
        age_days = _age_days(state.engine, rows, state.query.now)
        factors *= 1 + freshness.boost * np.exp2(-age_days / freshness.half_life_days)
    return factors


def rerank(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
    """Turn the dials, in this order: rotation, diversity, filling, bound of a category, tail, promotions, pins.

    Args:
        placement: the list.
        state: whom, and what, the request is about.
        ranking: all candidates that may be listed, best first, one variant of a product.

    Returns:
        At most `limit + n_more` items. Those that a pinned variant displaces are in `removed` as variants.
    """
    query, engine = state.query, state.engine
    wanted = query.limit + query.n_lookahead
    found = _by_overrides(placement, state, ranking, wanted)
    found = _filled(placement, state, found, wanted)
    if placement.max_per_category:
        found = _taken(found, cap_per_category(_categories(engine, found.item_idx), placement.max_per_category))
    if placement.tail_share:
        n_tail = int(placement.tail_share * query.limit)
        first = apply_tail_quota(np.arange(len(found.item_idx)), engine.is_tail[found.item_idx], n_tail, query.limit)
        found = _taken(found, np.concatenate([first, np.setdiff1d(np.arange(len(found.item_idx)), first)]))
    if query.overrides.promotions:
        matches, shares = zip(*query.overrides.promotions, strict=True)
        order = apply_promotions([mask[found.item_idx] for mask in matches], shares, len(found.item_idx))
        found = _taken(found, order)
    return _pinned(state, found).take(slice(wanted))


def _by_overrides(placement: Placement, state: UserState, ranking: Ranking, wanted: int) -> Ranking:
    """The list by rotation and diversity; what chance did to it is told, diversity does the same to the same draw."""
    query, n = state.query, len(ranking.item_idx)
    key = ranking.score.astype(np.float64)
    if placement.rotation and n:
        ids = state.engine.items.ids
        seed = f"{query.who}\n{placement.name}\n{query.day}"
        chance = seeded_uniform([ids[row] for row in ranking.item_idx.tolist()], seed)
        key = gumbel_keys(n, chance, placement.rotation)
        order = top_k(key, n)
        key = key[order]
        ranking = replace(ranking.take(order), propensity=propensities(order, placement.rotation))
    if placement.diversity and n:
        vectors = embeddings(state.engine, ranking.item_idx)
        ranking = _taken(ranking, mmr(key, vectors, placement.diversity, wanted))
    return ranking


def embeddings(engine: Engine, rows: Rows) -> npt.NDArray[np.float32]:
    """What items are like, float32 (n, n_dimensions); also of those that came after the models were fitted."""
    known = len(engine.content.embedding)
    vectors = engine.content.embedding[np.minimum(rows, known - 1)]
    is_new = rows >= known
    if is_new.any():
        vectors[is_new] = engine.content.embed(engine.items_table[rows[is_new]])
    return vectors


def _filled(placement: Placement, state: UserState, found: Ranking, wanted: int) -> Ranking:
    """Add what the list lacks: a filtered one is filled from all that may be in it, and promotions get their items."""
    overrides = state.query.overrides
    fills = bool(placement.fallback or placement.substitutes)
    if overrides.is_filtered and fills and len(found.item_idx) < wanted:
        found = _with_more(placement, state, found, None, wanted - len(found.item_idx))
    if fills:
        for mask, share in overrides.promotions:
            n_missing = int(share * wanted) - int(mask[found.item_idx].sum())
            if n_missing > 0:
                found = _with_more(placement, state, found, mask, n_missing)
    return found


def _with_more(placement: Placement, state: UserState, found: Ranking, mask: Mask | None, n_lookahead: int) -> Ranking:
    """Add the best `n_lookahead` of the items that may be listed and are not yet, behind all others."""
    engine, allowed = state.engine, state.query.allowed
    free = np.ones(len(engine.items), np.bool_) if allowed is None else allowed.copy()
    if mask is not None:
        free &= mask
    free[found.item_idx] = False
    free[np.isin(engine.catalog.group, _groups(engine, found.item_idx))] = False
    rows = _best_free(placement, state, free, n_lookahead)
    score = _general_score(placement, state, rows)
    best = top_k(score, len(score), rows)
    best = best[dedupe_variants(engine, rows[best])][:n_lookahead]
    floor = float(found.score.min(initial=1.0)) * BACKFILL_SCORE_RATIO
    behind = floor * score[best] / max(float(score.max(initial=0)), 1e-300)
    return replace(
        found,
        item_idx=np.concatenate([found.item_idx, rows[best]]),
        score=np.concatenate([found.score, behind.astype(np.float32)]),
        source=(*found.source, *[BACKFILL_SOURCE] * len(best)),
        propensity=None if found.propensity is None else np.concatenate([found.propensity, np.ones(len(best))]),
    )


def _best_free(placement: Placement, state: UserState, free: Mask, n_lookahead: int) -> Rows:
    """The best of the free items that no rule takes out, `n_lookahead` or a few more, if there are so many."""
    engine, seeds = state.engine, state.query.seeds
    n_free = int(free.sum())
    by_likeness = "similar" in placement.sources and len(seeds) > 0
    if not by_likeness:
        ordered = engine.by_popularity[free[engine.by_popularity]]
    for n_looked in (min(FIRST_LOOK * n_lookahead, n_free), n_free):
        if by_likeness:
            _, found = engine.index.search(np.asarray(engine.hybrid.vectors[seeds], np.float32), n_looked, free)
            rows = np.unique(found[found >= 0])
        else:
            rows = ordered[:n_looked]
        rows = rows[eligible_mask(placement, state, rows)]
        if len(rows) >= FEW_VARIANTS * n_lookahead:
            break
    return rows


def _general_score(placement: Placement, state: UserState, rows: Rows) -> npt.NDArray[np.float64]:
    """What fills a list best, float64 (n,), > 0: what is most like the seeds of `similar`, else what sells best."""
    engine, seeds = state.engine, state.query.seeds
    if "similar" in placement.sources and len(seeds):
        likeness = np.asarray(engine.hybrid.vectors[rows]) @ np.asarray(engine.hybrid.vectors[seeds]).T
        worth = np.exp(likeness.max(axis=1, initial=-1.0).astype(np.float64))
    else:
        worth = np.maximum(engine.popularity.share[rows].astype(np.float64), 1e-12)
    return worth * boosts(placement, state, rows)


def _pinned(state: UserState, found: Ranking) -> Ranking:
    """Put pinned items at their ranks, if they may be listed and are no seed's; their variants leave."""
    engine, query = state.engine, state.query
    group = engine.catalog.group
    taboo = _groups(engine, query.seeds)
    pins = [
        (row, rank)
        for row, rank in query.overrides.pins
        if (query.allowed is None or query.allowed[row]) and row not in query.seeds and group[row] not in taboo
    ]
    if not pins:
        return found
    rows = np.array([row for row, _ in pins], np.int32)
    pins = [pin for pin, is_first in zip(pins, dedupe_variants(engine, rows), strict=True) if is_first]
    rows = np.array([row for row, _ in pins], np.int32)
    leaves = np.isin(found.item_idx, rows) | np.isin(group[found.item_idx], _groups(engine, rows))
    displaced = found.item_idx[leaves & ~np.isin(found.item_idx, rows)]
    removed = dict(found.removed)
    if len(displaced):
        removed["variant"] = np.concatenate([removed.get("variant", displaced[:0]), displaced])
    scores = dict(zip(found.item_idx.tolist(), found.score.tolist(), strict=True))
    rest = found.take(~leaves)
    both = replace(
        rest,
        item_idx=np.concatenate([rows, rest.item_idx]),
        score=np.concatenate([np.array([scores.get(row, 0.0) for row, _ in pins], np.float32), rest.score]),
        source=(*[PINNED] * len(pins), *rest.source),
        propensity=None if rest.propensity is None else np.concatenate([np.ones(len(pins)), rest.propensity]),
        removed=removed,
    )
    return _taken(both, apply_pins(len(both.item_idx), [(place, rank) for place, (_, rank) in enumerate(pins)]))


def _taken(ranking: Ranking, order: Places) -> Ranking:
    return ranking if np.array_equal(order, np.arange(len(ranking.item_idx))) else ranking.take(order)


def _groups(engine: Engine, rows: Rows) -> npt.NDArray[np.int32]:
    """Products that rows are variants of."""
    group = engine.catalog.group[rows]
    return group[group >= 0]


def _categories(engine: Engine, rows: Rows) -> npt.NDArray[np.int64]:
    """A number for each item's category, its type's where the path has one level; -1 where nothing is known."""
    catalog = engine.catalog
    category, type_ = catalog.item_category[rows].astype(np.int64), catalog.item_type[rows].astype(np.int64)
    return np.where(category >= 0, category, np.where(type_ >= 0, type_ + (1 << 32), -1))


def _age_days(engine: Engine, rows: Rows, now: int) -> npt.NDArray[np.float64]:
    """Days since each item was created, float64 (n,), >= 0; infinite where that is not known."""
    created = engine.items_table["created_at"].gather(pl.Series(rows, dtype=pl.UInt32))
    moment = datetime.fromtimestamp(now, UTC)
    age_s = (pl.lit(moment) - pl.col("created_at")).dt.total_seconds()
    days = created.to_frame("created_at").select(age_s / DAY_S).to_series().cast(pl.Float64).fill_null(float("inf"))
    return np.maximum(days.to_numpy(), 0.0)
