"""Affinity of users to product types: the best-selling items of the types that a user buys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.config.ranges import PositiveInt
from recsys.data.catalog import Catalog
from recsys.kernels.history import EVERY, best_of_types, weigh_types

FILTERED_DEPTH: Final = 3
"""With a filter, so many times as many items of a type are candidates: other sources find fewer."""


@dataclass(frozen=True)
class AffinityConfig:
    """Settings of the type affinity.

    Attributes:
        items_per_type: candidates per product type.
        max_types: product types of a user that are looked at, the heaviest first.
    """

    items_per_type: PositiveInt = 60
    max_types: PositiveInt = 40


@dataclass(frozen=True)
class AffinityModel:
    """Items grouped by product type, in compressed rows.

    Attributes:
        indptr: int64 (n_types + 1,), the items of type `t` are `item_idx[indptr[t]:indptr[t + 1]]`.
        item_idx: int32 (n_typed,), items of each type, best-selling first.
        share: float32 (n_typed,), the item's share of its type's sales, in [0, 1], parallel to `item_idx`.
        item_type: int32 (n_items,), -1 for items of unknown type.
        config: the settings, which scoring needs.
    """

    indptr: npt.NDArray[np.int64]
    item_idx: npt.NDArray[np.int32]
    share: npt.NDArray[np.float32]
    item_type: npt.NDArray[np.int32]
    config: AffinityConfig

    def top_items(self, type_: int) -> npt.NDArray[np.int32]:
        """Return the best-selling items of a type: its candidates where no filter applies.

        Args:
            type_: row of the type, >= 0.

        Returns:
            int32 (at most items_per_type,), best-selling first; empty for a type without items.
        """
        start, stop = int(self.indptr[type_]), int(self.indptr[type_ + 1])
        return self.item_idx[start : min(stop, start + self.config.items_per_type)]

    def score(
        self,
        item_idx: npt.NDArray[np.int32],
        weight: npt.NDArray[np.float32],
        allowed: npt.NDArray[np.bool_] | None = None,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Score items of the types that a user buys: `P(type | user) · P(item | type)`.

        Args:
            item_idx: int32 (n,), the user's items.
            weight: float32 (n,), weight of each item, >= 0.
            allowed: bool (n_items,), the only items that count; None for all. The best-selling ones of these are the
                candidates of a type.

        Returns:
            Rows, int32, and scores, float32, in [0, 1]; both empty if no item with a known type has a weight above 0.
        """
        owned, type_weight = self.type_weights(item_idx, weight)
        if not len(owned):
            return np.empty(0, np.int32), np.empty(0, np.float32)
        return self.items_of(owned, type_weight, allowed)

    def type_weights(
        self, item_idx: npt.NDArray[np.int32], weight: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
        """Return the heaviest types of a user's items, int32, and `P(type | user)` of each, float64; see `score`."""
        types: tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]
        types = weigh_types(self.item_type[item_idx], weight, self.config.max_types)
        return types

    def items_of(
        self,
        owned: npt.NDArray[np.int32],
        type_weight: npt.NDArray[np.float64],
        allowed: npt.NDArray[np.bool_] | None,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Score the items of some types; see `score`."""
        found: tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]] = best_of_types(
            self.indptr,
            self.item_idx,
            self.share,
            owned,
            type_weight,
            self.config.items_per_type * (1 if allowed is None else FILTERED_DEPTH),
            EVERY if allowed is None else allowed,
        )
        return found


def fit_affinity(catalog: Catalog, share: npt.NDArray[np.float32], config: AffinityConfig) -> AffinityModel:
    """Sort the items of each type by their share of sales; items without sales come last, with score 0.

    Args:
        catalog: the product types.
        share: float32 (n_items,), decayed share of all purchases.
        config: settings.

    Returns:
        The model; it has no items if the catalog has no types.
    """
    types = catalog.item_type
    order = np.lexsort((np.arange(len(types)), -share, types))
    order = order[types[order] >= 0]
    counts = np.bincount(types[order], minlength=len(catalog.type_names))
    type_share = np.bincount(types[order], share[order], len(catalog.type_names))
    within = share[order] / np.maximum(type_share[types[order]], 1e-12)
    return AffinityModel(
        indptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        item_idx=order.astype(np.int32),
        share=within.astype(np.float32),
        item_type=types,
        config=config,
    )
