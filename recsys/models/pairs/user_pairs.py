"""Pairs of items that one user bought, weighted by the time between the two purchases."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.data.dataset import DAY_S, Dataset
from recsys.data.event_columns import Events
from recsys.kernels.pair_sums import Sums, sum_pairs
from recsys.kernels.scratch import positions_table
from recsys.models.pairs.basket_pairs import PairCounts

GAP_DAYS: Final = 180.0
"""Time between two purchases at which the weight of the pair has fallen to 0.71."""

BLOCK_PAIRS: Final = 4_000_000
"""Pairs of a block of items, about, before those of several users are one; bounds the memory of a thread."""


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
    weight, count = _sum_pairs(bought, user_weight, is_wanted)
    total = float(user_weight[np.unique(bought.user_idx)].sum())
    return PairCounts(
        weight=weight,
        count=count,
        item_weight=np.where(is_wanted, of_item, 0.0),
        n_baskets=np.bincount(bought.item_idx, minlength=n_items).astype(np.int32),
        n_all=len(np.unique(bought.user_idx)),
        of_item=np.asarray(of_item, np.float64),
        total=total,
    )


def _first_purchases(dataset: Dataset) -> Events:
    """Each user's first purchase of each item, by user and time."""
    bought = dataset.target_events
    bought = bought.take(bought.user_idx >= 0)
    line = bought.user_idx.astype(np.int64) * len(dataset.items) + bought.item_idx
    bought = bought.take(np.sort(np.unique(line, return_index=True)[1]))
    return bought.take(np.lexsort((bought.timestamp, bought.user_idx)))


def _sum_pairs(
    bought: Events, user_weight: npt.NDArray[np.float64], is_wanted: npt.NDArray[np.bool_]
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Sum the weights and the numbers of pairs, float32 and int32 CSR of the same sparsity, in blocks of items."""
    n_items = len(is_wanted)
    user_idx, item_idx = bought.user_idx.astype(np.int32), bought.item_idx.astype(np.int32)
    user_starts = _starts(user_idx, len(user_weight))
    lines = (_starts(item_idx, n_items), np.argsort(item_idx, kind="stable"), user_starts, user_idx, item_idx)
    n_pairs = np.bincount(item_idx, np.diff(user_starts)[user_idx] - 1, n_items)[is_wanted]
    wanted = np.flatnonzero(is_wanted).astype(np.int32)
    blocks = np.split(wanted, np.flatnonzero(np.diff(np.cumsum(n_pairs) // BLOCK_PAIRS)) + 1)

    def sum_block(rows: npt.NDArray[np.int32]) -> Sums:
        return sum_pairs(rows, *lines, bought.timestamp, user_weight, GAP_DAYS * DAY_S, positions_table(n_items))

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        parts = list(pool.map(sum_block, blocks))
    size = np.zeros(n_items + 1, np.int64)
    size[wanted + 1] = np.concatenate([np.diff(starts) for starts, *_ in parts])
    indptr = np.cumsum(size)
    found, weight, count = (np.concatenate(columns) for columns in list(zip(*parts, strict=True))[1:])
    shape = (n_items, n_items)
    return sparse.csr_matrix((weight, found, indptr), shape=shape), sparse.csr_matrix(
        (count, found, indptr), shape=shape
    )


def _starts(labels: npt.NDArray[np.int32], n: int) -> npt.NDArray[np.int64]:
    """Return where the lines of each label begin, int64 (n + 1,), and end."""
    return np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=n))]).astype(np.int64)
