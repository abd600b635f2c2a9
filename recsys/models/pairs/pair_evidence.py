"""The probability that an item goes with another, from baskets, from users over time, and from what is expected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from recsys.kernels.pair_candidates import NOWHERE, Partners, join_partners
from recsys.models.arrays import shrink
from recsys.models.pairs.basket_pairs import PairCounts
from recsys.models.pairs.related_items import BY_USER_ONLY

ALIKE_POWER: Final = 3.0

T = TypeVar("T", bound=np.generic)

Prior = Callable[[npt.NDArray[np.int32]], npt.NDArray[np.float64]]
"""Returns the expected probability of items, float64 (n,), given their rows."""

Alike = Callable[[npt.NDArray[np.int32], npt.NDArray[np.int32]], npt.NDArray[np.float32]]
"""Returns how similar the content of the items of pairs is, float32 (n,), in [0, 1]."""


@dataclass(frozen=True)
class AlikePrior:
    """A prior by content for the partners of each item among its users' items.

    Attributes:
        probability: float64, one value per entry of the pairs by users.
        share: weight of this prior, the rest is for the prior by type, in [0, 1].
    """

    probability: npt.NDArray[np.float64]
    share: float


def weigh_alike(users: PairCounts, item_share: npt.NDArray[np.float64], alike: Alike, share: float) -> AlikePrior:
    """Spread the mean number of a user's other items over the partners of each item, by `cos³ · p_j`.

    Args:
        users: pairs by users.
        item_share: p, float64 (n_items,).
        alike: similarity of the content.
        share: weight of the prior, in [0, 1].
    """
    pairs = users.weight
    row = np.repeat(np.arange(pairs.shape[0], dtype=np.int32), np.diff(pairs.indptr))
    weight = np.maximum(alike(row, pairs.indices), 0).astype(np.float64) ** ALIKE_POWER * item_share[pairs.indices]
    of_row = np.bincount(row, weight, pairs.shape[0])
    n_others = float(pairs.sum()) / max(float(users.item_weight.sum()), 1e-12)
    return AlikePrior(weight * n_others / np.maximum(of_row, 1e-12)[row], share)


@dataclass(frozen=True)
class ScoredPairs:
    """The candidates of some items, item by item.

    Attributes:
        starts: int64 (n_items + 1,), where the candidates of each item begin.
        rows: int32 (n,), rows of the candidates, ascending for each item.
        probability: float64 (n,).
        n_together: int32 (n,), number of baskets (or users) with both, as in `RelatedItems.n_together`.
        weight: two float (n,), weight of the baskets, and of the users, with both.
        of_item: two float64 (n,), weight of the item's baskets with others, and of its users.
    """

    starts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int32]
    probability: npt.NDArray[np.float64]
    n_together: npt.NDArray[np.int32]
    weight: list[npt.NDArray[np.floating]]
    of_item: list[npt.NDArray[np.float64]]

    @property
    def shares(self) -> list[npt.NDArray[np.float64]]:
        """Share of the item's baskets, and of its users, that have the candidate, two float64 (n,), without a prior."""
        both = zip(self.weight, self.of_item, strict=True)
        return [of_pair / np.maximum(total, 1e-12) for of_pair, total in both]


@dataclass(frozen=True)
class PairEvidence:
    """What baskets and users say about pairs.

    Attributes:
        pairs: pairs by baskets.
        users: pairs by users over time.
        by_basket: whether the counts of the result are of baskets, else of users.
        shrinkage: pseudo-weight of the prior of the users, and of theirs as the prior of the baskets, > 0.
        alike: prior by content; None without it.
    """

    pairs: PairCounts
    users: PairCounts
    by_basket: bool
    shrinkage: float
    alike: AlikePrior | None = None

    def score(self, items: npt.NDArray[np.integer], prior: Prior, shortlist: npt.NDArray[np.int32]) -> ScoredPairs:
        """Estimate the probability of the candidates of some items of one type.

        Args:
            items: integer (n_items,), rows of the items.
            prior: the probability of items by the type.
            shortlist: int32, ascending, candidates beside the partners of the items.
        """
        starts, rows, *places = join_partners(items.astype(np.int32), *self._partners, shortlist)
        item = np.repeat(items, np.diff(starts))
        weight = [_at(source.weight.data, place) for source, place in zip(self._sources, places, strict=True)]
        number = [_at(source.count.data, place) for source, place in zip(self._sources, places, strict=True)]
        of_item = [source.item_weight[item] for source in self._sources]
        expected = prior(rows)
        if self.alike is not None:
            of_content = self.alike.share * _at(self.alike.probability, places[1])
            expected = expected * (1 - self.alike.share) + of_content
        by_user = shrink(weight[1], of_item[1], expected, self.shrinkage)
        return ScoredPairs(
            starts=starts,
            rows=rows,
            probability=shrink(weight[0], of_item[0], by_user, self.shrinkage),
            n_together=self._together(*number),
            weight=weight,
            of_item=of_item,
        )

    @property
    def _sources(self) -> tuple[PairCounts, PairCounts]:
        return self.pairs, self.users

    @cached_property
    def _partners(self) -> tuple[Partners, Partners]:
        return _partners_of(self.pairs), _partners_of(self.users)

    def _together(self, n_baskets: npt.NDArray[np.int32], n_users: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        if not self.by_basket:
            return n_users
        return np.where((n_baskets == 0) & (n_users > 0), np.int32(BY_USER_ONLY), n_baskets)


def _partners_of(source: PairCounts) -> Partners:
    return source.weight.indptr.astype(np.int64), source.weight.indices.astype(np.int32)


def _at(values: npt.NDArray[T], place: npt.NDArray[np.int64]) -> npt.NDArray[T]:
    """Return the value at each place, 0 where there is none."""
    found, is_known = np.zeros(len(place), values.dtype), place != NOWHERE
    found[is_known] = values[place[is_known]]
    return found
