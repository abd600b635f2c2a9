"""The items that a new or changed item is compared with: a bounded number in a catalog of any size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.core.topk import top_k
from recsys.fitting.engine import Engine

Rows = npt.NDArray[np.int64]

MAX_POOL: Final = 4096
"""Items of a pool; larger ones are narrowed to the items that share the rarest features."""

MAX_POSTINGS: Final = 16_384
"""Entries of the index of features that are read for one item."""

EVERYTHING: Final = -1
"""Category of items that are compared with all others."""


class ItemPools:
    """Pools as of `recsys.models.content.similarity.pools`, kept up to date one item at a time.

    Args:
        base: the bundle's engine.
    """

    def __init__(self, base: Engine) -> None:
        self._base = base
        self._category_of: dict[int, int] = {}
        self._joined: dict[int, dict[int, None]] = defaultdict(dict)
        self._left: dict[int, set[int]] = defaultdict(set)
        self._with_feature: dict[int, dict[int, None]] = defaultdict(dict)
        self._features_of: dict[int, list[int]] = {}

    def set(self, row: int, category: int, features: sparse.csr_matrix) -> None:
        """Set the category (-1 for unknown) and the features, CSR (1, n_features), of a new or changed item."""
        for feature in self._features_of.pop(row, ()):
            self._with_feature[feature].pop(row, None)
        self._features_of[row] = features.indices.tolist()
        for feature in self._features_of[row]:
            self._with_feature[feature][row] = None
        before = self._category_of.get(row)
        if before is not None:
            self._joined[before].pop(row, None)
        if before is None and row < len(self._base.items):
            self._left[self._fixed_category(row)].add(row)
        self._category_of[row] = category
        self._joined[category][row] = None

    def groups(self, rows: Rows, n_items: int, n_similar: int) -> Iterator[tuple[Rows, Rows]]:
        """Yield groups of rows that were `set` with the rows to compare them with, ascending.

        Args:
            rows: int64 (n,).
            n_items: number of items of the catalog.
            n_similar: a category with more items has a pool of its own.
        """
        of_pool: dict[int, list[int]] = defaultdict(list)
        for row in rows.tolist():
            category = self._category_of[row]
            of_pool[category if category >= 0 and self._size(category) > n_similar else EVERYTHING].append(row)
        for category, members in of_pool.items():
            size = n_items if category == EVERYTHING else self._size(category)
            if size <= MAX_POOL:
                pool = np.arange(n_items) if category == EVERYTHING else self._members(category)
                yield np.array(members, np.int64), pool
                continue
            for row in members:
                yield np.array([row], np.int64), self._sharing_features(row)

    def _fixed_category(self, row: int) -> int:
        """Return the category of an item of the bundle; `item_category` would build it for all items."""
        catalog = self._base.catalog
        type_ = int(catalog.item_type[row])
        return int(catalog.type_category[type_]) if type_ >= 0 else EVERYTHING

    def _size(self, category: int) -> int:
        start, stop = self._bounds(category)
        return stop - start - len(self._left[category]) + len(self._joined[category])

    def _members(self, category: int) -> Rows:
        start, stop = self._bounds(category)
        fixed = self._order[start:stop]
        left = self._left[category]
        if left:
            fixed = fixed[~np.isin(fixed, list(left))]
        return np.sort(np.concatenate([fixed, np.array(list(self._joined[category]), np.int64)]))

    def _bounds(self, category: int) -> tuple[int, int]:
        starts = self._starts
        return (int(starts[category]), int(starts[category + 1])) if category + 1 < len(starts) else (0, 0)

    @cached_property
    def _order(self) -> Rows:
        return np.argsort(self._base.catalog.item_category, kind="stable")

    @cached_property
    def _starts(self) -> npt.NDArray[np.int64]:
        category = self._base.catalog.item_category
        codes = np.arange(int(category.max(initial=-1)) + 2)
        return category[self._order].searchsorted(codes).astype(np.int64)

    @cached_property
    def _postings(self) -> sparse.csc_matrix:
        """The items of each feature, CSC (n_items, n_features)."""
        return self._base.content.features.tocsc()

    def _sharing_features(self, row: int) -> Rows:
        """Return the items that share most of an item's features, the rarer the more they count."""
        postings, weight = self._postings, self._base.content.feature_weight
        ends = postings.indptr
        features = sorted(self._features_of[row], key=lambda feature: int(ends[feature + 1] - ends[feature]))
        found: list[npt.NDArray[Any]] = [np.empty(0, np.int64)]
        weights: list[npt.NDArray[Any]] = [np.empty(0, np.float32)]
        room = MAX_POSTINGS
        for feature in features:
            fixed = postings.indices[ends[feature] : ends[feature + 1]]
            rows = np.concatenate([fixed, np.array(list(self._with_feature[feature])[-room:], np.int64)])
            rows = rows[:: -(-len(rows) // room)] if len(rows) > room else rows
            found.append(rows)
            weights.append(np.full(len(rows), weight[feature]))
            room -= len(rows)
            if room <= 0:
                break
        rows, inverse = np.unique(np.concatenate(found), return_inverse=True)
        best = top_k(np.bincount(inverse, np.concatenate(weights), len(rows)).astype(np.float64), MAX_POOL)
        return np.sort(rows[best]).astype(np.int64)
