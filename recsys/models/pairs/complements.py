"""Complements: pairs that are bought together more often than chance, with a limit to how often one item is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import gammaincinv

from recsys.core.config.ranges import PositiveFloat, PositiveInt, PositiveShare
from recsys.core.ids import NO_ITEM
from recsys.core.topk import is_among, top_k
from recsys.data.catalog import Catalog
from recsys.data.incidence import incidence
from recsys.models.pairs.related_items import RelatedItems, empty_lists, keep

ERROR_RATE: Final = 0.05
"""Probability that the lower end of an interval is above the true value."""

N_BEST_SELLERS: Final = 1000
N_FIRST: Final = 5
"""Lists and places in which the exposure of an item is limited."""

EVEN_SHARES: Final = 4
"""In a small shop, an item may have this many times the places that it would have if all had the same."""

MAX_ROUNDS: Final = 200
PRICE_STEP: Final = 1e-3

Allowed = Callable[[int, npt.NDArray[np.int32]], npt.NDArray[np.bool_]]
"""Returns which of some items may complement an item."""


@dataclass(frozen=True)
class ComplementConfig:
    """Settings of the lists of complements.

    Attributes:
        min_lift: a pair is listed if the lower end of a one-sided 95 % interval of its lift is above this number.
        min_together: fewest baskets with both items; what shared one basket shared it by accident.
        max_exposure: largest share of the lists of the best sellers that have one item among their first five.
    """

    min_lift: PositiveFloat = 1.5
    min_together: PositiveInt = 2
    max_exposure: PositiveShare = 0.04


@dataclass(frozen=True)
class TypeCounts:
    """Product types that share baskets; those of several groups of users can be added.

    Attributes:
        both: float32 CSR (n_types, n_types), baskets that contain both types.
        n_baskets: float64 (n_types,), baskets that contain the type.
    """

    both: sparse.csr_matrix
    n_baskets: npt.NDArray[np.float64]


def count_types(baskets: sparse.csr_matrix, catalog: Catalog) -> TypeCounts:
    """Count the types that share the baskets of some users or of all.

    Args:
        baskets: float32 CSR of ones (n_baskets, n_items).
        catalog: types.
    """
    line, types = baskets.tocoo(), catalog.item_type
    known = types[line.col] >= 0
    by_type = incidence(line.row[known], types[line.col[known]], (baskets.shape[0], len(catalog.type_names)))
    return TypeCounts((by_type.T @ by_type).tocsr(), np.asarray(by_type.sum(axis=0), np.float64).ravel())


@dataclass(frozen=True)
class Incidence:
    """Counts of baskets by type, by item and by pair of items.

    Attributes:
        types: types that share baskets.
        both: int32 CSR (n_items, n_items), baskets that contain both items, zero on the diagonal.
        n_baskets: int32 (n_items,), baskets that contain the item.
        n_all: number of baskets.
    """

    types: TypeCounts
    both: sparse.csr_matrix
    n_baskets: npt.NDArray[np.int32]
    n_all: int


def lowest_count(count: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Return the lower end of a one-sided 95 % interval of a Poisson mean, of the shape of `count`.

    Divided by the number that chance would give, it is the lower end of the lift.

    Reference:
        Garwood (1936), Fiducial Limits for the Poisson Distribution, Biometrika.

    >>> lowest_count(np.array([0, 1, 5])).round(3)
    array([0.   , 0.051, 1.97 ])
    """
    limits = np.zeros(int(count.max(initial=0)) + 1)
    limits[1:] = gammaincinv(np.arange(1, len(limits)), ERROR_RATE)
    return limits[count]


