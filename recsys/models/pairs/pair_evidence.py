"""The probability that an item goes with another, from baskets, from users over time, and from what is expected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.topk import distinct
from recsys.models.arrays import shrink
from recsys.models.pairs.basket_pairs import PairCounts
from recsys.models.pairs.related_items import BY_USER_ONLY

ALIKE_POWER: Final = 3.0

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

    def score(
        self, item: int, prior: npt.NDArray[np.float64], shortlist: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64], npt.NDArray[np.int32]]:
        """Estimate the probability of the candidates of an item.

        Args:
            item: row of the item.
            prior: float64 (n_items,), probability of each item by the type of the item.
            shortlist: int32, candidates beside the partners of the item.

        Returns:
            Rows of the candidates, int32 (n,), ascending; their probabilities, float64 (n,); the number of baskets (or
            users) that contain both, int32 (n,), as in `RelatedItems.n_together`.
        """
        in_basket, of_user = _row(self.pairs, item), _row(self.users, item)
        partners = self.pairs.weight.indices[in_basket], self.users.weight.indices[of_user]
        candidates = distinct(np.concatenate([*partners, shortlist[shortlist != item]]).astype(np.int32))
        position = [candidates.searchsorted(some) for some in partners]
        expected = prior[candidates]
        if self.alike is not None:
            expected *= 1 - self.alike.share
            expected[position[1]] += self.alike.share * self.alike.probability[of_user]
        weight = [np.zeros(len(candidates)), np.zeros(len(candidates))]
        number = [np.zeros(len(candidates), np.int32), np.zeros(len(candidates), np.int32)]
        for kind, (source, row) in enumerate(((self.pairs, in_basket), (self.users, of_user))):
            weight[kind][position[kind]] = source.weight.data[row]
            number[kind][position[kind]] = source.count.data[row]
        by_user = shrink(weight[1], self.users.item_weight[item], expected, self.shrinkage)
        score = shrink(weight[0], self.pairs.item_weight[item], by_user, self.shrinkage)
        if not self.by_basket:
            return candidates, score, number[1]
        return candidates, score, np.where((number[0] == 0) & (number[1] > 0), BY_USER_ONLY, number[0])

    def shares(
        self, item: int, candidates: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the share of the baskets and of the users of an item that contain each candidate, without a prior.

        Args:
            item: row of the item.
            candidates: int32 (n,), ascending, with all partners of the item.

        Returns:
            Two float64 (n,), in [0, 1]; 0 where the item has no basket with another one, or no user.
        """
        found = np.zeros((2, len(candidates)))
        for part, source in zip(found, (self.pairs, self.users), strict=True):
            row = _row(source, item)
            position = candidates.searchsorted(source.weight.indices[row])
            part[position] = source.weight.data[row] / max(float(source.item_weight[item]), 1e-12)
        return found[0], found[1]


def _row(pairs: PairCounts, item: int) -> slice:
    return slice(pairs.weight.indptr[item], pairs.weight.indptr[item + 1])
