"""Lists of item sets: which sets may be listed, in which order, and what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import structs

from recsys.core.ids import NO_ITEM
from recsys.core.placements import Placement
from recsys.core.request import ItemSet, SetItem
from recsys.fitting.engine import Engine
from recsys.pipeline.stage_runs import apply_rules
from recsys.ranking.scoring import active_sources, score_of
from recsys.reasons.context import ItemReasons
from recsys.retrieval.candidates import Scored
from recsys.retrieval.query import NO_ITEMS, Mask, Ranking, Rows, StageRecord
from recsys.retrieval.sources import generate
from recsys.retrieval.user_state import UserState

SETS_SOURCE: Final = "item_sets"
BEST_SETS_SOURCE: Final = "best_sets"
"""Sources of the items of sets: those that fit a user or an item, and the best ones of the shop."""

PRICE_PRECISION: Final = 1e-6
CENTS: Final = 6
"""Prices are single precision: a sum that differs by this share is equal. Decimals of a sum that are written."""

WHOLE_SET: Final = "whole set"
PRICE_BOUND: Final = "price bound"
"""Stages that remove items of sets which cannot be listed as a whole, or cost too much."""


def rank_sets(placement: Placement, state: UserState) -> Ranking:
    """Returns the items of the best sets, one set after the other.

    For items, the sets that contain any of them; for a user, those with an item that the user is likely to want; for
    nobody, the best ones. A set is listed if all of its items may be listed, and no product is in two sets of a list,
    but those that the list is for. Sets are ordered by `surprise · P`, where `P = P(S) · Π_i p_i / P(i)` estimates the
    probability that the next basket has the whole set: `P(S)` and `P(i)` are shares of all baskets, and `p_i` is 1 for
    the items that the list is for, and otherwise what the user's own list estimates.

    Args:
        placement: the list; `limit` counts sets.
        state: the user and the query.

    Returns:
        The items of the sets that are not seeds, the dearest of a set first, with the set of each.
    """
    query = state.query
    if not query.is_open or not len(state.engine.item_sets):
        return structs.replace(NO_ITEMS, fallback_used=query.is_open)
    wanted = _wanted(placement, state)
    chosen = _choose(state, wanted)
    if chosen is not None and not len(chosen):
        return NO_ITEMS
    is_best = chosen is None
    sets = _Sets(state.engine, np.arange(len(state.engine.item_sets), dtype=np.int32) if chosen is None else chosen)
    kept, records = _listable(placement, state, sets)
    sets = sets.take(kept)
    score = _scores(state, sets, None if is_best else wanted)
    first = _without_repeats(state, sets, np.argsort(-score, kind="stable"), query.limit + query.n_lookahead)
    rows = _dearest_first(state, sets.item_idx[first])
    is_new = (rows != NO_ITEM) & ~np.isin(rows, query.seeds)
    number = np.nonzero(is_new)[0]
    source = BEST_SETS_SOURCE if is_best else SETS_SOURCE
    return Ranking(
        item_idx=rows[is_new],
        score=score[first][number].astype(np.float32),
        source=np.full(len(number), source, np.object_),
        fallback_used=is_best,
        set_idx=sets.set_idx[first][number],
        records=records,
    )


def describe_sets(state: UserState, ranking: Ranking, reasons: Sequence[ItemReasons]) -> tuple[ItemSet, ...]:
    """Returns the sets of a ranking, with the prices of the request's moment, region, store and channel.

    Args:
        state: the user and the query.
        ranking: from `rank_sets`.
        reasons: of each item of the ranking, that of its set first.
    """
    engine = state.engine
    if ranking.set_idx is None:
        return ()
    _, first = np.unique(ranking.set_idx, return_index=True)
    found = []
    for rank, position in enumerate(np.sort(first).tolist(), 1):
        number = int(ranking.set_idx[position])
        rows = _dearest_first(state, engine.item_sets.item_idx[number][None])[0]
        rows = rows[rows != NO_ITEM]
        prices = [None if np.isnan(price) else float(str(price)) for price in engine.catalog.price[rows]]
        known = [price for price in prices if price is not None]
        found.append(
            ItemSet(
                rank=rank,
                score=float(ranking.score[position]),
                items=tuple(map(SetItem, (engine.items.ids[row] for row in rows.tolist()), prices)),
                support=int(engine.item_sets.support[number]),
                lift=round(float(engine.item_sets.lift[number]), 2),
                total_price=round(sum(known), CENTS) if len(known) == len(prices) else None,
                reasons=reasons[position][:1],
            )
        )
    return tuple(found)


def _dearest_first(state: UserState, rows: Rows) -> Rows:
    """The items of each set in the order of the answer: those that the list is for, then by price, dearest first."""
    price = np.nan_to_num(state.engine.catalog.price[rows], nan=-1.0)
    price = np.where(np.isin(rows, state.query.seeds), np.inf, np.where(rows == NO_ITEM, -np.inf, price))
    ordered: Rows = np.take_along_axis(rows, np.argsort(-price, axis=1, kind="stable"), axis=1)
    return ordered


@dataclass(frozen=True)
class _Sets:
    """Some sets of a shop.

    Attributes:
        engine: the models.
        set_idx: int32 (n,), rows in `engine.item_sets`, ascending.
    """

    engine: Engine
    set_idx: Rows

    @cached_property
    def item_idx(self) -> Rows:
        """The items of each set, int32 (n, size), `NO_ITEM` past the last one."""
        rows: Rows = self.engine.item_sets.item_idx[self.set_idx]
        return rows

    @cached_property
    def is_item(self) -> Mask:
        """Where `item_idx` is an item, bool (n, size)."""
        return self.item_idx != NO_ITEM

    @cached_property
    def items(self) -> Rows:
        """The distinct items, int32, ascending."""
        return np.unique(self.item_idx[self.is_item])

    def take(self, kept: Mask) -> _Sets:
        return replace(self, set_idx=self.set_idx[kept])

    @cached_property
    def total_price(self) -> npt.NDArray[np.float64]:
        """The sum of the prices, float64 (n,), NaN where one is not known."""
        price = np.where(self.is_item, self.engine.catalog.price[self.item_idx], 0)
        return price.sum(axis=1, dtype=np.float64)


def _wanted(placement: Placement, state: UserState) -> Scored:
    """Items that the user is likely to want, and the probability that the next basket has each; none for nobody.

    The scores of a list are divided by their sum, and multiplied by the number of items of a basket.
    """
    if not state.has_history:
        return np.empty(0, np.int32), np.empty(0, np.float32)
    candidates = generate(active_sources(placement, state.engine.blends), state)
    score, _ = score_of(placement, state, candidates, with_ranker=True)
    found = score > 0
    copurchase = state.engine.copurchase
    mean_size = copurchase.n_baskets.sum() / max(copurchase.n_all, 1)
    probability = np.minimum(score[found] / score[found].sum() * mean_size, 1.0)
    return candidates.item_idx[found], probability.astype(np.float32)


def _choose(state: UserState, wanted: Scored) -> Rows | None:
    """The sets of the seeds, or of what the user wants; None where nothing is known, and the best sets serve."""
    sets, seeds = state.engine.item_sets, state.query.seeds
    if len(seeds):
        return sets.with_any(seeds)
    found = sets.with_any(wanted[0])
    return found if len(found) else None


def _listable(placement: Placement, state: UserState, sets: _Sets) -> tuple[Mask, tuple[StageRecord, ...]]:
    """Which sets may be listed as a whole, and have something that is no seed; and what each rule removed."""
    query, items = state.query, sets.items
    nothing = np.zeros(len(items)), np.empty(len(items), np.object_)
    ranking = apply_rules(placement, state, Ranking(items, *nothing))
    is_seed = np.isin(items, query.seeds)
    may_be_listed = np.isin(items, ranking.item_idx)
    may_be_listed |= is_seed if query.allowed is None else is_seed & query.allowed[items]
    position = np.minimum(items.searchsorted(sets.item_idx), max(len(items) - 1, 0))
    is_whole = np.all(may_be_listed[position] | ~sets.is_item, axis=1)
    has_more = np.any(sets.is_item & ~is_seed[position], axis=1)
    whole = is_whole & has_more
    bound = placement.max_total_price
    kept: Mask = whole & (sets.total_price <= bound * (1 + PRICE_PRECISION)) if bound else whole
    after = [sets.take(mask).items for mask in (whole, kept)]
    records = (
        StageRecord("candidates", items, items),
        *ranking.records,
        StageRecord(WHOLE_SET, ranking.item_idx, after[0]),
        StageRecord(PRICE_BOUND, after[0], after[1]),
    )
    return kept, records


def _scores(state: UserState, sets: _Sets, wanted: Scored | None) -> npt.NDArray[np.float64]:
    """The score of each set; see `rank_sets`."""
    engine, seeds = state.engine, state.query.seeds
    n_all, model = max(engine.copurchase.n_all, 1), engine.item_sets
    share = np.maximum(engine.copurchase.n_baskets[sets.item_idx], 1) / n_all
    probability = share.copy()
    if wanted is not None and len(wanted[0]):
        position = np.minimum(wanted[0].searchsorted(sets.item_idx), len(wanted[0]) - 1)
        is_wanted = wanted[0][position] == sets.item_idx
        probability = np.where(is_wanted, np.maximum(wanted[1][position], share), share)
    probability = np.where(np.isin(sets.item_idx, seeds), 1.0, probability)
    ratio = np.where(sets.is_item, probability / share, 1.0).prod(axis=1)
    score: npt.NDArray[np.float64] = model.surprise[sets.set_idx] * model.support[sets.set_idx] / n_all * ratio
    return score


def _without_repeats(state: UserState, sets: _Sets, order: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.int64]:
    """The first sets of an order that share no product, but the seeds; int64, at most `n`."""
    group = state.engine.catalog.group
    rows = sets.item_idx
    product = np.where(group[rows] >= 0, group[rows].astype(np.int64), -2 - rows.astype(np.int64))
    counts = sets.is_item & ~np.isin(rows, state.query.seeds)
    taken: set[int] = set()
    first: list[int] = []
    for number in order.tolist():
        products = product[number][counts[number]].tolist()
        if taken.isdisjoint(products):
            taken.update(products)
            first.append(number)
            if len(first) >= n:
                break
    return np.array(first, np.int64)
