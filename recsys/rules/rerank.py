"""The stages that rearrange an ordered list: rotation, diversity, filling, caps, quotas, promotions and pins.

Each takes the placement, the user's state and a ranking, and returns the next ranking. The pipeline runs them in the
order of this module.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from recsys.core.placements import Placement
from recsys.core.topk import is_in, top_k
from recsys.data.dataset import DAY_S
from recsys.fitting.engine import Engine
from recsys.reasons.labels import PINNED
from recsys.retrieval.query import Mask, Positions, Ranking, Rows
from recsys.retrieval.user_state import UserState
from recsys.rules.diversity import (
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

BACKFILL_SOURCE: Final = "popular"
"""Source of the items that fill a list: the only evidence for them is how well they sell."""

FIRST_LOOK: Final = 4
FEW_VARIANTS: Final = 2
"""The first look for fill is at `FIRST_LOOK` times the missing number; `FEW_VARIANTS` times that number is enough."""

BACKFILL_SCORE_RATIO: Final = 0.5
"""Scores of fill start at this part of the lowest score before."""


def boost_factors(placement: Placement, state: UserState, rows: Rows) -> npt.NDArray[np.float64]:
    """Returns the factor of each item's score, float64 (n,), > 0: boosts, and the placement's bonus for new items."""
    factors = np.ones(len(rows))
    for mask, factor in state.query.overrides.boosts:
        factors[mask[rows]] *= factor
    freshness = placement.freshness
    if freshness.boost:
        age_days = _age_days(state.engine, rows, state.query.now)
        factors *= 1 + freshness.boost * np.exp2(-age_days / freshness.half_life_days)
    return factors


def rotate(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
    """Draws the order of the day, the same for one user, list and local day; see `gumbel_keys`."""
    query, n = state.query, len(ranking.item_idx)
    if not n:
        return ranking
    ids = state.engine.items.ids
    seed = f"{query.user_key}\n{placement.name}\n{query.day}"
    uniform = seeded_uniform([ids[row] for row in ranking.item_idx.tolist()], seed)
    key = gumbel_keys(n, uniform, placement.rotation)
    order = top_k(key, n)
    drawn = propensities(order, placement.rotation)
    return replace(ranking.take(order), key=key[order], propensity=drawn)


def diversify(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
    """Puts items first that are unlike the ones before them; see `mmr`. It weighs the key of a rotation, if any."""
    if not len(ranking.item_idx):
        return ranking
    key = ranking.score.astype(np.float64) if ranking.key is None else ranking.key
    vectors = embeddings(state.engine, ranking.item_idx)
    return _in_order(ranking, mmr(key, vectors, placement.diversity, n_wanted(state)))


def fill(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
    """Adds missing items: a filtered list is filled from all that the filter keeps, and promotions get their items."""
    overrides, wanted = state.query.overrides, n_wanted(state)
    if overrides.is_filtered and len(ranking.item_idx) < wanted:
        ranking = _with_more(placement, state, ranking, None, wanted - len(ranking.item_idx))
    for mask, share in overrides.promotions:
        n_missing = int(share * wanted) - int(mask[ranking.item_idx].sum())
        if n_missing > 0:
            ranking = _with_more(placement, state, ranking, mask, n_missing)
    return ranking


def cap_categories(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
    """Moves items of a category beyond its bound behind all others; see `cap_per_category`."""
    category = _categories(state.engine, ranking.item_idx)
    return _in_order(ranking, cap_per_category(category, placement.max_per_category))


def reserve_tail(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
    """Gives the tail its share of the page, and keeps the items behind it; see `apply_tail_quota`."""
    limit, n = state.query.limit, len(ranking.item_idx)
    is_tail = state.engine.is_tail[ranking.item_idx]
    first = apply_tail_quota(np.arange(n), is_tail, int(placement.tail_share * limit), limit)
    return _in_order(ranking, np.concatenate([first, np.setdiff1d(np.arange(n), first)]))


def promote(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
    """Gives promoted items their shares of the positions; see `apply_promotions`."""
    matches, shares = zip(*state.query.overrides.promotions, strict=True)
    order = apply_promotions([mask[ranking.item_idx] for mask in matches], shares, len(ranking.item_idx))
    return _in_order(ranking, order)


def drop_displaced_variants(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
    """Removes the variants of pinned items."""
    group = state.engine.catalog.group
    rows = np.array([row for row, _ in _listable_pins(state)], np.int32)
    is_variant = is_in(group[ranking.item_idx], _groups(state.engine, rows)) & ~is_in(ranking.item_idx, rows)
    return ranking.take(~is_variant) if is_variant.any() else ranking


def pin(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
    """Puts pinned items at their ranks, if they may be listed and are no seed's."""
    pins = _listable_pins(state)
    if not pins:
        return ranking
    rows = np.array([row for row, _ in pins], np.int32)
    scores = dict(zip(ranking.item_idx.tolist(), ranking.score.tolist(), strict=True))
    rest = ranking.take(~is_in(ranking.item_idx, rows))
    pinned = np.array([scores.get(row, 0.0) for row, _ in pins], np.float32)
    both = _joined(rest, rows, pinned, PINNED)
    n_rest = len(rest.item_idx)
    return both.take(apply_pins(len(both.item_idx), [(n_rest + nth, rank) for nth, (_, rank) in enumerate(pins)]))


