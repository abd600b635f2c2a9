"""Co-purchase: lists of related items from shared baskets, with back-off for items in few baskets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from recsys.core.config.ranges import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Share
from recsys.core.topk import top_k
from recsys.data.catalog import Catalog
from recsys.data.dataset import DAY_S, Dataset
from recsys.models.pairs.backoff import Backoff, fit_backoff
from recsys.models.pairs.basket_pairs import count_pairs, group_baskets, share_in_pairs
from recsys.models.pairs.complements import ComplementConfig, Incidence, fit_complements
from recsys.models.pairs.pair_evidence import Alike, PairEvidence, weigh_alike
from recsys.models.pairs.purchase_order import DirectionConfig, ReversedTypePairs, find_reversed_pairs
from recsys.models.pairs.related_items import RelatedItems, empty_lists, keep
from recsys.models.pairs.user_pairs import count_user_pairs
from recsys.models.temporal.popularity import MOMENTUM_DAYS, momentum

ALIKE_SHARE: Final = 0.1
"""Part of the expectation of what one user buys that goes to items with similar content, where all buy alone."""

MIN_ALONE: Final = 0.2
"""Share of purchases alone in their basket from which on content is compared: full baskets need no such prior."""

ENOUGH_BASKETS: Final = 10
"""An item whose baskets weigh this many times the pseudo-weight of a prior needs no evidence by users."""


@dataclass(frozen=True)
class CopurchaseConfig:
    """Settings of the co-purchase model.

    Attributes:
        decay_days: a basket has the weight `1 / (1 + age / decay_days) / log2(1 + size)`.
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
        min_basket_share: share of purchases in baskets of two or more items from which on complements and reasons count
            baskets; below it, they count users.
        direction: settings of the veto on pairs that are bought in the other order.
        complements: settings of the lists of complements.
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
    complements: ComplementConfig = field(default_factory=ComplementConfig)


