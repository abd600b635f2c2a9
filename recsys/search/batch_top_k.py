"""Top-k items of many users at once: inner products in blocks, until no remaining item can be among the best.

Items are ordered by decreasing length. The k-th best score of a user so far is a threshold: only scores of the next
block that reach it are considered, and as `q·v ≤ |q|·|v|`, a user is done once no remaining item is long enough.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse
from threadpoolctl import threadpool_limits

from recsys.core.errors import DataError

USERS_PER_BLOCK: Final = 512
FIRST_ITEMS, MOST_ITEMS = 256, 1024
"""Items of the first block, which only finds thresholds, and of the largest; block sizes double."""
EMPTY: Final = np.iinfo(np.int64).min
"""Key that stands for no item, below every other."""
ROW_BITS: Final = np.int64(2**32 - 1)
LOWEST: Final = np.finfo(np.float32).min

Keys = npt.NDArray[np.int64]


def batch_top_k(
    user_vectors: npt.NDArray[np.float32],
    item_vectors: npt.NDArray[np.float32],
    k: int,
    seen: sparse.csr_matrix | None = None,
    allowed: npt.NDArray[np.bool_] | None = None,
    n_threads: int = 0,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return the items with the largest inner products for each user, best first; equal scores by row.

    The lists are exact for scores in single precision. Apart from a copy of the items and the result, the blocks bound
    the memory to a few MB per thread.

    >>> items, scores = batch_top_k(np.eye(2, dtype=np.float32), np.array([[1, 3], [2, 0]], np.float32), k=3)
    >>> items.tolist()
    [[1, 0, -1], [0, 1, -1]]

    Args:
        user_vectors: float32 (n_users, n_factors), finite.
        item_vectors: float32 (n_items, n_factors), finite.
        k: number of items per user, >= 1.
        seen: CSR (n_users, n_items); stored entries are left out of the user's list, also if their value is 0.
        allowed: bool (n_items,), the only items to be found; None for all.
        n_threads: number of threads; 0 for one per core. The lists do not depend on it.

    Returns:
        Rows and scores, int32 and float32 (n_users, k); row -1 and score -inf past the last item.

    Raises:
        DataError: if shapes do not fit each other, a vector is not finite, or `k` is below 1.
    """
    _check(user_vectors, item_vectors, k, seen, allowed)
    reach = _reach(user_vectors)
    items = ItemsByLength.of(item_vectors, allowed)
    n_users = len(user_vectors)
    keys = np.full((n_users, k), EMPTY)

    def fill(start: int) -> None:
        block = slice(start, start + USERS_PER_BLOCK)
        users = np.ascontiguousarray(user_vectors[block], np.float32)
        _scan(users, reach[block], items, None if seen is None else items.positions(seen[block]), keys[block])

    with (
        threadpool_limits(1, "blas"),
        ThreadPoolExecutor(n_threads or len(os.sched_getaffinity(0))) as threads,
    ):
        list(threads.map(fill, range(0, n_users, USERS_PER_BLOCK)))
    return _rows(keys), _scores(keys)


