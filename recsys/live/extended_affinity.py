"""Affinity to product types over a catalog with new items and items of other types than in the bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from recsys.core.topk import top_k
from recsys.models.collaborative.affinity import FILTERED_DEPTH, AffinityModel

Scored = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]


@dataclass
class JoinedItems:
    """Items that joined a type after the bundle was trained, replaced as a whole when one joins or leaves.

    Attributes:
        by_type: for each type, rows and shares of these items, int32 and float32, best-selling first.
        type_of: the type that an item joined.
    """

    by_type: dict[int, Scored] = field(default_factory=dict)
    type_of: dict[int, int] = field(default_factory=dict)

    def move(self, row: int, type_: int, share: float) -> None:
        """Let an item join a type, with its share of the type's sales, and leave the one that it joined before."""
        before = self.type_of.pop(row, None)
        if before is not None:
            rows, shares = self.by_type[before]
            self.by_type[before] = rows[rows != row], shares[rows != row]
        if type_ >= 0:
            none: Scored = (np.empty(0, np.int32), np.empty(0, np.float32))
            rows, shares = self.by_type.get(type_, none)
            place = int(np.searchsorted(-shares, -share, side="right"))
            self.by_type[type_] = np.insert(rows, place, row), np.insert(shares, place, share)
            self.type_of[row] = type_


@dataclass(frozen=True)
class ExtendedAffinity(AffinityModel):
    """An affinity model whose items may be of other types now; shares of the other items stay as fitted.

    Attributes:
        joined: items that joined a type.
        has_left: bool (n_items,), items that are no longer of their type in the bundle; they are skipped there.
    """

    joined: JoinedItems
    has_left: npt.NDArray[np.bool_]

    @classmethod
    def over(
        cls,
        base: AffinityModel,
        item_type: npt.NDArray[np.int32],
        joined: JoinedItems,
        has_left: npt.NDArray[np.bool_],
    ) -> ExtendedAffinity:
        """Extend a model.

        Args:
            base: the model.
            item_type: int32 (n_items,), the current types.
            joined: items that joined a type.
            has_left: bool (n_items,).
        """
        return cls(base.indptr, base.item_idx, base.share, item_type, base.config, joined, has_left)

    def top_items(self, type_: int) -> npt.NDArray[np.int32]:
        """See `AffinityModel.top_items`."""
        rows, share = self.items_of(np.array([type_], np.int32), np.ones(1), None)
        return rows[top_k(share, self.config.items_per_type, rows)]

    def items_of(
        self,
        owned: npt.NDArray[np.int32],
        type_weight: npt.NDArray[np.float64],
        allowed: npt.NDArray[np.bool_] | None,
    ) -> Scored:
        """See `AffinityModel.items_of`."""
        is_fitted = owned < len(self.indptr) - 1
        rows, score = super().items_of(owned[is_fitted], type_weight[is_fitted], allowed)
        stays = ~self.has_left[rows]
        parts = [(rows[stays], score[stays])]
        by_type: Mapping[int, Scored] = self.joined.by_type
        for type_, weight in zip(owned.tolist(), type_weight.tolist(), strict=True):
            if type_ in by_type:
                more, share = by_type[type_]
                if allowed is not None:
                    more, share = more[allowed[more]], share[allowed[more]]
                best = slice(self.config.items_per_type * (1 if allowed is None else FILTERED_DEPTH))
                parts.append((more[best], (share[best] * weight).astype(np.float32)))
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
