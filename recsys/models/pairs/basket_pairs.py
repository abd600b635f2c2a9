"""Baskets as a matrix, and the weight and count of every pair of items that share one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.core.ids import UNKNOWN
from recsys.data.dataset import DAY_S, Dataset
from recsys.data.incidence import incidence


@dataclass(frozen=True)
class Baskets:
    """Baskets as rows of a matrix.

    Attributes:
        matrix: float32 CSR of ones (n_baskets, n_items).
        timestamp: int64 (n_baskets,), when the last new item came into the basket, seconds since 1970.
        user_idx: int32 (n_baskets,), row of the user of the last line, -1 for an anonymous basket.
    """

    matrix: sparse.csr_matrix
    timestamp: npt.NDArray[np.int64]
    user_idx: npt.NDArray[np.int32]


def group_baskets(dataset: Dataset, max_basket: int, *, by_user: bool = False) -> Baskets:
    """Group the target events by basket, or by user.

    Args:
        dataset: the shop.
        max_basket: larger baskets are left out, >= 2.
        by_user: take all items of a user as one basket.
    """
    bought = dataset.target_events
    if by_user:
        bought = bought.take(bought.user_idx >= 0)
    labels, row = np.unique(bought.user_idx if by_user else bought.basket_idx, return_inverse=True)
    timestamp = np.zeros(len(labels), np.int64)
    matrix = incidence(row, bought.item_idx, (len(labels), len(dataset.items)))
    line = row.astype(np.int64) * len(dataset.items) + bought.item_idx
    is_new = np.sort(np.unique(line, return_index=True)[1])
    np.maximum.at(timestamp, row[is_new], bought.timestamp[is_new])
    user_idx = np.full(len(labels), UNKNOWN, np.int32)
    user_idx[row] = bought.user_idx
    fits = np.diff(matrix.indptr) <= max_basket
    return Baskets(matrix[fits], timestamp[fits], user_idx[fits])


@dataclass(frozen=True)
class LineCounts:
    """Purchased items of baskets; those of several groups of users can be added.

    Attributes:
        n_lines: distinct pairs of basket and item.
        n_shared: those in baskets of two or more items.
    """

    n_lines: int
    n_shared: int

    @property
    def share_in_pairs(self) -> float:
        """Share of purchased items that are in baskets of two or more, in [0, 1]; 1 without purchases."""
        return self.n_shared / self.n_lines if self.n_lines else 1.0


def count_lines(dataset: Dataset) -> LineCounts:
    """Count the purchased items of some users or of all, and those in baskets of two or more."""
    bought = dataset.target_events
    line = np.unique(bought.basket_idx.astype(np.int64) * len(dataset.items) + bought.item_idx)
    basket = line // max(len(dataset.items), 1)
    size = np.bincount(basket, minlength=1)[basket]
    return LineCounts(len(line), int((size >= 2).sum()) if len(line) else 0)


@dataclass(frozen=True)
class PairCounts:
    """Weights and counts of pairs of items that share baskets; those of several groups of users can be added.

    Attributes:
        weight: float32 CSR (n_items, n_items), weight of baskets that contain both, zero on the diagonal.
        count: int32 CSR of the same sparsity, number of these baskets.
        item_weight: float64 (n_items,), weight of baskets that contain the item and another one.
        n_baskets: int32 (n_items,), number of baskets that contain the item.
        n_all: number of all baskets.
        of_item: float64 (n_items,), weight of baskets that contain the item.
        total: weight of all baskets.
    """

    weight: sparse.csr_matrix
    count: sparse.csr_matrix
    item_weight: npt.NDArray[np.float64]
    n_baskets: npt.NDArray[np.int32]
    n_all: int
    of_item: npt.NDArray[np.float64]
    total: float

    @property
    def share(self) -> npt.NDArray[np.float64]:
        """Weight of baskets that contain each item ÷ weight of all baskets, float64 (n_items,)."""
        return self.of_item / max(self.total, 1e-12)


def count_pairs(baskets: Baskets, now: int, decay_days: float) -> PairCounts:
    """Count pairs; a basket weighs `1 / (1 + age / decay_days) / log2(1 + size)`.

    Args:
        baskets: the baskets.
        now: moment from which ages count, seconds since 1970.
        decay_days: age at which the weight of a basket has fallen to one half, in days, > 0.

    Returns:
        The pairs; matrices without entries if no basket contains two items.
    """
    age_days = np.maximum(now - baskets.timestamp, 0) / DAY_S
    size = np.diff(baskets.matrix.indptr)
    basket_weight = 1 / (1 + age_days / decay_days) / np.log2(1 + np.maximum(size, 1))
    weighted = (sparse.diags_array(basket_weight.astype(np.float32)) @ baskets.matrix).tocsr()
    count = _without_diagonal((baskets.matrix.T @ baskets.matrix).tocsr())
    weight = _without_diagonal((weighted.T @ baskets.matrix).tocsr())
    return PairCounts(
        weight=weight,
        count=count.astype(np.int32),
        item_weight=np.asarray(weighted[size >= 2].sum(axis=0), np.float64).ravel(),
        n_baskets=np.asarray(baskets.matrix.sum(axis=0)).ravel().astype(np.int32),
        n_all=baskets.matrix.shape[0],
        of_item=np.asarray(weighted.sum(axis=0), np.float64).ravel(),
        total=float(basket_weight.sum()),
    )


def _without_diagonal(square: sparse.csr_matrix) -> sparse.csr_matrix:
    """Drop the diagonal and sort, so that matrices of the same sparsity have the same order of entries."""
    row = np.repeat(np.arange(square.shape[0]), np.diff(square.indptr))
    off = square.indices != row
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row[off], minlength=square.shape[0]))])
    rest = sparse.csr_matrix((square.data[off], square.indices[off], indptr), shape=square.shape)
    rest.sort_indices()
    return rest