@dataclass(frozen=True)
class CopurchaseModel:
    """Lists of related items, and the counts that explain them.

    Attributes:
        partners: most probable items in the same basket, substitutes included, `n_partners` per item.
        bought_together: the same as it is served, `list_length` per item.
        complementary: items that are bought with the item more often than chance, without possible replacements of the
            item and without reversed pairs.
        n_baskets: int32 (n_items,), baskets that contain the item.
        n_all: number of baskets.
        by_basket: whether counts are of orders; else of users, with all purchases of a user as one basket.
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
    alike: Alike | None = None,
    *,
    bought_only: bool = False,
) -> CopurchaseModel:
    """Count what is bought together and precompute the lists of every item.

    With `k` the weight of what contains both items and `n` the weight of what contains the first and any other, from
    broad to narrow: `P(j|cat) = (k + s₃·p_j)/(n + s₃)`, `P(j|type) = (k + s₂·P(j|cat))/(n + s₂)`, then
    `P(j|i) = (k + s₁·P(j|type))/(n + s₁)` by users over time, and the same again by baskets on top of that. An item in
    many baskets has its list from baskets, an item that is always bought alone from the other orders of its buyers.
    What one user bought is expected to be alike: part of the prior of users goes to partners by `cos³ · p_j`.
    Users count by the share of purchases that are alone in their basket: where baskets are full, they tell more.

    A list of `bought_together` is ordered by `P(j|i) · m_j^γ / p_j^β`. The momentum `m_j` corrects for pairs being
    counted over months while demand changes by the week. For complements see `fit_complements`.

    Args:
        dataset: the shop up to `now`.
        catalog: types and groups.
        config: settings.
        now: seconds since 1970.
        could_replace: returns which of some items could replace an item of unknown type; None for none.
        alike: returns how similar the content of two items is; None where it is not known.
        bought_only: list only items that were bought together, and only for items that were bought; no complements.
            This saves time.

    Returns:
        The model; all lists are empty if nothing was bought.
    """
    in_pairs = share_in_pairs(dataset)
    by_basket = in_pairs >= config.min_basket_share
    baskets = group_baskets(dataset, config.max_basket)
    pairs = count_pairs(baskets, now, config.decay_days)
    bought_alone = 1 - in_pairs
    is_wanted = pairs.item_weight < ENOUGH_BASKETS * config.item_shrinkage * bought_alone
    users = count_user_pairs(dataset, config.max_basket, is_wanted | (not by_basket), bought_alone)
    reversed_pairs = find_reversed_pairs(dataset, catalog, config.direction)
    unit = pairs if by_basket else users
    backoff = fit_backoff(
        pairs.weight + users.weight,
        pairs.item_weight + users.item_weight,
        unit.share,
        catalog,
        (config.type_shrinkage, config.category_shrinkage),
    )
    evidence = PairEvidence(
        pairs,
        users,
        by_basket,
        config.item_shrinkage,
        weigh_alike(users, unit.share, alike, ALIKE_SHARE) if alike and bought_alone >= MIN_ALONE else None,
    )
    together = _list_together(dataset, catalog, evidence, backoff, now, config, bought_only=bought_only)

    def allowed(item: int, candidates: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        backward = reversed_pairs.is_reversed(item, candidates, catalog)
        return ~_replaces(item, candidates, catalog, could_replace) & ~backward

    if bought_only:
        complements = empty_lists(len(dataset.items), config.list_length)
    else:
        groups = baskets if by_basket else group_baskets(dataset, config.max_basket, by_user=True)
        counts = Incidence(groups.matrix, unit.count, unit.n_baskets, unit.n_all)
        complements = fit_complements(counts, catalog, allowed, config.complements, config.list_length)
    return CopurchaseModel(
        partners=together.first(config.n_partners),
        bought_together=together,
        complementary=complements,
        n_baskets=unit.n_baskets,
        n_all=unit.n_all,
        by_basket=by_basket,
        is_paired_type=np.diff(backoff.type_pairs.indptr) > 0,
        reversed_pairs=reversed_pairs,
    )


def _list_together(
    dataset: Dataset,
    catalog: Catalog,
    evidence: PairEvidence,
    backoff: Backoff,
    now: int,
    config: CopurchaseConfig,
    *,
    bought_only: bool,
) -> RelatedItems:
    lists = empty_lists(len(dataset.items), config.list_length)
    appeal = _popularity_prior(dataset, backoff.share, now, config)
    n_bought = evidence.pairs.n_baskets
    for item_type, members in _items_by_type(catalog, n_bought):
        prior = backoff.given_type(item_type)
        partners = backoff.partners(item_type)
        shortlist = partners[top_k((prior * appeal)[partners], config.n_backoff, partners)]
        for item in members:
            if bought_only and not n_bought[item]:
                continue
            candidates, score, n_together = evidence.score(item, prior, shortlist)
            score *= appeal[candidates]
            positive = np.flatnonzero(score > 0)
            best = positive[top_k(score[positive], config.list_length, candidates[positive])]
            keep(lists, item, candidates[best], score[best], n_together[best])
    return lists


def _popularity_prior(
    dataset: Dataset, share: npt.NDArray[np.float64], now: int, config: CopurchaseConfig
) -> npt.NDArray[np.float64]:
    bought = dataset.target_events
    age_days = np.maximum(now - bought.timestamp, 0) / DAY_S
    of_late = momentum(bought.item_idx, age_days, len(dataset.items), MOMENTUM_DAYS[1]).astype(np.float64)
    return of_late**config.momentum_power / np.maximum(share, 1e-9) ** config.popularity_discount


def _items_by_type(catalog: Catalog, n_bought: npt.NDArray[np.int32]) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Yield each type with its items; of items of unknown type only those that were bought."""
    useful = np.flatnonzero((catalog.item_type >= 0) | (n_bought > 0))
    types = catalog.item_type[useful]
    order = np.argsort(types, kind="stable")
    starts = np.flatnonzero(np.diff(types[order], prepend=-2))
    for members in np.split(useful[order], starts[1:]):
        if len(members):
            yield int(catalog.item_type[members[0]]), members


def _replaces(
    item: int, candidates: npt.NDArray[np.int32], catalog: Catalog, could_replace: Veto | None
) -> npt.NDArray[np.bool_]:
    same_group = (catalog.group[candidates] == catalog.group[item]) & (catalog.group[item] >= 0)
    if catalog.item_type[item] >= 0:
        return same_group | (catalog.item_type[candidates] == catalog.item_type[item])
    return same_group | could_replace(item, candidates) if could_replace else same_group
