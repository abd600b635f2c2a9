"""Whether two items are bought on the same trip, or only by the same shoppers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.data.incidence import incidence
from recsys.models.pairs.basket_pairs import Baskets

Rows = npt.NDArray[np.int32]


@dataclass(frozen=True)
class SameTrip:
    """The baskets of shoppers who have several.

    Attributes:
        by_item: float32 CSR of ones (n_items, n_baskets).
        of_user: float32 CSR (n_items, n_users), baskets of each shopper with the item.
        weight: float64 (n_users,), `Σ_b |b|² / (Σ_b |b|)²` over the shopper's baskets.
    """

    by_item: sparse.csr_matrix
    of_user: sparse.csr_matrix
    weight: npt.NDArray[np.float64]

    @classmethod
    def of(cls, baskets: Baskets) -> SameTrip:
        """Read the baskets of several items, of shoppers who have two of them or more."""
        size, user = np.diff(baskets.matrix.indptr).astype(np.float64), baskets.user_idx
        kept = np.flatnonzero((user >= 0) & (size >= 2))
        kept = kept[np.bincount(user[kept], minlength=1)[user[kept]] >= 2]
        matrix, size = baskets.matrix[kept], size[kept]
        user = np.unique(user[kept], return_inverse=True)[1].astype(np.int32)
        n_users = int(user.max(initial=-1)) + 1
        total, squares = np.bincount(user, size, n_users), np.bincount(user, size**2, n_users)
        of_user = incidence(user, np.arange(len(user)), (n_users, len(user))) @ matrix
        return cls(matrix.T.tocsr(), of_user.T.tocsr(), squares / np.maximum(total, 1) ** 2)

    def lift(self, first: Rows, second: Rows) -> npt.NDArray[np.float64]:
        """Return how much more often pairs share a basket than the habits of the same shoppers explain.

        If a shopper's `n_a` and `n_b` purchases of both fell into the shopper's baskets by their sizes alone,
        `Σ_u n_ua · n_ub · Σ_b |b|² / (Σ_b |b|)²` baskets would have both. The lift is the number that has both, over
        this number. Two kinds of milk that a household drinks both are in one basket about as often as in different
        ones; peanut butter and jelly are in one.

        Args:
            first: int32 (n_pairs,), rows of items.
            second: int32 (n_pairs,).

        Returns:
            float64 (n_pairs,); infinite where no shopper with several baskets bought both.
        """
        both = np.asarray(self.by_item[first].multiply(self.by_item[second]).sum(axis=1)).ravel()
        expected = np.asarray(self.of_user[first].multiply(self.of_user[second]) @ self.weight).ravel()
        return np.divide(both, expected, out=np.full(len(first), np.inf), where=expected > 0)
