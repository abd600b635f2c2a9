"""Co-purchase: lists of related items from shared baskets, with back-off for items in few baskets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from recsys.core.config.ranges import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Share
from recsys.core.ids import NO_ITEM
from recsys.core.topk import is_among, top_k
from recsys.data.catalog import Catalog
from recsys.data.dataset import DAY_S, Dataset
from recsys.models.arrays import shrink
from recsys.models.pairs.backoff import fit_backoff
from recsys.models.pairs.basket_pairs import PairCounts, count_pairs, group_baskets
from recsys.models.pairs.purchase_order import DirectionConfig, ReversedTypePairs, find_reversed_pairs
from recsys.models.temporal.popularity import MOMENTUM_DAYS, momentum


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
    """Precomputed lists, one row per item, best first.

    Attributes:
        item_idx: int32 (n_items, list_length), -1 past the end of a list.
        score: float32 (n_items, list_length), 0 past the end.
        n_together: int32 (n_items, list_length), baskets that contain both items.
    """

    item_idx: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]
    n_together: npt.NDArray[np.int32]

    def first(self, n: int) -> RelatedItems:
        """Return the first `n` items of every list."""
        return RelatedItems(self.item_idx[:, :n], self.score[:, :n], self.n_together[:, :n])


@dataclass(frozen=True)
class CopurchaseModel:
    """Lists of related items, and the counts that explain them.

    Attributes:
        partners: most probable items in the same basket, substitutes included, `n_partners` per item.
        bought_together: the same as it is served, `list_length` per item.
        complementary: the same without possible replacements of the item and without reversed pairs.
        n_baskets: int32 (n_items,), baskets that contain the item.
        n_all: number of baskets.
        by_basket: whether baskets are orders; else all purchases of a user form one basket.
        is_paired_type: bool (n_types,), types that share baskets with other items. Lists of their items are filled with
            partners of the type, lists of other items with partners of the category.
        reversed_pairs: pairs of types that users buy in the opposite order.
    """

    partners: RelatedItems
    bought_together: RelatedItems
    complementary: RelatedItems
    n_baskets: npt.NDArray[np.int32]
    n_all: int
    by_basket: bool
    is_paired_type: npt.NDArray[np.bool_]
    reversed_pairs: ReversedTypePairs


Veto = Callable[[int, npt.NDArray[np.int32]], npt.NDArray[np.bool_]]


def fit_copurchase(
    dataset: Dataset,
    catalog: Catalog,
    config: CopurchaseConfig,
    now: int,
    could_replace: Veto | None = None,
    *,
    bought_only: bool = False,
) -> CopurchaseModel:
    """Count what is bought together and precompute the lists of every item.

    With `k` the weight of baskets that contain both items and `n` the weight of those that contain the first, from
    broad to narrow: `P(j|cat) = (k + s₃·p_j)/(n + s₃)`, `P(j|type) = (k + s₂·P(j|cat))/(n + s₂)`,
    `P(j|i) = (k + s₁·P(j|type))/(n + s₁)`. A list is ordered by `P(j|i) · m_j^γ / p_j^β`. The momentum `m_j` corrects
    for pairs being counted over months while demand changes by the week.

    Args:
        dataset: the shop up to `now`.
        catalog: types and groups.
        config: settings.
        now: seconds since 1970.
        could_replace: returns which of some items could replace an item of unknown type; None for none.
        bought_only: list only items that were bought together, and only for items that were bought. This saves time.

    Returns:
        The model; all lists are empty if nothing was bought.
    """
    baskets, by_basket = group_baskets(dataset, config.max_basket, config.min_basket_share)
    pairs = count_pairs(baskets, now, config.decay_days)
    reversed_pairs = find_reversed_pairs(dataset, catalog, config.direction)
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
            if bought_only and not pairs.item_weight[item]:
                continue
            candidates, score, n_together = _score(item, pairs, prior, shortlist, config)
            score *= appeal[candidates]
            _keep(together, item, candidates, score, n_together)
            if bought_only:
                continue
            allowed = ~_replaces(item, candidates, catalog, could_replace) & ~reversed_pairs.is_reversed(
                item, candidates, catalog
            )
            _keep(complements, item, candidates[allowed], score[allowed], n_together[allowed])
    return CopurchaseModel(
        partners=together.first(config.n_partners),
        bought_together=together,
        complementary=complements,
        n_baskets=pairs.n_baskets,
        n_all=baskets.matrix.shape[0],
        by_basket=by_basket,
        is_paired_type=np.diff(backoff.type_pairs.indptr) > 0,
        reversed_pairs=reversed_pairs,
    )


def _popularity_prior(
    dataset: Dataset, share: npt.NDArray[np.float64], now: int, config: CopurchaseConfig
) -> npt.NDArray[np.float64]:
    bought = dataset.target_events
    age_days = np.maximum(now - bought.timestamp, 0) / DAY_S
    of_late = momentum(bought.item_idx, age_days, len(dataset.items), MOMENTUM_DAYS[1]).astype(np.float64)
    return of_late**config.momentum_power / np.maximum(share, 1e-9) ** config.popularity_discount


def _items_by_type(
    catalog: Catalog, item_weight: npt.NDArray[np.float64]
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Yield each type with its items; of items of unknown type only those that were bought."""
    useful = np.flatnonzero((catalog.item_type >= 0) | (item_weight > 0))
    types = catalog.item_type[useful]
    order = np.argsort(types, kind="stable")
    starts = np.flatnonzero(np.diff(types[order], prepend=-2))
    for members in np.split(useful[order], starts[1:]):
        if len(members):
            yield int(catalog.item_type[members[0]]), members


def _score(
    item: int,
    pairs: PairCounts,
    prior: npt.NDArray[np.float64],
    shortlist: npt.NDArray[np.int32],
    config: CopurchaseConfig,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64], npt.NDArray[np.int32]]:
    """Return the candidates of one item with `P(j|i)` and the number of baskets that contain both."""
    row = slice(pairs.weight.indptr[item], pairs.weight.indptr[item + 1])
    partners = pairs.weight.indices[row]
    extra = shortlist[~is_among(shortlist, partners) & (shortlist != item)]
    candidates = np.concatenate([partners, extra]).astype(np.int32)
    together = np.concatenate([pairs.weight.data[row], np.zeros(len(extra))])
    n_together = np.concatenate([pairs.count.data[row], np.zeros(len(extra))]).astype(np.int32)
    score = shrink(together, pairs.item_weight[item], prior[candidates], config.item_shrinkage)
    return candidates, score, n_together


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
    top_idx = positive[top_k(score[positive], lists.item_idx.shape[1], candidates[positive])]
    lists.item_idx[item, : len(top_idx)] = candidates[top_idx]
    lists.score[item, : len(top_idx)] = score[top_idx]
    lists.n_together[item, : len(top_idx)] = n_together[top_idx]