@dataclass(frozen=True)
class ItemsByLength:
    """Items by decreasing length, ready for the search of many blocks of users.

    Attributes:
        vectors: float32 (n, n_factors).
        row: int64 (n,), the caller's row of each.
        position: int64 (n_items,), the inverse of `row`; -1 for items that are not allowed.
        length: float64 (n + 1,), zero after the last.
    """

    vectors: npt.NDArray[np.float32]
    row: npt.NDArray[np.int64]
    position: npt.NDArray[np.int64]
    length: npt.NDArray[np.float64]

    @classmethod
    def of(cls, vectors: npt.NDArray[np.float32], allowed: npt.NDArray[np.bool_] | None) -> ItemsByLength:
        """Order items; see `batch_top_k` for the arguments."""
        length = _lengths(vectors, "item_vectors")
        row = np.argsort(-length, kind="stable")
        if allowed is not None:
            row = row[allowed[row]]
        position = np.full(len(vectors), -1)
        position[row] = np.arange(len(row))
        return cls(np.ascontiguousarray(vectors[row], np.float32), row, position, np.append(length[row], 0))

    def search(
        self, user_vectors: npt.NDArray[np.float32], k: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return the best items of one block of users, on one thread; see `batch_top_k`."""
        keys = np.full((len(user_vectors), k), EMPTY)
        _scan(np.ascontiguousarray(user_vectors, np.float32), _reach(user_vectors), self, None, keys)
        return _rows(keys), _scores(keys)

    def positions(self, seen: sparse.csr_matrix) -> sparse.csc_matrix:
        """Return the seen items of a block of users by position, CSC (n_users, n)."""
        position = self.position[seen.indices]
        user = np.repeat(np.arange(seen.shape[0]), np.diff(seen.indptr))
        known = position >= 0
        pairs = (np.ones(int(known.sum()), np.bool_), (user[known], position[known]))
        return sparse.csc_matrix(pairs, shape=(seen.shape[0], len(self.row)))


def _scan(
    users: npt.NDArray[np.float32],
    reach: npt.NDArray[np.float64],
    items: ItemsByLength,
    seen: sparse.csc_matrix | None,
    keys: Keys,
) -> None:
    """Compute the keys of a block of users, by blocks of items; `reach` is their length with a margin for rounding."""
    n_users = len(users)
    threshold = np.full(n_users, LOWEST)
    active = np.arange(n_users)
    space = np.empty(n_users * min(MOST_ITEMS, len(items.row)), np.float32)
    start, size = 0, FIRST_ITEMS
    while start < len(items.row) and len(active):
        stop = min(start + size, len(items.row))
        score = space[: len(active) * (stop - start)].reshape(len(active), stop - start)
        np.matmul(users[active], items.vectors[start:stop].T, out=score)
        if seen is not None:
            _hide(score, seen, active, start, stop)
        user, column = np.divmod(np.flatnonzero(score >= threshold[active, None]), stop - start)
        if len(user):
            found = _keys(score[user, column], items.row[start + column])
            keys[active] = _merged(keys[active], user, found)
            last = keys[active].min(axis=1)
            threshold[active] = np.where(last == EMPTY, LOWEST, _scores(last))
        active = active[reach[active] * items.length[stop] >= threshold[active]]
        start, size = stop, min(2 * size, MOST_ITEMS)
    keys[:] = np.sort(keys, axis=1)[:, ::-1]


def _hide(
    score: npt.NDArray[np.float32], seen: sparse.csc_matrix, active: npt.NDArray[np.int64], start: int, stop: int
) -> None:
    """Set the scores of seen items below all others."""
    line = np.full(seen.shape[0], -1)
    line[active] = np.arange(len(active))
    user = line[seen.indices[seen.indptr[start] : seen.indptr[stop]]]
    column = np.repeat(np.arange(stop - start), np.diff(seen.indptr[start : stop + 1]))
    is_active = user >= 0
    score[user[is_active], column[is_active]] = -np.inf


def _merged(keys: Keys, user: npt.NDArray[np.int64], found: Keys) -> Keys:
    """Return the `k` largest of each user's keys and the found ones, unordered; `user` is ascending."""
    n_found = np.bincount(user, minlength=len(keys))
    k, most = keys.shape[1], int(n_found.max())
    both = np.full((len(keys), k + most), EMPTY)
    both[:, :k] = keys
    both[user, k + np.arange(len(user)) - (np.cumsum(n_found) - n_found)[user]] = found
    both.partition(most, axis=1)
    return both[:, most:]


def _keys(score: npt.NDArray[np.float32], row: npt.NDArray[np.int64]) -> Keys:
    """Return one integer per scored item, larger for a better score and, among equal scores, for the lower row."""
    bits = (score + np.float32(0)).view(np.int32)  # -0.0 becomes 0.0
    ordered = bits ^ ((bits >> 31) & np.int32(2**31 - 1))
    return (ordered.astype(np.int64) << 32) | (row ^ ROW_BITS)


def _rows(keys: Keys) -> npt.NDArray[np.int32]:
    return np.where(keys == EMPTY, -1, (keys & ROW_BITS) ^ ROW_BITS).astype(np.int32)


def _scores(keys: Keys) -> npt.NDArray[np.float32]:
    ordered = (keys >> 32).astype(np.int32)
    score = (ordered ^ ((ordered >> 31) & np.int32(2**31 - 1))).view(np.float32)
    return np.where(keys == EMPTY, np.float32(-np.inf), score)


def _reach(user_vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the lengths of users with a margin for rounding."""
    return _lengths(user_vectors, "user_vectors") * (1 + user_vectors.shape[1] * np.finfo(np.float32).eps)


def _lengths(vectors: npt.NDArray[np.float32], name: str) -> npt.NDArray[np.float64]:
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    if not np.isfinite(length).all():
        row = int(np.flatnonzero(~np.isfinite(length))[0])
        raise DataError(f"row {row} of {name} is not finite: fit the factors again, or leave the row out")
    return length


def _check(
    user_vectors: npt.NDArray[np.float32],
    item_vectors: npt.NDArray[np.float32],
    k: int,
    seen: sparse.csr_matrix | None,
    allowed: npt.NDArray[np.bool_] | None,
) -> None:
    n_users, n_items = len(user_vectors), len(item_vectors)
    if user_vectors.ndim != 2 or item_vectors.ndim != 2 or user_vectors.shape[1] != item_vectors.shape[1]:
        shapes = f"{user_vectors.shape} and {item_vectors.shape}"
        raise DataError(f"user_vectors and item_vectors are {shapes}: give two matrices with equal numbers of factors")
    if k < 1:
        raise DataError(f"k is {k}: choose at least one item")
    if seen is not None and seen.shape != (n_users, n_items):
        raise DataError(f"seen is {seen.shape}: give one row per user and one column per item, {(n_users, n_items)}")
    if allowed is not None and (allowed.shape != (n_items,) or allowed.dtype != np.bool_):
        raise DataError(f"allowed is {allowed.dtype} {allowed.shape}: give one bool per item, ({n_items},)")