def n_wanted(state: UserState) -> int:
    """Returns the number of items to list, those of later pages included."""
    return state.query.limit + state.query.n_lookahead


def embeddings(engine: Engine, rows: Rows) -> npt.NDArray[np.float32]:
    """Returns the content vectors of items, float32 (n, n_dimensions), new items included."""
    known = len(engine.content.embedding)
    vectors = engine.content.embedding[np.minimum(rows, known - 1)]
    is_new = rows >= known
    if is_new.any():
        vectors[is_new] = engine.content.embed(engine.items_table[rows[is_new]])
    return vectors


def _with_more(placement: Placement, state: UserState, ranking: Ranking, mask: Mask | None, n_missing: int) -> Ranking:
    """Adds the best `n_missing` of the items that may be listed and are not yet, behind all others."""
    engine, allowed = state.engine, state.query.allowed
    free = np.ones(engine.n_items, np.bool_) if allowed is None else allowed.copy()
    if mask is not None:
        free &= mask
    free[ranking.item_idx] = False
    free[np.isin(engine.catalog.group, _groups(engine, ranking.item_idx))] = False
    rows = _best_free(placement, state, free, n_missing)
    score = _general_score(placement, state, rows)
    best = top_k(score, len(score), rows)
    best = best[dedupe_variants(engine, rows[best])][:n_missing]
    highest = float(ranking.score.min(initial=1.0)) * BACKFILL_SCORE_RATIO
    behind = highest * score[best] / max(float(score.max(initial=0)), 1e-300)
    return _joined(ranking, rows[best], behind.astype(np.float32), BACKFILL_SOURCE)


def _joined(ranking: Ranking, rows: Rows, score: npt.NDArray[np.float32], source: str) -> Ranking:
    """A ranking with more items behind its own; chance has no part in them."""
    n, propensity = len(rows), ranking.propensity
    return replace(
        ranking,
        item_idx=np.concatenate([ranking.item_idx, rows]),
        score=np.concatenate([ranking.score, score]),
        source=np.concatenate([ranking.source, np.full(n, source, np.object_)]),
        propensity=None if propensity is None else np.concatenate([propensity, np.ones(n)]),
        key=None,
    )


def _best_free(placement: Placement, state: UserState, free: Mask, n_missing: int) -> Rows:
    """The best of the free items that no rule takes out, `n_missing` or a few more, if there are so many."""
    engine, seeds = state.engine, state.query.seeds
    n_free = int(free.sum())
    by_likeness = "similar" in placement.sources and len(seeds) > 0
    if not by_likeness:
        ordered = engine.by_popularity[free[engine.by_popularity]]
    for n_looked in (min(FIRST_LOOK * n_missing, n_free), n_free):
        if by_likeness:
            _, found = engine.index.search(np.asarray(engine.hybrid.vectors[seeds], np.float32), n_looked, free)
            rows = np.unique(found[found >= 0])
        else:
            rows = ordered[:n_looked]
        rows = rows[eligible_mask(placement, state, rows)]
        if len(rows) >= FEW_VARIANTS * n_missing:
            break
    return rows


def _general_score(placement: Placement, state: UserState, rows: Rows) -> npt.NDArray[np.float64]:
    """What fills a list best, float64 (n,), > 0: what is most like the seeds of `similar`, else what sells best."""
    engine, seeds = state.engine, state.query.seeds
    if "similar" in placement.sources and len(seeds):
        similarity = np.asarray(engine.hybrid.vectors[rows]) @ np.asarray(engine.hybrid.vectors[seeds]).T
        score = np.exp(similarity.max(axis=1, initial=-1.0).astype(np.float64))
    else:
        score = np.maximum(engine.popularity.share[rows].astype(np.float64), 1e-12)
    return score * boost_factors(placement, state, rows)


def _listable_pins(state: UserState) -> list[tuple[int, int]]:
    """Pinned rows and their ranks: those that may be listed, are no seed or variant of one, one variant per product."""
    engine, query = state.engine, state.query
    group = engine.catalog.group
    seed_groups = _groups(engine, query.seeds)
    pins = [
        (row, rank)
        for row, rank in query.overrides.pins
        if (query.allowed is None or query.allowed[row]) and row not in query.seeds and group[row] not in seed_groups
    ]
    rows = np.array([row for row, _ in pins], np.int32)
    return [pin for pin, is_first in zip(pins, dedupe_variants(engine, rows), strict=True) if is_first]


def _in_order(ranking: Ranking, order: Positions) -> Ranking:
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
    created = engine.created_at_s[rows]
    return np.where(created > 0, np.maximum((now - created) / DAY_S, 0.0), np.inf)