def fit_complements(
    counts: Incidence, catalog: Catalog, allowed: Allowed, config: ComplementConfig, list_length: int
) -> RelatedItems:
    """List the complements of every item: significant pairs, then items of significant types.

    A pair is scored by the lower end of its lift times `√(p_i · p_j)`, halfway between the probability, which prefers
    what everybody buys, and the lift, which prefers what nobody buys. Where an item has fewer pairs than a list has
    places, the best sellers of the types that are bought with its own type significantly often follow; their
    `n_together` is 0. Among the first places of the best sellers' lists no item may be too often: such an item has a
    price that divides all its scores, see `exposure_prices`.

    Args:
        counts: baskets, or users where there are no baskets.
        catalog: types.
        allowed: which items may complement an item.
        config: settings.
        list_length: items kept in each list.

    Returns:
        The lists.
    """
    n_items = len(counts.n_baskets)
    lists = empty_lists(n_items, list_length)
    fill = _TypeFill.of(counts, catalog, config.min_lift, list_length)
    fill_of_type = lru_cache(maxsize=None)(fill.of_type)
    low = np.where(counts.both.data >= config.min_together, lowest_count(counts.both.data), 0.0)
    for item in range(n_items):
        row = slice(counts.both.indptr[item], counts.both.indptr[item + 1])
        partners, both = counts.both.indices[row], counts.both.data[row]
        by_chance = int(counts.n_baskets[item]) * counts.n_baskets[partners].astype(np.float64) / max(counts.n_all, 1)
        score = np.where(low[row] > config.min_lift * by_chance, low[row] / np.sqrt(np.maximum(by_chance, 1e-12)), 0.0)
        listed = np.flatnonzero(score > 0)
        listed = listed[allowed(item, partners[listed])]
        best = listed[top_k(score[listed], list_length, partners[listed])]
        keep(lists, item, partners[best], score[best], both[best])
        if len(best) < list_length:
            _fill_up(lists, item, len(best), *fill_of_type(int(catalog.item_type[item])), allowed)
    prices = exposure_prices(lists, counts.n_baskets, config.max_exposure)
    return _discounted(lists, prices)


