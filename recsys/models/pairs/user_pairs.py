"""Pairs of items that one user bought, weighted by the time between the two purchases."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.data.dataset import DAY_S, Dataset, Events
from recsys.models.pairs.basket_pairs import PairCounts

GAP_DAYS: Final = 180.0
"""Time between two purchases at which the weight of the pair has fallen to 0.71."""

BLOCK_PAIRS: Final = 10_000_000
"""Pairs that are summed at a time; bounds the memory."""


def count_user_pairs(dataset: Dataset, max_items: int, is_wanted: npt.NDArray[np.bool_], evidence: float) -> PairCounts:
    """Count the items that users bought, each at its first purchase, with every other item of the user.

    A pair weighs `e · (1 + gap / 180 days)^−½ / log2(1 + n)`, where `e` is the evidence and `n` the number of the
    user's items: a user of many items says little about any pair. The gap is the time between the two purchases; the
    age of a pair does not count, as a shop of single orders needs its pairs of many years.

    Args:
        dataset: the shop.
        max_items: users with more items are left out, >= 2.
        is_wanted: bool (n_items,), items whose pairs are counted; rows of other items are empty, with weight 0.
        evidence: how much one user counts relative to a basket, >= 0.

    Returns:
        The pairs, with users in the place of baskets.
    """
    bought = _first_purchases(dataset)
    n_users, n_items = len(dataset.users), len(dataset.items)
    size = np.bincount(bought.user_idx, minlength=n_users)
    bought = bought.take(size[bought.user_idx] <= max_items)
    user_weight = evidence / np.log2(1 + np.maximum(size, 1))
    of_item = np.bincount(bought.item_idx, user_weight[bought.user_idx], n_items)
    weight, count = _sum_pairs(bought, user_weight, is_wanted, max_items)
    total = float(user_weight[np.unique(bought.user_idx)].sum())
    return PairCounts(
        weight=weight,
        count=count,
        item_weight=np.where(is_wanted, of_item, 0.0),
        n_baskets=np.bincount(bought.item_idx, minlength=n_items).astype(np.int32),
        n_all=len(np.unique(bought.user_idx)),
        share=of_item / max(total, 1e-12),
    )


def _first_purchases(dataset: Dataset) -> Events:
    """Each user's first purchase of each item, by user and time."""
    bought = dataset.target_events
    bought = bought.take(bought.user_idx >= 0)
    line = bought.user_idx.astype(np.int64) * len(dataset.items) + bought.item_idx
    bought = bought.take(np.sort(np.unique(line, return_index=True)[1]))
    return bought.take(np.lexsort((bought.timestamp, bought.user_idx)))


def _sum_pairs(
    bought: Events, user_weight: npt.NDArray[np.float64], is_wanted: npt.NDArray[np.bool_], max_items: int
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Sum the weights and the numbers of pairs, float32 and int32 CSR of the same sparsity."""
    n_items = len(is_wanted)
    weight, count = (
        sparse.csr_matrix((n_items, n_items), dtype=np.float32),
        sparse.csr_matrix((n_items, n_items), dtype=np.int32),
    )
    blocks: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]] = []
    n_pairs = 0
    for step in range(1, max_items):
        first = np.flatnonzero(bought.user_idx[step:] == bought.user_idx[:-step])
        if not len(first):
            break
        gap = (bought.timestamp[first + step] - bought.timestamp[first]) / DAY_S
        of_pair = (user_weight[bought.user_idx[first]] / np.sqrt(1 + gap / GAP_DAYS)).astype(np.float32)
        for one, other in ((first, first + step), (first + step, first)):
            row, column = bought.item_idx[one], bought.item_idx[other]
            kept = is_wanted[row]
            blocks.append((row[kept], column[kept], of_pair[kept]))
            n_pairs += int(kept.sum())
        if n_pairs >= BLOCK_PAIRS:
            weight, count = _added(weight, count, blocks)
            blocks, n_pairs = [], 0
    return _added(weight, count, blocks) if blocks else (weight, count)


def _added(
    weight: sparse.csr_matrix,
    count: sparse.csr_matrix,
    blocks: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]],
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    row, column, of_pair = (np.concatenate(part) for part in zip(*blocks, strict=True))
    more = sparse.csr_matrix((of_pair, (row, column)), shape=weight.shape)
    number = sparse.csr_matrix((np.ones(len(row), np.int32), (row, column)), shape=weight.shape)
    weight, count = (weight + more).tocsr(), (count + number).tocsr()
    weight.sort_indices()
    count.sort_indices()
    return weight, count
