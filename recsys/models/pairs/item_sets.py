"""Item sets: two to four complements of different product types that are bought together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from recsys.core.config.ranges import PositiveInt, PositiveShare
from recsys.core.ids import NO_ITEM
from recsys.data.catalog import PATH_SEPARATOR, Catalog
from recsys.models.pairs.basket_pairs import Baskets
from recsys.models.pairs.copurchase import Veto
from recsys.models.pairs.same_trip import SameTrip
from recsys.models.pairs.set_mining import MinedSets, MiningLimits, Rows, mine_sets

MAX_SIZE: Final = 4
"""Items of the largest sets."""

MIN_SIBLING_LIFT: Final = 3.0
"""How many times as often as the habits of the same shoppers explain two items of sibling types share baskets, in a
set: peanut butter and jelly, frosting and cake mix do; two kinds of milk, or of bread, do not."""


@dataclass(frozen=True)
class ItemSetConfig:
    """Settings of the item sets.

    Attributes:
        max_size: items of the largest sets.
        min_support: fewest baskets that have all items of a set.
        min_lift: a set is listed if the lower end of a one-sided 95 % interval of its lift is above this number.
        false_share: expected share of the sets that are chance; where all baskets are independent, the probability that
            there is any set.
        per_item: sets of each size that an item keeps; others stay where another one of their items keeps them.
        n_sets: sets of each size.
    """

    max_size: Annotated[int, Meta(ge=2, le=MAX_SIZE)] = MAX_SIZE
    min_support: PositiveInt = 5
    min_lift: Annotated[float, Meta(ge=1)] = 2.0
    false_share: PositiveShare = 0.05
    per_item: PositiveInt = 50
    n_sets: PositiveInt = 100_000


@dataclass(frozen=True)
class ItemSetModel:
    """The sets of a shop, best first; compact, and without an entry per item.

    Attributes:
        item_idx: int32 (n_sets, MAX_SIZE), ascending rows of items; `NO_ITEM` past the last one.
        support: int32 (n_sets,), baskets with all items; users where nearly everybody buys one item at a time.
        lift: float32 (n_sets,), > 1, a cautious estimate of `support` over what chance would give, see
            `recsys.models.pairs.chance.cautious_lift`.
        surprise: float32 (n_sets,), > 0, its natural logarithm.
        member: int32 (n_members,), the items of all sets, ascending.
        member_set: int32 (n_members,), the set of each of them.
    """

    item_idx: Rows
    support: Rows
    lift: npt.NDArray[np.float32]
    surprise: npt.NDArray[np.float32]
    member: Rows
    member_set: Rows

    def __len__(self) -> int:
        return len(self.support)

    def with_any(self, rows: npt.NDArray[np.integer]) -> Rows:
        """Return the sets that contain any of some items, int32, best first."""
        start, end = self.member.searchsorted(rows, "left"), self.member.searchsorted(rows, "right")
        parts = [self.member_set[first:last] for first, last in zip(start.tolist(), end.tolist(), strict=True)]
        return np.unique(np.concatenate([self.member_set[:0], *parts]))


def _no_rows() -> Rows:
    return np.empty(0, np.int32)


NO_ITEM_SETS: Final = ItemSetModel(
    np.empty((0, MAX_SIZE), np.int32),
    _no_rows(),
    np.empty(0, np.float32),
    np.empty(0, np.float32),
    _no_rows(),
    _no_rows(),
)


def fit_item_sets(
    baskets: Baskets,
    catalog: Catalog,
    config: ItemSetConfig,
    could_replace: Veto | None = None,
    left_out: npt.NDArray[np.integer] | None = None,
) -> ItemSetModel:
    """Mine the sets of a shop.

    No two items of a set are of one product type, variants of one product, or similar enough to replace each other
    where a type is not known. Types of one category below the first level are siblings: their items often replace each
    other too, and are in one set only if they share baskets much more often than the habits of the same shoppers
    explain (`MIN_SIBLING_LIFT`).

    Args:
        baskets: baskets, or users where there are no baskets.
        catalog: types and groups.
        config: settings.
        could_replace: returns which of some items could replace an item of unknown type; None for none.
        left_out: rows of items that are in no set, such as postage.

    Returns:
        The sets; none where baskets have nothing in common but chance.
    """
    is_left_out = np.zeros(len(catalog.item_type), np.bool_)
    if left_out is not None:
        is_left_out[left_out] = True

    trips, parent = SameTrip.of(baskets), _categories(catalog)

    def may_join(first: Rows, second: Rows) -> npt.NDArray[np.bool_]:
        may = ~(is_left_out[first] | is_left_out[second] | _replaces(first, second, catalog, could_replace))
        siblings = np.flatnonzero(may & (parent[first] == parent[second]) & (parent[first] >= 0))
        may[siblings] = trips.lift(first[siblings], second[siblings]) >= MIN_SIBLING_LIFT
        return may

    limits = MiningLimits(
        config.max_size, config.min_support, config.min_lift, config.false_share, config.per_item, config.n_sets
    )
    return _pooled(mine_sets(baskets, may_join, limits))


def _pooled(mined: list[MinedSets]) -> ItemSetModel:
    """Return sets of all sizes in one table, those with the largest `support · surprise` first."""
    if not mined:
        return NO_ITEM_SETS
    padding = ((0, 0), (0, MAX_SIZE))
    item_idx = np.concatenate([np.pad(each.items, padding, constant_values=NO_ITEM)[:, :MAX_SIZE] for each in mined])
    support = np.concatenate([each.support for each in mined])
    lift = np.concatenate([each.cautious_lift for each in mined])
    surprise = np.log(lift)
    order = np.lexsort((*item_idx.T[::-1], -support * surprise))
    item_idx = np.ascontiguousarray(item_idx[order])
    number, column = np.nonzero(item_idx != NO_ITEM)
    member = item_idx[number, column]
    by_item = np.argsort(member, kind="stable")
    return ItemSetModel(
        item_idx,
        support[order].astype(np.int32),
        lift[order].astype(np.float32),
        surprise[order].astype(np.float32),
        member[by_item],
        number[by_item].astype(np.int32),
    )


def _categories(catalog: Catalog) -> npt.NDArray[np.int64]:
    """Return the number of the category above the type of each item, int64; -1 without one below the first level."""
    paths = [name.split(PATH_SEPARATOR)[:-1] for name in catalog.type_names]
    names = [PATH_SEPARATOR.join(path) if len(path) > 1 else None for path in paths]
    number = {name: n for n, name in enumerate(dict.fromkeys(names)) if name is not None}
    of_type = np.array([*(-1 if name is None else number[name] for name in names), -1], np.int64)
    found: npt.NDArray[np.int64] = of_type[catalog.item_type]
    return found


def _replaces(first: Rows, second: Rows, catalog: Catalog, could_replace: Veto | None) -> npt.NDArray[np.bool_]:
    """Return which of some pairs can replace each other."""
    types, group = catalog.item_type, catalog.group
    replaces: npt.NDArray[np.bool_] = (group[first] == group[second]) & (group[first] >= 0)
    is_known = (types[first] >= 0) & (types[second] >= 0)
    replaces |= is_known & (types[first] == types[second])
    if could_replace is not None:
        unclear = np.flatnonzero(~is_known & ~replaces)
        order = unclear[np.argsort(first[unclear], kind="stable")]
        for pairs in np.split(order, np.flatnonzero(np.diff(first[order])) + 1):
            if len(pairs):
                replaces[pairs] = could_replace(int(first[pairs[0]]), second[pairs])
    return replaces