def exposure_prices(
    lists: RelatedItems, n_baskets: npt.NDArray[np.integer], max_exposure: float
) -> npt.NDArray[np.float64]:
    """Find how much the scores of each item have to fall for its exposure to be within the limit.

    The prices are those of an auction: as long as an item is among the first of too many lists, its price rises until
    it keeps only the lists in which it is ahead of the next item by the largest factor.

    Args:
        lists: the lists before the discount.
        n_baskets: integer (n_items,), how often each item was bought; the best sellers' lists count.
        max_exposure: share of these lists, in (0, 1].

    Returns:
        float64 (n_items,), natural logarithms, >= 0; 0 for items within the limit.

    Reference:
        Bertsekas (1988), The Auction Algorithm: A Distributed Relaxation Method for the Assignment Problem, Annals of
        Operations Research.
    """
    n_items = len(n_baskets)
    price = np.zeros(n_items)
    sold = np.flatnonzero(n_baskets > 0)
    best = sold[top_k(n_baskets[sold].astype(np.float64), N_BEST_SELLERS)]
    rows, score = lists.item_idx[best], lists.score[best].astype(np.float64)
    is_listed = rows != NO_ITEM
    n_lists, n_distinct = len(best), len(np.unique(rows[is_listed]))
    if not n_distinct or rows.shape[1] <= N_FIRST:
        return price
    most = max(int(max_exposure * n_lists), -(-EVEN_SHARES * N_FIRST * n_lists // n_distinct))
    log_score = np.where(is_listed, np.log(np.where(is_listed, score, 1)), -np.inf)
    for _ in range(MAX_ROUNDS):
        value = np.where(is_listed, log_score - price[rows], -np.inf)
        order = np.argsort(-value, axis=1, kind="stable")[:, : N_FIRST + 1]
        first, ahead = np.take_along_axis(rows, order, axis=1), np.take_along_axis(value, order, axis=1)
        shown = np.isfinite(ahead[:, :N_FIRST])
        item, next_best = first[:, :N_FIRST][shown], np.repeat(ahead[:, N_FIRST], shown.sum(axis=1))
        margin = ahead[:, :N_FIRST][shown] - next_best
        exposure = np.bincount(item, minlength=n_items)
        too_often = np.flatnonzero((exposure > most) & (price < np.inf))
        if not len(too_often):
            break
        for each in too_often.tolist():
            margins = np.sort(margin[item == each])[::-1]
            price[each] += min(margins[most], MAX_PRICE_RISE) + PRICE_STEP
    return price


MAX_PRICE_RISE: Final = 1.0
"""Largest rise in one round, for lists in which no other item follows."""


def _discounted(lists: RelatedItems, price: npt.NDArray[np.float64]) -> RelatedItems:
    """Divide the scores by the prices and order the lists again."""
    if not price.any():
        return lists
    score = lists.score * np.exp(-price)[lists.item_idx].astype(np.float32)
    order = np.lexsort((lists.item_idx, -score), axis=1)
    return RelatedItems(
        np.take_along_axis(lists.item_idx, order, axis=1),
        np.take_along_axis(score, order, axis=1),
        np.take_along_axis(lists.n_together, order, axis=1),
    )


def _fill_up(
    lists: RelatedItems,
    item: int,
    n_listed: int,
    candidates: npt.NDArray[np.int32],
    score: npt.NDArray[np.float64],
    allowed: Allowed,
) -> None:
    """Append candidates to a list, with scores below those before them."""
    known = np.sort(lists.item_idx[item, :n_listed])
    kept = np.flatnonzero(~is_among(candidates, known) & (candidates != item))
    kept = kept[allowed(item, candidates[kept])][: lists.item_idx.shape[1] - n_listed]
    if not len(kept):
        return
    lowest = float(lists.score[item, n_listed - 1]) if n_listed else float(score[kept[0]])
    places = slice(n_listed, n_listed + len(kept))
    lists.item_idx[item, places] = candidates[kept]
    lists.score[item, places] = score[kept] * min(1.0, lowest / float(score[kept[0]])) * (1 - 1e-6)


@dataclass(frozen=True)
class _TypeFill:
    """For each type, the best sellers of the types that are bought with it significantly often."""

    score: sparse.csr_matrix
    members: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    root_share: npt.NDArray[np.float64]
    length: int

    @classmethod
    def of(cls, counts: Incidence, catalog: Catalog, min_lift: float, length: int) -> _TypeFill:
        types, n_types = catalog.item_type, len(catalog.type_names)
        both, n_baskets = counts.types.both.tocoo(), counts.types.n_baskets
        apart = both.row != both.col
        row, column, number = both.row[apart], both.col[apart], both.data[apart].astype(np.int64)
        low, by_chance = lowest_count(number), n_baskets[row] * n_baskets[column]
        lift = low * counts.n_all / np.maximum(by_chance, 1)
        found = lift > min_lift
        score = sparse.csr_matrix((lift[found], (row[found], column[found])), shape=(n_types, n_types))
        members = np.lexsort((-counts.n_baskets, types))
        start = types[members].searchsorted(np.arange(n_types + 1))
        return cls(score, members, start, np.sqrt(counts.n_baskets), length)

    def of_type(self, type_: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
        """Return items and scores, best first; none for an unknown type."""
        if type_ < 0:
            return np.empty(0, np.int32), np.empty(0)
        row = slice(self.score.indptr[type_], self.score.indptr[type_ + 1])
        parts = [
            (self.members[self.start[other] : self.start[other + 1]][: self.length], lift)
            for other, lift in zip(self.score.indices[row].tolist(), self.score.data[row].tolist(), strict=True)
        ]
        if not parts:
            return np.empty(0, np.int32), np.empty(0)
        items = np.concatenate([members for members, _ in parts]).astype(np.int32)
        score = np.concatenate([lift * self.root_share[members] for members, lift in parts])
        best = top_k(score, 2 * self.length, items)
        best = best[score[best] > 0]
        return items[best], score[best]
