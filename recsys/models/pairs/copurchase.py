"""Co-purchase: lists of related items from shared baskets, with back-off for items in few baskets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Annotated, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from msgspec import Meta
from scipy import sparse

from recsys.core.config.ranges import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Share
from recsys.core.ids import UNKNOWN
from recsys.data.catalog import Catalog
from recsys.data.dataset import Dataset
from recsys.models.pairs.backoff import Backoff, fit_backoff
from recsys.models.pairs.basket_pairs import LineCounts, PairCounts, count_lines, count_pairs, group_baskets
from recsys.models.pairs.complements import ComplementConfig, Incidence, TypeCounts, count_types, fit_complements
from recsys.models.pairs.pair_evidence import Alike, AlikePrior, PairEvidence, weigh_alike
from recsys.models.pairs.purchase_order import DirectionConfig, ReversedTypePairs, count_follow_ups, reversed_of
from recsys.models.pairs.related_items import RelatedItems, empty_lists
from recsys.models.pairs.together_lists import TogetherLists, TogetherOrder, popularity_prior
from recsys.models.pairs.user_pairs import count_user_pairs
from recsys.models.temporal.popularity import PopularityConfig, fit_popularity

ALIKE_SHARE: Final = 0.1
"""Part of the expectation of what one user buys that goes to items with similar content, where all buy alone."""

MIN_ALONE: Final = 0.2
"""Share of purchases alone in their basket from which on content is compared: full baskets need no such prior."""

ENOUGH_BASKETS: Final = 120.0
"""Weight of an item's baskets from which on it needs no evidence by users, where all buy alone."""


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
        order: what orders the lists of `bought_together`, see `TogetherOrder`; training replaces it where another order
            is better on the shop's past.
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
    order: TogetherOrder = "probability"
    direction: DirectionConfig = field(default_factory=DirectionConfig)
    complements: ComplementConfig = field(default_factory=ComplementConfig)

    @property
    def counted(self) -> CopurchaseConfig:
        """The same settings without those that only order the lists: equal ones have equal counts."""
        return replace(self, item_shrinkage=1.0, popularity_discount=0.0, momentum_power=0.0, order="probability")


@dataclass(frozen=True)
class OrderPairCounts:
    """What is counted in orders; the counts of several groups of users can be added.

    Attributes:
        lines: purchased items.
        pairs: pairs by orders.
        types: types by orders.
        follow_ups: orders of types after those of other types, float32 CSR (n_types, n_types).
    """

    lines: LineCounts
    pairs: PairCounts
    types: TypeCounts
    follow_ups: sparse.csr_matrix

    @property
    def bought_alone(self) -> float:
        """Share of purchases that are alone in their basket."""
        return 1 - self.lines.share_in_pairs

    def is_by_basket(self, config: CopurchaseConfig) -> bool:
        """Return whether counts of the lists are of orders, else of users."""
        return self.lines.share_in_pairs >= config.min_basket_share


@dataclass(frozen=True)
class UserPairCounts:
    """Pairs of items whose orders say too little, and types unless lists count orders; counts of users can be added."""

    pairs: PairCounts
    types: TypeCounts


@dataclass(frozen=True)
class CopurchaseCounts:
    """What is counted about items bought together, before any list is made.

    Attributes:
        pairs: pairs by orders.
        users: pairs by users over time.
        types: types by orders or users.
        by_basket: whether counts of the lists are of orders, else of users.
        backoff: probabilities by type and category.
        alike: prior by content; None without it.
        reversed_pairs: pairs of types that users buy in the opposite order.
    """

    pairs: PairCounts
    users: PairCounts
    types: TypeCounts
    by_basket: bool
    backoff: Backoff
    alike: AlikePrior | None
    reversed_pairs: ReversedTypePairs

    @property
    def unit(self) -> PairCounts:
        """The pairs that counts of the lists are of."""
        return self.pairs if self.by_basket else self.users


