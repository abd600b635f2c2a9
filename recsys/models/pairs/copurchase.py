"""What is bought together: item to item, from baskets, with back-off for items that few baskets hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import numpy.typing as npt
from msgspec import Meta
from scipy import sparse

from recsys.core.ranges import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Share
from recsys.core.topk import top_k
from recsys.data.catalog import Catalog
from recsys.data.dataset import DAY_S, Dataset
from recsys.models.pairs.backoff import fit_backoff
from recsys.models.pairs.purchase_order import DirectionConfig, ReversedTypePairs, find_reversed_pairs
from recsys.models.temporal.popularity import MOMENTUM_DAYS, momentum

NO_ITEM = -1


@dataclass(frozen=True)
class CopurchaseConfig:
    """Settings of the co-purchase model.

    Attributes:
        decay_days: a basket has the weight `exp(−age / decay_days) / log2(1 + size)`.
        item_shrinkage: pseudo-weight of the back-off from an item to its type.
        type_shrinkage: pseudo-weight of the back-off from a type to its category.
        category_shrinkage: pseudo-weight of the back-off from a category to all items.
        popularity_discount: exponent β of the division by `p_j^β`: 0 ranks by probability, 1 by lift.
        momentum_power: exponent γ of the factor `m_j^γ`, where `m_j` is the recent rate of sales over the long-run
            rate.
        list_length: items kept in each list.
        n_backoff: candidates that an item takes from the list of its type.
        n_partners: items per purchased item that enter a user's candidates; at most `list_length` are used.
        max_basket: items of the largest basket that counts; larger ones are left out.
        min_basket_share: share of purchases in baskets of two or more items from which on baskets are the evidence;
            below it, all purchases of one user are.
        direction: settings of the veto on pairs that are bought in the other order.
    """

    decay_days: PositiveFloat = 120.0
    item_shrinkage: PositiveFloat = 12.0
    type_shrinkage: PositiveFloat = 50.0
    category_shrinkage: PositiveFloat = 100.0
    popularity_discount: Share = 0.0
    momentum_power: NonNegativeFloat = 0.7
    list_length: PositiveInt = 100
    n_backoff: NonNegativeInt = 150
    n_partners: PositiveInt = 40
    max_basket: Annotated[int, Meta(ge=2)] = 300
    min_basket_share: Share = 0.2
    direction: DirectionConfig = field(default_factory=DirectionConfig)


@dataclass(frozen=True)
class RelatedItems:
    """Precomputed lists, best first, one row an item.

    Attributes:
        item_idx: int32 (n_items, list_length), -1 past the end of a list.
        score: float32 (n_items, list_length), 0 past the end.
        n_together: int32 (n_items, list_length), baskets that hold both.
    """

    item_idx: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]
    n_together: npt.NDArray[np.int32]

    def first(self, n: int) -> RelatedItems:
        """The same lists cut to `n` items."""
        return RelatedItems(self.item_idx[:, :n], self.score[:, :n], self.n_together[:, :n])


@dataclass(frozen=True)
class CopurchaseModel:
    """Lists of what goes with each item, and the counts that explain them.

    Attributes:
        partners: the likeliest in the same basket, substitutes too; `n_partners` an item.
        bought_together: what ends up in the same basket, substitutes too, as it is served.
        complementary: the same without what could replace the item and without the wrong direction.
        n_baskets: int32 (n_items,), baskets that hold the item.
        n_all: number of baskets.
        by_basket: whether baskets are the evidence; else all that one shopper bought.
        is_paired_type: bool (n_types,), types that shared baskets: their items' lists are filled up with what goes
            with the type, others' with what goes with the category.
        backward: pairs of types that shoppers buy in the other order.
    """

    partners: RelatedItems
    bought_together: RelatedItems
    complementary: RelatedItems
    n_baskets: npt.NDArray[np.int32]
    n_all: int
    by_basket: bool
    is_paired_type: npt.NDArray[np.bool_]
    backward: ReversedTypePairs


Veto = Callable[[int, npt.NDArray[np.int32]], npt.NDArray[np.bool_]]


def fit_copurchase(
    dataset: Dataset,
    catalog: Catalog,
    config: CopurchaseConfig,
    now: int,
    could_replace: Veto | None = None,
    *,
    of_bought_only: bool = False,
) -> CopurchaseModel:
    """Count what is taken together and precompute every item's lists.

    With `k` the weight of baskets that hold both and `n` of those that hold the first, from broad to narrow:
    `P(j|cat) = (k + s₃·p_j)/(n + s₃)`, `P(j|type) = (k + s₂·P(j|cat))/(n + s₂)`,
    `P(j|i) = (k + s₁·P(j|type))/(n + s₁)`. A list is ordered by `P(j|i) · m_j^γ / p_j^β`: pairs are counted over
    months, and what sells now is not what sold then.

    Args:
        dataset: the shop up to `now`.
        catalog: types and groups.
        config: settings.
        now: seconds since 1970.
        could_replace: says which of the given items could replace an item beyond being of its type or group.
        of_bought_only: list only what was bought together, and only for items that were bought, to save time.
    """
    baskets, by_basket = _group(dataset, config)
    pairs = _count_pairs(baskets, now, config)
    backward = find_reversed_pairs(dataset, catalog, config.direction)
    n_items = len(dataset.items)
    together, complements = _empty_lists(n_items, config), _empty_lists(n_items, config)
    shrinkage = (config.type_shrinkage, config.category_shrinkage)
    backoff = fit_backoff(pairs.weight, pairs.item_weight, pairs.total, catalog, shrinkage)
    appeal = _popularity_prior(dataset, backoff.share, now, config)
    for item_type, members in _items_by_type(catalog, pairs.item_weight):
        prior = backoff.given_type(item_type)
        partners = backoff.partners(item_type)
        shortlist = partners[top_k((prior * appeal)[partners], config.n_backoff, partners)]
        for item in members:
            if of_bought_only and not pairs.item_weight[item]:
                continue
            candidates, score, n_together = _score(item, pairs, prior, shortlist, config)
            score *= appeal[candidates]
            _keep(together, item, candidates, score, n_together)
            if of_bought_only:
                continue
            allowed = ~_replaces(item, candidates, catalog, could_replace) & ~backward.of(item, candidates, catalog)
            _keep(complements, item, candidates[allowed], score[allowed], n_together[allowed])
    return CopurchaseModel(
        partners=together.first(config.n_partners),
        bought_together=together,
        complementary=complements,
        n_baskets=pairs.n_baskets,
        n_all=baskets.matrix.shape[0],
        by_basket=by_basket,
        is_paired_type=np.diff(backoff.type_pairs.indptr) > 0,
        backward=backward,
    )


def _popularity_prior(
    dataset: Dataset, share: npt.NDArray[np.float64], now: int, config: CopurchaseConfig
) -> npt.NDArray[np.float64]:
    bought = dataset.successes
    age_days = np.maximum(now - bought.timestamp, 0) / DAY_S
    of_late = momentum(bought.item_idx, age_days, len(dataset.items), MOMENTUM_DAYS[1]).astype(np.float64)
    return of_late**config.momentum_power / np.maximum(share, 1e-9) ** config.popularity_discount


@dataclass(frozen=True)
class _Baskets:
    """Baskets as a matrix of ones (n_baskets, n_items), with the time of each (seconds)."""

    matrix: sparse.csr_matrix
    timestamp: npt.NDArray[np.int64]


def _group(dataset: Dataset, config: CopurchaseConfig) -> tuple[_Baskets, bool]:
    bought = dataset.successes
    line = bought.basket_idx.astype(np.int64) * len(dataset.items) + bought.item_idx
    bought = bought.take(np.sort(np.unique(line, return_index=True)[1]))
    size = np.bincount(bought.basket_idx, minlength=1)[bought.basket_idx]
    by_basket = not len(bought) or float((size >= 2).mean()) >= config.min_basket_share
    if not by_basket:
        bought = bought.take(bought.user_idx >= 0)
    group = bought.basket_idx if by_basket else bought.user_idx
    labels, row = np.unique(group, return_inverse=True)
    timestamp = np.zeros(len(labels), np.int64)
    np.maximum.at(timestamp, row, bought.timestamp)
    shape = (len(labels), len(dataset.items))
    matrix = sparse.csr_matrix((np.ones(len(row), np.float32), (row, bought.item_idx)), shape=shape)
    matrix.data[:] = 1
    fits = np.diff(matrix.indptr) <= config.max_basket
    return _Baskets(matrix[fits], timestamp[fits]), by_basket


@dataclass(frozen=True)
class _Pairs:
    """Pairs of items that share baskets, as CSR (n_items, n_items) with nothing on the diagonal.

    `weight` (float32) and `count` (int32) have the same sparsity; `item_weight` (float64) and `n_baskets` (int32)
    are the items' own, `total` is the weight of all baskets.
    """

    weight: sparse.csr_matrix
    count: sparse.csr_matrix
    item_weight: npt.NDArray[np.float64]
    n_baskets: npt.NDArray[np.int32]
    total: float


def _count_pairs(baskets: _Baskets, now: int, config: CopurchaseConfig) -> _Pairs:
    age_days = np.maximum(now - baskets.timestamp, 0) / DAY_S
    size = np.diff(baskets.matrix.indptr)
    basket_weight = np.exp(-age_days / config.decay_days) / np.log2(1 + np.maximum(size, 1))
    weighted = (sparse.diags_array(basket_weight.astype(np.float32)) @ baskets.matrix).tocsr()
    count = _without_diagonal((baskets.matrix.T @ baskets.matrix).tocsr())
    weight = _without_diagonal((weighted.T @ baskets.matrix).tocsr())
    return _Pairs(
        weight=weight,
        count=count.astype(np.int32),
        item_weight=np.asarray(weighted.sum(axis=0), np.float64).ravel(),
        n_baskets=np.asarray(baskets.matrix.sum(axis=0)).ravel().astype(np.int32),
        total=float(basket_weight.sum()),
    )


def _without_diagonal(square: sparse.csr_matrix) -> sparse.csr_matrix:
    """Drop the diagonal and sort, so that matrices of one sparsity stay entry for entry alike."""
    row = np.repeat(np.arange(square.shape[0]), np.diff(square.indptr))
    off = square.indices != row
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row[off], minlength=square.shape[0]))])
    rest = sparse.csr_matrix((square.data[off], square.indices[off], indptr), shape=square.shape)
    rest.sort_indices()
    return rest


def _items_by_type(
    catalog: Catalog, item_weight: npt.NDArray[np.float64]
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Each type's items; of the items of no type only those that were bought, as nothing else is known of them."""
    useful = np.flatnonzero((catalog.item_type >= 0) | (item_weight > 0))
    types = catalog.item_type[useful]
    order = np.argsort(types, kind="stable")
    starts = np.flatnonzero(np.diff(types[order], prepend=-2))
    for members in np.split(useful[order], starts[1:]):
        if len(members):
            yield int(catalog.item_type[members[0]]), members


