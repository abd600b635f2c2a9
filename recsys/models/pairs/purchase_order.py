"""Order in which pairs of product types are bought, such as the memory card after the camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from msgspec import Meta
from scipy import sparse

from recsys.core.config.ranges import PositiveFloat, PositiveInt
from recsys.data.catalog import Catalog
from recsys.data.dataset import DAY_S, Dataset
from recsys.data.incidence import incidence

UNKNOWN_DIRECTION = 0.5


@dataclass(frozen=True)
class DirectionConfig:
    """Settings of the veto on pairs that are bought in the other order.

    Attributes:
        window_days: days after one purchase in which another counts as its follow-up.
        max_followers: later baskets of the same user that are looked at.
        backward_share: a pair is reversed where the follow-ups in its direction are at most this share of the
            follow-ups in both directions.
        min_z: standard errors by which that share must be below one half.
        min_price_ratio: where both prices are known, the veto applies only to a candidate that costs at least this
            many times the seed; cheaper items are always allowed.
    """

    window_days: PositiveFloat = 60.0
    max_followers: PositiveInt = 8
    backward_share: Annotated[float, Meta(gt=0, lt=0.5)] = 0.3
    min_z: PositiveFloat = 3.0
    min_price_ratio: Annotated[float, Meta(ge=1)] = 2.0


@dataclass(frozen=True)
class ReversedTypePairs:
    """Pairs of types that users buy in the opposite order.

    Attributes:
        pairs: bool CSR (n_types, n_types); row = type of the seed, column = a type that is bought before it.
        min_price_ratio: see `DirectionConfig`.
    """

    pairs: sparse.csr_matrix
    min_price_ratio: float

    def is_reversed(self, seed: int, candidates: npt.NDArray[np.int32], catalog: Catalog) -> npt.NDArray[np.bool_]:
        """Find candidates that are bought before the seed, as the camera before the card, rather than after it.

        Args:
            seed: row of the item that the list is for.
            candidates: int32 (n,), rows.
            catalog: types and prices.

        Returns:
            bool (n,); all False if the seed has no type.
        """
        seed_type = catalog.item_type[seed]
        if seed_type < 0:
            return np.zeros(len(candidates), np.bool_)
        before = self.pairs.indices[self.pairs.indptr[seed_type] : self.pairs.indptr[seed_type + 1]]
        if not len(before):
            return np.zeros(len(candidates), np.bool_)
        is_before = np.zeros(self.pairs.shape[1] + 1, np.bool_)
        is_before[before] = True
        cheaper = catalog.price[candidates] < self.min_price_ratio * catalog.price[seed]
        return is_before[catalog.item_type[candidates]] & ~cheaper


def find_reversed_pairs(dataset: Dataset, catalog: Catalog, config: DirectionConfig) -> ReversedTypePairs:
    """Compare how often one type follows another with how often it precedes it.

    For every basket with type a, `f(a → b)` counts the same user's next baskets within the window that contain b. Types
    that are bought regularly follow each other equally often in both orders, whatever their frequencies. The share
    `f(a → b) ÷ (f(a → b) + f(b → a))` is therefore far from one half only for accessories and their hosts. Pairs whose
    share is significantly below one half are excluded for the seed a.

    Args:
        dataset: the shop.
        catalog: types.
        config: settings.

    Returns:
        The pairs; none if no user bought two types one after the other.
    """
    return reversed_of(count_follow_ups(dataset, catalog, config), config)


def count_follow_ups(dataset: Dataset, catalog: Catalog, config: DirectionConfig) -> sparse.csr_matrix:
    """Count `f(a → b)` for some users or for all, float32 CSR (n_types, n_types); see `find_reversed_pairs`."""
    baskets = _type_baskets(dataset, catalog)
    follows = _followers(baskets, config)
    return (baskets.types.T @ (follows @ baskets.types)).tocsr()


def reversed_of(counts: sparse.csr_matrix, config: DirectionConfig) -> ReversedTypePairs:
    """Return the reversed pairs by the counts of all users; see `find_reversed_pairs`."""
    n_types = counts.shape[0]
    both = (counts + counts.T).tocoo()
    ahead = np.asarray(counts[both.row, both.col], dtype=np.float64).ravel() if both.nnz else np.empty(0)
    share = ahead / np.maximum(both.data, 1)
    z = (UNKNOWN_DIRECTION - share) * 2 * np.sqrt(both.data)
    backward = (share <= config.backward_share) & (z >= config.min_z) & (both.row != both.col)
    pairs = sparse.csr_matrix(
        (np.ones(int(backward.sum()), np.bool_), (both.row[backward], both.col[backward])),
        shape=(n_types, n_types),
    )
    return ReversedTypePairs(pairs, config.min_price_ratio)


@dataclass(frozen=True)
class _TypeBaskets:
    """Baskets in order of user and time: their types (0/1), users and times (seconds since 1970)."""

    types: sparse.csr_matrix
    user_idx: npt.NDArray[np.int32]
    timestamp: npt.NDArray[np.int64]


def _type_baskets(dataset: Dataset, catalog: Catalog) -> _TypeBaskets:
    bought = dataset.target_events
    known = (bought.user_idx >= 0) & (catalog.item_type[bought.item_idx] >= 0)
    bought = bought.take(known)
    _, first, row = np.unique(bought.basket_idx, return_index=True, return_inverse=True)
    order = np.lexsort((bought.timestamp[first], bought.user_idx[first]))
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order))
    shape = (len(first), len(catalog.type_names))
    types = incidence(position[row], catalog.item_type[bought.item_idx], shape)
    return _TypeBaskets(types, bought.user_idx[first][order], bought.timestamp[first][order])


def _followers(baskets: _TypeBaskets, config: DirectionConfig) -> sparse.csr_matrix:
    n = len(baskets.user_idx)
    rows, columns = [], []
    for step in range(1, min(config.max_followers, max(n - 1, 0)) + 1):
        gap = baskets.timestamp[step:] - baskets.timestamp[:-step]
        linked = (baskets.user_idx[step:] == baskets.user_idx[:-step]) & (gap > 0) & (gap <= config.window_days * DAY_S)
        rows.append(np.flatnonzero(linked))
        columns.append(np.flatnonzero(linked) + step)
    if not rows:
        return sparse.csr_matrix((n, n), dtype=np.float32)
    row, column = np.concatenate(rows), np.concatenate(columns)
    return sparse.csr_matrix((np.ones(len(row), np.float32), (row, column)), shape=(n, n))