@dataclass(frozen=True)
class CopurchaseModel:
    """Lists of related items, and the counts that explain them.

    Attributes:
        partners: most probable items in the same basket, substitutes included, `n_partners` per item. Lists of users
            are learned with these, so their order is not that of `bought_together`.
        bought_together: items in the same basket as they are served, `list_length` per item.
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

    def packed(self, catalog: Catalog) -> CopurchaseModel:
        """Return the model with its lists in fewer bytes: those of a product type have much in common.

        Items without a type are a group as well.
        """
        group, n_partners = catalog.item_type - UNKNOWN, self.partners.item_idx.shape[1]
        together = self.bought_together.packed(group)
        is_first = self.partners.equals(self.bought_together.first(n_partners))
        return replace(
            self,
            partners=RelatedItems.of(together.lists.first(n_partners)) if is_first else self.partners.packed(group),
            bought_together=together,
            complementary=self.complementary.packed(group),
        )


Veto = Callable[[int, npt.NDArray[np.int32]], npt.NDArray[np.bool_]]


def count_copurchase(
    dataset: Dataset, catalog: Catalog, config: CopurchaseConfig, now: int, alike: Alike | None = None
) -> CopurchaseCounts:
    """Count the pairs of items in orders and by users over time.

    Users count by the share of purchases that are alone in their basket: where baskets are full, they tell more.

    Args:
        dataset: the shop up to `now`.
        catalog: types and categories.
        config: settings.
        now: seconds since 1970.
        alike: returns how similar the content of two items is; None where it is not known.
    """
    orders = count_order_pairs(dataset, catalog, config, now)
    users = count_pairs_of_users(dataset, catalog, config, wanted_of_users(orders, config))
    return copurchase_counts(orders, users, catalog, config, alike)


def count_order_pairs(dataset: Dataset, catalog: Catalog, config: CopurchaseConfig, now: int) -> OrderPairCounts:
    """Count the orders of some users or of all; see `count_copurchase`."""
    baskets = group_baskets(dataset, config.max_basket)
    return OrderPairCounts(
        count_lines(dataset),
        count_pairs(baskets, now, config.decay_days),
        count_types(baskets.matrix, catalog),
        count_follow_ups(dataset, catalog, config.direction),
    )


class WantedOfUsers(NamedTuple):
    """What is counted of users over time.

    Attributes:
        items: bool (n_items,), items whose pairs are counted.
        evidence: how much one user counts relative to an order.
        types: whether types are counted too, as the lists count users.
    """

    items: npt.NDArray[np.bool_]
    evidence: float
    types: bool


def wanted_of_users(orders: OrderPairCounts, config: CopurchaseConfig) -> WantedOfUsers:
    """Return what is counted of users, given the orders of all of them; see `count_copurchase`."""
    by_basket = orders.is_by_basket(config)
    is_wanted = orders.pairs.item_weight < ENOUGH_BASKETS * orders.bought_alone
    return WantedOfUsers(is_wanted | (not by_basket), orders.bought_alone, not by_basket)


def count_pairs_of_users(
    dataset: Dataset, catalog: Catalog, config: CopurchaseConfig, wanted: WantedOfUsers
) -> UserPairCounts:
    """Count what some users or all of them bought over time; see `count_copurchase`."""
    baskets = sparse.csr_matrix((0, len(dataset.items)), dtype=np.float32)
    if wanted.types:
        baskets = group_baskets(dataset, config.max_basket, by_user=True).matrix
    pairs = count_user_pairs(dataset, config.max_basket, wanted.items, wanted.evidence)
    return UserPairCounts(pairs, count_types(baskets, catalog))


def copurchase_counts(
    orders: OrderPairCounts,
    of_users: UserPairCounts,
    catalog: Catalog,
    config: CopurchaseConfig,
    alike: Alike | None = None,
) -> CopurchaseCounts:
    """Join the counts of orders and of users; see `count_copurchase`."""
    by_basket, pairs, users = orders.is_by_basket(config), orders.pairs, of_users.pairs
    share = (pairs if by_basket else users).share
    backoff = fit_backoff(
        pairs.weight + users.weight,
        pairs.item_weight + users.item_weight,
        share,
        catalog,
        (config.type_shrinkage, config.category_shrinkage),
    )
    is_alike = alike is not None and orders.bought_alone >= MIN_ALONE
    return CopurchaseCounts(
        pairs,
        users,
        orders.types if by_basket else of_users.types,
        by_basket,
        backoff,
        weigh_alike(users, share, alike, ALIKE_SHARE) if alike and is_alike else None,
        reversed_of(orders.follow_ups, config.direction),
    )


def list_together(
    counts: CopurchaseCounts,
    momentum: npt.NDArray[np.floating],
    catalog: Catalog,
    config: CopurchaseConfig,
    items: npt.NDArray[np.integer] | None = None,
) -> RelatedItems:
    """List what is bought together with some items; see `fit_copurchase`.

    Args:
        counts: of the shop.
        momentum: (n_items,), recent rate of sales over the long-run rate.
        catalog: types.
        config: settings.
        items: rows of the items whose lists are wanted; all items if not given.

    Returns:
        Lists of all items; those of other items are empty.
    """
    evidence = PairEvidence(counts.pairs, counts.users, counts.by_basket, config.item_shrinkage, counts.alike)
    appeal = popularity_prior(
        momentum.astype(np.float64), counts.backoff.share, config.momentum_power, config.popularity_discount
    )
    lists = TogetherLists(evidence, counts.backoff, appeal, config.order, config.n_backoff)
    return lists.of(catalog, config.list_length, items)


def fit_copurchase(
    dataset: Dataset,
    catalog: Catalog,
    config: CopurchaseConfig,
    now: int,
    could_replace: Veto | None = None,
    alike: Alike | None = None,
) -> CopurchaseModel:
    """Count what is bought together and make the lists; see `copurchase_of`."""
    counts = count_copurchase(dataset, catalog, config, now, alike)
    momentum = fit_popularity(dataset, PopularityConfig(), now).weekly_momentum
    return copurchase_of(counts, momentum, catalog, config, could_replace)


def copurchase_of(
    counts: CopurchaseCounts,
    momentum: npt.NDArray[np.floating],
    catalog: Catalog,
    config: CopurchaseConfig,
    could_replace: Veto | None = None,
    *,
    bought_only: bool = False,
) -> CopurchaseModel:
    """Precompute the lists of every item.

    With `k` the weight of what contains both items and `n` the weight of what contains the first and any other, from
    broad to narrow: `P(j|cat) = (k + s₃·p_j)/(n + s₃)`, `P(j|type) = (k + s₂·P(j|cat))/(n + s₂)`, then
    `P(j|i) = (k + s₁·P(j|type))/(n + s₁)` by users over time, and the same again by baskets on top of that. An item in
    many baskets has its list from baskets, an item that is always bought alone from the other orders of its buyers.
    What one user bought is expected to be alike: part of the prior of users goes to partners by `cos³ · p_j`.

    A list of `bought_together` is ordered by `P(j|i) · m_j^γ / p_j^β`, or as `config.order` says; by popularity it is
    empty, so that the fallback of the placement serves, which says that it is one. The momentum `m_j`
    corrects for pairs being counted over months while demand changes by the week. For complements see
    `fit_complements`.

    Args:
        counts: of the whole shop.
        momentum: (n_items,), recent rate of sales over the long-run rate.
        catalog: types and groups.
        config: settings.
        could_replace: returns which of some items could replace an item of unknown type; None for none.
        bought_only: list only items that were bought together, and only for items that were bought; no complements.
            This saves time.

    Returns:
        The model; all lists are empty if nothing was bought.
    """
    n_items = len(counts.pairs.n_baskets)
    items = np.flatnonzero(counts.pairs.n_baskets) if bought_only else None
    if config.order == "popularity":
        together = empty_lists(n_items, config.list_length)
    else:
        together = list_together(counts, momentum, catalog, config, items)
    by_probability = replace(config, order="probability", list_length=min(config.n_partners, config.list_length))
    partners = (
        together if config.order == "probability" else list_together(counts, momentum, catalog, by_probability, items)
    )
    if bought_only:
        complements = empty_lists(n_items, config.list_length)
    else:
        complements = _list_complements(counts, catalog, config, could_replace)
    return CopurchaseModel(
        partners=partners.first(config.n_partners),
        bought_together=together,
        complementary=complements,
        n_baskets=counts.unit.n_baskets,
        n_all=counts.unit.n_all,
        by_basket=counts.by_basket,
        is_paired_type=np.diff(counts.backoff.type_pairs.indptr) > 0,
        reversed_pairs=counts.reversed_pairs,
    )


def _list_complements(
    counts: CopurchaseCounts, catalog: Catalog, config: CopurchaseConfig, could_replace: Veto | None
) -> RelatedItems:
    def allowed(item: int, candidates: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        backward = counts.reversed_pairs.is_reversed(item, candidates, catalog)
        return ~_replaces(item, candidates, catalog, could_replace) & ~backward

    incidence = Incidence(counts.types, counts.unit.count, counts.unit.n_baskets, counts.unit.n_all)
    return fit_complements(incidence, catalog, allowed, config.complements, config.list_length)


def _replaces(
    item: int, candidates: npt.NDArray[np.int32], catalog: Catalog, could_replace: Veto | None
) -> npt.NDArray[np.bool_]:
    same_group = (catalog.group[candidates] == catalog.group[item]) & (catalog.group[item] >= 0)
    if catalog.item_type[item] >= 0:
        return same_group | (catalog.item_type[candidates] == catalog.item_type[item])
    return same_group | could_replace(item, candidates) if could_replace else same_group
