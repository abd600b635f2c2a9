"""Lists of related items with cold items in them: those of new items, and new items in those of known ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.ids import NO_ITEM
from recsys.core.row_array import Numbers
from recsys.core.topk import top_k
from recsys.fitting.engine import Engine
from recsys.live.growing_array import GrowingArray
from recsys.live.patched_array import PatchedArray
from recsys.models.pairs.related_items import RelatedItems

N_PROXY_BEST_SELLERS: Final = 20
"""Best sellers of a type whose lists stand in for the list of a new item of the type."""

PROXY_DISCOUNT: Final = 0.5
"""Score of a new item in a list, relative to that of its proxy times their similarity."""

NO_PROXIES: Final[Mapping[int, float]] = MappingProxyType({})

Listed = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.int32]]
"""One list of related items: rows, scores, and the baskets that contain both items."""


@dataclass(frozen=True)
class ListColumn:
    """One column of lists that are computed on access."""

    lists: Callable[[int], Sequence[Numbers] | None]
    position: int

    def get(self, row: int) -> Numbers | None:
        """See `RowSource`."""
        found = self.lists(row)
        return None if found is None else found[self.position]


class ColdRelatedItems:
    """Lists of related items over one engine.

    Args:
        base: the engine; never changed.
        content: content of the new items.

    Attributes:
        catalog: the current catalog.
    """

    def __init__(self, base: Engine, content: GrowingArray[np.float32]) -> None:
        self._base, self._n, self._content = base, len(base.items), content
        self.catalog = base.catalog
        self._related: dict[tuple[str, int, int], Listed | None] = {}
        self._proxy_of: dict[int, dict[int, float]] = {}
        self._proxies: dict[int, list[int]] = {}
        self._joined: dict[tuple[str, int], Listed | None] = {}

    def set_proxies(self, proxies: Mapping[int, Mapping[int, float]]) -> None:
        """Set the most similar known items of new items, with their similarities; earlier ones are replaced."""
        for item, similar in proxies.items():
            for row in self._proxies.pop(item, ()):
                self._proxy_of[row] = {other: score for other, score in self._proxy_of[row].items() if other != item}
            self._proxies[item] = list(similar)
            for row, score in similar.items():
                self._proxy_of[row] = {**self._proxy_of.get(row, {}), item: score}
        self._joined = {}

    def lists(self, name: str, lists: RelatedItems, *, joined: bool, substitutes: bool) -> RelatedItems:
        """Return lists of related items; the list of a new item is the mean of those of its type's best sellers.

        Args:
            name: of the lists.
            lists: of the engine; the same for a name at every call.
            joined: whether new items join the lists of known items: a list that contains a proxy contains the new item.
            substitutes: whether a possible replacement of an item may be in its list.
        """
        shape = (len(self._content.values), lists.item_idx.shape[1])

        def of(row: int) -> Listed | None:
            if row < self._n:
                return self._with_new(name, lists, row, substitutes) if joined and self._proxy_of else None
            type_ = int(self.catalog.item_type[row])
            of_type = self._averaged(name, lists, 0, type_)
            if of_type is not None or type_ < 0:
                return of_type
            return self._averaged(name, lists, 1, int(self.catalog.type_category[type_]))

        return replace(
            lists,
            item_idx=PatchedArray.array(lists.item_idx, np.broadcast_to(np.int32(NO_ITEM), shape), ListColumn(of, 0)),
            score=PatchedArray.array(lists.score, np.broadcast_to(np.float32(0), shape), ListColumn(of, 1)),
            n_together=PatchedArray.array(lists.n_together, np.broadcast_to(np.int32(0), shape), ListColumn(of, 2)),
        )

    def _with_new(self, name: str, lists: RelatedItems, row: int, substitutes: bool) -> Listed | None:
        """Return the list of a known item with new items in it, None if no new item belongs there."""
        key, joined = (name, row), self._joined
        if key not in joined:
            joined[key] = self._find_new(lists, row, substitutes)
        return joined[key]

    def _find_new(self, lists: RelatedItems, row: int, substitutes: bool) -> Listed | None:
        near, score = lists.item_idx[row], lists.score[row]
        best: dict[int, float] = {}
        for partner, partner_score in zip(near.tolist(), score.tolist(), strict=True):
            for item, similarity in self._proxy_of.get(partner, NO_PROXIES).items():
                best[item] = max(best.get(item, 0.0), PROXY_DISCOUNT * similarity * partner_score)
        if not substitutes:
            best = {item: value for item, value in best.items() if not self._could_replace(item, row)}
        if not best:
            return None
        more, more_scores = np.array(list(best), np.int32), np.array(list(best.values()), np.float32)
        rows, n_together = np.concatenate([near, more]), np.zeros(len(more), np.int32)
        counts = np.concatenate([lists.n_together[row], n_together])
        return best_of(rows, np.concatenate([score, more_scores]), counts, len(near))

    def _could_replace(self, item: int, row: int) -> bool:
        """Return whether a new item could replace a known one: by type, or by content if one has no type."""
        types = self.catalog.item_type[[item, row]]
        if (types >= 0).all():
            return bool(types[0] == types[1])
        cosine = float(self._content.values[item - self._n] @ self._base.content.embedding[row])
        return cosine >= self._base.config.replaceable_cosine

    def _averaged(self, name: str, lists: RelatedItems, level: int, code: int) -> Listed | None:
        """Return the mean list of the best sellers of a type (level 0) or category (level 1), None without any."""
        key = (name, level, code)
        if key not in self._related:
            catalog = self._base.catalog
            labels = (catalog.item_type, catalog.item_category)[level]
            members = np.flatnonzero(labels == code) if code >= 0 else np.empty(0, np.int64)
            best = members[top_k(self._base.popularity.share[members], N_PROXY_BEST_SELLERS)]
            near, score = lists.item_idx[best].ravel(), lists.score[best].ravel()
            rows, position = np.unique(near[near >= 0], return_inverse=True)
            mean = np.bincount(position, score[near >= 0], len(rows)) / max(len(best), 1)
            none = np.zeros(len(rows), np.int32)
            self._related[key] = best_of(rows, mean, none, lists.item_idx.shape[1]) if len(best) else None
        return self._related[key]


def best_of(rows: Numbers, score: Numbers, n_together: Numbers, width: int) -> Listed:
    """Return the best rows as a list of full width, with their shared baskets."""
    best = top_k(score, width, rows)
    best = best[score[best] > 0]
    idx, kept, counts = np.full(width, NO_ITEM, np.int32), np.zeros(width, np.float32), np.zeros(width, np.int32)
    idx[: len(best)], kept[: len(best)], counts[: len(best)] = rows[best], score[best], n_together[best]
    return idx, kept, counts
