"""Baskets as a matrix, and the weight and count of every pair of items that share one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.data.dataset import DAY_S, Dataset
from recsys.data.incidence import incidence


@dataclass(frozen=True)
class Baskets:
    """Baskets as rows of a matrix.

    Attributes:
        matrix: float32 CSR of ones (n_baskets, n_items).
        timestamp: int64 (n_baskets,), when the last new item came into the basket, seconds since 1970.
    """

    matrix: sparse.csr_matrix
    timestamp: npt.NDArray[np.int64]


def group_baskets(dataset: Dataset, max_basket: int, min_basket_share: float) -> tuple[Baskets, bool]:
    """Group the target events by basket, or by user where hardly any basket contains two items.

    Args:
        dataset: the shop.
        max_basket: larger baskets are left out, >= 2.
        min_basket_share: share of purchases that must be in baskets of two or more items to group by basket, in [0, 1].

    Returns:
        The baskets, and whether they are grouped by basket (else by user).
    """
    bought = dataset.target_events
    line = bought.basket_idx.astype(np.int64) * len(dataset.items) + bought.item_idx
    bought = bought.take(np.sort(np.unique(line, return_index=True)[1]))
    size = np.bincount(bought.basket_idx, minlength=1)[bought.basket_idx]
    by_basket = not len(bought) or float((size >= 2).mean()) >= min_basket_share
    if not by_basket:
        bought = bought.take(bought.user_idx >= 0)
    group = bought.basket_idx if by_basket else bought.user_idx
    labels, row = np.unique(group, return_inverse=True)
    timestamp = np.zeros(len(labels), np.int64)
    np.maximum.at(timestamp, row, bought.timestamp)
    matrix = incidence(row, bought.item_idx, (len(labels), len(dataset.items)))
    fits = np.diff(matrix.indptr) <= max_basket
    return Baskets(matrix[fits], timestamp[fits]), by_basket


@dataclass(frozen=True)
class PairCounts:
    """Weights and counts of pairs of items that share baskets.

    Attributes:
        weight: float32 CSR (n_items, n_items), weight of baskets that contain both, zero on the diagonal.
        count: int32 CSR of the same sparsity, number of these baskets.
        item_weight: float64 (n_items,), weight of baskets that contain the item.
        n_baskets: int32 (n_items,), number of baskets that contain the item.
        total: weight of all baskets.
    """

    weight: sparse.csr_matrix
    count: sparse.csr_matrix
    item_weight: npt.NDArray[np.float64]
    n_baskets: npt.NDArray[np.int32]
    total: float


def count_pairs(baskets: Baskets, now: int, decay_days: float) -> PairCounts:
    """Count pairs; a basket weighs `exp(−age / decay_days) / log2(1 + size)`.

    Args:
        baskets: the baskets.
        now: moment from which ages count, seconds since 1970.
        decay_days: age at which the weight of a basket has fallen to 1/e, in days, > 0.

    Returns:
        The pairs; matrices without entries if no basket contains two items.
    """
    age_days = np.maximum(now - baskets.timestamp, 0) / DAY_S
    size = np.diff(baskets.matrix.indptr)
    basket_weight = np.exp(-age_days / decay_days) / np.log2(1 + np.maximum(size, 1))
    weighted = (sparse.diags_array(basket_weight.astype(np.float32)) @ baskets.matrix).tocsr()
    count = _without_diagonal((baskets.matrix.T @ baskets.matrix).tocsr())
    weight = _without_diagonal((weighted.T @ baskets.matrix).tocsr())
    return PairCounts(
        weight=weight,
        count=count.astype(np.int32),
        item_weight=np.asarray(weighted.sum(axis=0), np.float64).ravel(),
        n_baskets=np.asarray(baskets.matrix.sum(axis=0)).ravel().astype(np.int32),
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
