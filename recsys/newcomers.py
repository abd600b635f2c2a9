"""Items that came after the models were fitted: what they are like, and rows for them behind those of the models."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.catalog import Catalog
from recsys.engine import Engine
from recsys.models.copurchase import RelatedItems
from recsys.models.hybrid import MIN_LENGTH, NO_ITEM, lend_factors
from recsys.topk import top_k

PLACED_AT_ONCE: Final = 64
"""New items that are compared with the whole catalogue in one product of matrices; bounds the memory."""

BEST_SELLERS: Final = 20
"""Items of a type whose lists speak for a new one of the type."""

LEAST_SHARE: Final = 1e-9

Numbers = npt.NDArray[Any]
Neighbours = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Spliced:
    """Rows of a large array that is not copied, of a few that follow it, and of some that replace its own.

    It is read as an array is: by rows, and then by columns.

    Attributes:
        base: (n, …).
        extra: (m, …), rows n to n + m.
        replaced: rows of `base` that are others now.
    """

    base: Numbers
    extra: Numbers
    replaced: dict[int, Numbers]

    @classmethod
    def array(cls, base: Numbers, extra: Numbers, replaced: dict[int, Numbers] | None = None) -> Numbers:
        """One that passes for an array; of arrays of the same type and width."""
        return cast(Numbers, cls(base, np.asarray(extra, base.dtype), replaced or {}))

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return (len(self), *self.base.shape[1:])

    def __len__(self) -> int:
        return len(self.base) + len(self.extra)

    def __getitem__(self, key: Any) -> Numbers:
        rows, *columns = key if isinstance(key, tuple) else (key,)
        if isinstance(rows, slice):
            rows = np.arange(len(self))[rows]
        found = self._rows(np.asarray(rows))
        if not columns:
            return found
        if isinstance(columns[0], slice):
            return found[..., columns[0]]
        rows, column = np.broadcast_arrays(rows, columns[0])
        return np.take_along_axis(self._rows(rows), column[..., None], axis=-1)[..., 0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Numbers:
        return np.asarray(self[:], dtype)

    def _rows(self, rows: Numbers) -> Numbers:
        n = len(self.base)
        is_extra = rows >= n
        if not is_extra.any():
            found = self.base[rows]
        else:
            found = np.empty((*rows.shape, *self.base.shape[1:]), self.base.dtype)
            found[~is_extra], found[is_extra] = self.base[rows[~is_extra]], self.extra[rows[is_extra] - n]
        if self.replaced:
            found = np.array(found)
            for place in np.ndindex(rows.shape):
                other = self.replaced.get(int(rows[place]))
                if other is not None:
                    found[place] = other
        return found


class Newcomers:
    """Vectors and lists of the new items of one engine.

    Args:
        base: the engine; never changed.
    """

    def __init__(self, base: Engine) -> None:
        self._base, self._n = base, len(base.items)
        self._content = np.zeros((0, base.content.embedding.shape[1]), np.float32)
        self._vectors = np.zeros((0, base.hybrid.vectors.shape[1]), np.float32)
        self._types = base.catalog.item_type
        self._categories = base.catalog.item_category
        self._near: dict[int, dict[int, float]] = defaultdict(dict)
        self._similar: dict[int, Neighbours] = {}
        self._length: npt.NDArray[np.float32] | None = None
        self.stale: set[int] = set()

    def place(self, table: pl.DataFrame, catalog: Catalog) -> None:
        """Say where the items of `stale` belong: what they are like, and what is like them.

        Args:
            table: the whole catalogue.
            catalog: the same as arrays.
        """
        n_more = len(table) - self._n - len(self._content)
        self._content = np.vstack([self._content, np.zeros((n_more, self._content.shape[1]), np.float32)])
        self._vectors = np.vstack([self._vectors, np.zeros((n_more, self._vectors.shape[1]), np.float32)])
        self._types, self._categories = catalog.item_type, catalog.item_category
        fresh, self.stale = np.array(sorted(self.stale), np.int64), set()
        if not len(fresh):
            return
        base = self._base
        self._content[fresh - self._n] = base.content.embed(table[fresh])
        self._vectors[fresh - self._n] = lend_factors(
            base.als.item_factors,
            base.content.embedding,
            base.popularity.n_buyers,
            self._content[fresh - self._n],
            base.config.hybrid,
        )
        changed = {row for item in fresh.tolist() for row in self._unlink(item)}
        for start in range(0, len(fresh), PLACED_AT_ONCE):
            changed |= self._link(fresh[start : start + PLACED_AT_ONCE])
        for row in changed:
            self._similar[row] = self._merged(row)

    @property
    def vectors(self) -> Numbers:
        """Hybrid vectors of all items."""
        return Spliced.array(self._base.hybrid.vectors, self._vectors)

    @property
    def own_vectors(self) -> npt.NDArray[np.float32]:
        """Hybrid vectors of the new items, float32 (n_new, n_factors)."""
        return self._vectors

    @property
    def item_factors(self) -> Numbers:
        """ALS factors of all items: none of the new ones has any."""
        return Spliced.array(self._base.als.item_factors, np.zeros_like(self._vectors))

    @property
    def expected_share(self) -> npt.NDArray[np.float32]:
        """Share of sales to be expected of each new item: the median of its type's, float32 (n_new,)."""
        share, types = self._base.popularity.share, self._types
        expected = np.zeros(len(self._vectors), np.float32)
        for type_ in np.unique(types[self._n :]).tolist():
            if type_ >= 0:
                known = share[types[: self._n] == type_]
                expected[types[self._n :] == type_] = max(float(np.median(known)) if len(known) else 0.0, LEAST_SHARE)
        return expected

    def of_type(self, values: npt.NDArray[np.float32], default: float | None = None) -> npt.NDArray[np.float32]:
        """What is known of the items of a type stands for a new one of it: their mean, else the default.

        Args:
            values: float32 (n_base, …), one entry an item of the engine.
            default: for types without items; the mean of all if not given.
        """
        types, n_new = self._types, len(self._vectors)
        means = np.empty((n_new, *values.shape[1:]), np.float32)
        if n_new:
            means[:] = (values.mean(axis=0) if len(values) else 1.0) if default is None else default
        for type_ in np.unique(types[self._n :]).tolist():
            known = types[: self._n] == type_
            if type_ >= 0 and known.any():
                means[types[self._n :] == type_] = values[known].mean(axis=0)
        return means

    def similar(self) -> tuple[Numbers, Numbers]:
        """Lists of similar items and their scores, the new items among them and with lists of their own."""
        hybrid, n_new = self._base.hybrid, len(self._vectors)
        both: list[Numbers] = []
        for column, base, nothing in ((0, hybrid.similar_idx, NO_ITEM), (1, hybrid.similar_score, 0)):
            extra = np.full((n_new, base.shape[1]), nothing, base.dtype)
            replaced = {row: lists[column] for row, lists in self._similar.items() if row < self._n}
            for row, lists in self._similar.items():
                if row >= self._n:
                    extra[row - self._n] = lists[column]
            both.append(Spliced.array(base, extra, replaced))
        return both[0], both[1]

    def related(self, lists: RelatedItems) -> RelatedItems:
        """Lists of what goes with each item; a new one's are those of its type's best sellers, taken together."""
        n_new, width = len(self._vectors), lists.item_idx.shape[1]
        idx, score = np.full((n_new, width), NO_ITEM, np.int32), np.zeros((n_new, width), np.float32)
        for label in (self._types, self._categories):
            for code in np.unique(label[self._n :]).tolist():
                members = np.flatnonzero((label[: self._n] == code) & (code >= 0))
                mine = (label[self._n :] == code) & (idx[:, 0] == NO_ITEM)
                if len(members) and mine.any():
                    idx[mine], score[mine] = self._averaged(lists, members)
        none = np.zeros((n_new, width), np.int32)
        return replace(
            lists,
            item_idx=Spliced.array(lists.item_idx, idx),
            score=Spliced.array(lists.score, score),
            n_together=Spliced.array(lists.n_together, none),
        )

    def _averaged(self, lists: RelatedItems, members: npt.NDArray[np.int64]) -> Neighbours:
        best = members[top_k(self._base.popularity.share[members], BEST_SELLERS)]
        near, score = lists.item_idx[best].ravel(), lists.score[best].ravel()
        rows, place = np.unique(near[near >= 0], return_inverse=True)
        mean = np.bincount(place, score[near >= 0], len(rows)) / len(best)
        return self._padded(rows, mean, lists.item_idx.shape[1])

    def _link(self, fresh: npt.NDArray[np.int64]) -> set[int]:
        """Find what the given new items are like; returns the rows whose lists change by it."""
        changed: set[int] = set()
        for item, likeness in zip(fresh.tolist(), self._likeness(fresh).T, strict=True):
            best = top_k(likeness, 2 * self._base.config.hybrid.n_similar)
            best = best[likeness[best] > 0]
            for row, score in zip(best.tolist(), likeness[best].tolist(), strict=True):
                self._near[row][item] = self._near[item][row] = score
            changed |= {item, *best.tolist()}
        return changed

    def _unlink(self, item: int) -> list[int]:
        """Forget what a new item was like; returns the rows whose lists change by it."""
        rows = list(self._near.pop(item, ()))
        for row in rows:
            del self._near[row][item]
        return rows

    def _likeness(self, fresh: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """How much new items are like every item, as `fit_hybrid` has it; float32 (n_items, n_fresh)."""
        base, config = self._base, self._base.config.hybrid
        if self._length is None:
            self._length = np.maximum(np.linalg.norm(base.hybrid.vectors, axis=1), MIN_LENGTH)
        place = fresh - self._n
        length = np.maximum(np.linalg.norm(self._vectors, axis=1, keepdims=True), MIN_LENGTH)
        unit = self._vectors / length
        by_taste = np.vstack([base.hybrid.vectors @ unit[place].T / self._length[:, None], unit @ unit[place].T])
        content = self._content[place].T
        by_content = np.vstack([base.content.embedding @ content, self._content @ content])
        cosine = (1 - config.content_share) * by_taste + config.content_share * by_content
        types, categories = self._types, self._categories
        same_type = (types[:, None] == types[fresh]) & (types[fresh] >= 0)
        blended = (1 - config.same_type_share) * cosine + config.same_type_share * same_type
        blended[cosine <= MIN_LENGTH] = 0
        for column, item in enumerate(fresh.tolist()):
            inside = categories == categories[item]
            if categories[item] >= 0 and inside.sum() > config.n_similar:
                blended[~inside, column] = 0
            blended[item, column] = 0
        return blended.astype(np.float32)

    def _merged(self, row: int) -> Neighbours:
        """A list of similar items with the new ones in their places."""
        hybrid, near = self._base.hybrid, self._near.get(row, {})
        rows, score = np.fromiter(near, np.int32, len(near)), np.fromiter(near.values(), np.float32, len(near))
        if row < self._n:
            rows = np.concatenate([hybrid.similar_idx[row], rows])
            score = np.concatenate([hybrid.similar_score[row], score])
        return self._padded(rows, score, hybrid.similar_idx.shape[1])

    @staticmethod
    def _padded(rows: Numbers, score: Numbers, width: int) -> Neighbours:
        best = top_k(score, width, rows)
        best = best[score[best] > 0]
        idx, kept = np.full(width, NO_ITEM, np.int32), np.zeros(width, np.float32)
        idx[: len(best)], kept[: len(best)] = rows[best], score[best]
        return idx, kept