def _score(
    item: int,
    pairs: _Pairs,
    prior: npt.NDArray[np.float64],
    shortlist: npt.NDArray[np.int32],
    config: CopurchaseConfig,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64], npt.NDArray[np.int32]]:
    """Candidates of one item with `P(j|i)` and the baskets that hold both."""
    row = slice(pairs.weight.indptr[item], pairs.weight.indptr[item + 1])
    partners = pairs.weight.indices[row]
    extra = shortlist[~_is_in_sorted(shortlist, partners) & (shortlist != item)]
    candidates = np.concatenate([partners, extra]).astype(np.int32)
    together = np.concatenate([pairs.weight.data[row], np.zeros(len(extra))])
    n_together = np.concatenate([pairs.count.data[row], np.zeros(len(extra))]).astype(np.int32)
    s = config.item_shrinkage
    score = (together + s * prior[candidates]) / (pairs.item_weight[item] + s)
    return candidates, score, n_together


def _is_in_sorted(values: npt.NDArray[np.int32], ascending: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    if not len(ascending):
        return np.zeros(len(values), np.bool_)
    place = np.minimum(ascending.searchsorted(values), len(ascending) - 1)
    return ascending[place] == values


def _replaces(
    item: int, candidates: npt.NDArray[np.int32], catalog: Catalog, could_replace: Veto | None
) -> npt.NDArray[np.bool_]:
    same_group = (catalog.group[candidates] == catalog.group[item]) & (catalog.group[item] >= 0)
    if catalog.item_type[item] >= 0:
        return same_group | (catalog.item_type[candidates] == catalog.item_type[item])
    return same_group | could_replace(item, candidates) if could_replace else same_group


def _empty_lists(n_items: int, config: CopurchaseConfig) -> RelatedItems:
    shape = (n_items, config.list_length)
    return RelatedItems(np.full(shape, NO_ITEM, np.int32), np.zeros(shape, np.float32), np.zeros(shape, np.int32))


def _keep(
    lists: RelatedItems,
    item: int,
    candidates: npt.NDArray[np.int32],
    score: npt.NDArray[np.float64],
    n_together: npt.NDArray[np.int32],
) -> None:
    positive = np.flatnonzero(score > 0)
    best = positive[top_k(score[positive], lists.item_idx.shape[1], candidates[positive])]
    lists.item_idx[item, : len(best)] = candidates[best]
    lists.score[item, : len(best)] = score[best]
    lists.n_together[item, : len(best)] = n_together[best]
