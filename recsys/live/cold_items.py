"""Cold items, which the models have not seen: their content, their vectors and their rows in every list.

Known items whose content has changed, such as their tags, get new similar items too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from recsys.core.ids import NO_ITEM, UNKNOWN
from recsys.core.row_array import Numbers
from recsys.core.topk import top_k
from recsys.data.catalog import Catalog
from recsys.fitting.engine import Engine
from recsys.live.cold_related_items import ColdRelatedItems, ListColumn, best_of
from recsys.live.growing_array import GrowingArray
from recsys.live.item_pools import MAX_POOL, ItemPools
from recsys.live.patched_array import PatchedArray
from recsys.models.content.hybrid import impute_factors
from recsys.models.content.similarity import Similarity, reweighted

CHUNK_SIZE: Final = 64
"""New items per matrix product with a part of the catalog; bounds the memory."""

N_PROXY_ITEMS: Final = 5
"""Most similar known items of a new item: their related items count as related to the new item."""

NO_NEIGHBORS: Final[Mapping[int, float]] = MappingProxyType({})

Neighbours = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class ColdContent:
    """What the content of one new or changed item gives, computed before any of it is stored.

    Attributes:
        row: the item.
        features: CSR (1, n_features), weighted.
        content: float32 (n_dimensions,).
        vector: float32 (n_factors,); zeros for a known item, which keeps its own.
        near: similar items with their scores.
        listed_in: items whose lists the item joins, with its scores there.
        proxies: the most similar known items of a new item, with their similarities.
    """

    row: int
    features: sparse.csr_matrix
    content: npt.NDArray[np.float32]
    vector: npt.NDArray[np.float32]
    near: dict[int, float]
    listed_in: dict[int, float]
    proxies: dict[int, float]


class ColdItems:
    """Vectors and lists of the cold items of one engine.

    One thread changes it; others may read meanwhile, as values are replaced and not altered.

    Args:
        base: the engine; never changed.

    Attributes:
        stale: rows whose content has changed and waits to be computed.
        related_items: lists of related items with cold items in them.
    """

    def __init__(self, base: Engine) -> None:
        self._base, self._n = base, len(base.items)
        self._catalog = base.catalog
        self._content = GrowingArray(np.zeros((0, base.content.embedding.shape[1]), np.float32), 0)
        self._vectors = GrowingArray(np.zeros((0, base.hybrid.vectors.shape[1]), np.float32), 0)
        self._is_moved = GrowingArray(np.zeros(self._n, np.bool_), False)
        self._n_moved = 0
        self._pools = ItemPools(base)
        self.related_items = ColdRelatedItems(base, self._content)
        self._features: dict[int, sparse.csr_matrix] = {}
        self._near: dict[int, dict[int, float]] = {}
        self._listed_in: dict[int, set[int]] = defaultdict(set)
        self._similar: dict[int, tuple[Mapping[int, float], int, Neighbours]] = {}
        self.stale: set[int] = set()

    @property
    def is_empty(self) -> bool:
        """Whether no item's content is stored."""
        return not self._features

    def grow(self, catalog: Catalog) -> None:
        """Give the items of a catalog rows; new ones have no content and no lists until these are stored."""
        self._catalog = catalog
        self.related_items.catalog = catalog
        n_items = len(catalog.item_type)
        for array, n in ((self._content, n_items - self._n), (self._vectors, n_items - self._n)):
            array.grow(n)
        self._is_moved.grow(n_items)

    def compute(self, rows: npt.NDArray[np.int64], items: pl.DataFrame) -> list[ColdContent]:
        """Compute the content, the vectors and the similar items of some items; only the pools are changed.

        Args:
            rows: int64 (n,), ascending; all have been given by `grow`.
            items: their rows of the items table.
        """
        if not len(rows):
            return []
        base, catalog = self._base, self._catalog
        encoded = base.content.encode(items)
        features = reweighted(encoded, base.hybrid.feature_weights.weight)
        content = base.content.project(encoded)
        place = {row: n for n, row in enumerate(rows.tolist())}
        fresh = {row: features[n : n + 1] for row, n in place.items()}
        for row, type_ in zip(rows.tolist(), catalog.item_type[rows].tolist(), strict=True):
            self._pools.set(row, int(catalog.type_category[type_]) if type_ >= 0 else UNKNOWN, fresh[row])
        found: list[ColdContent] = []
        for group, pool in self._pools.groups(rows, len(catalog.item_type), base.config.hybrid.n_similar):
            for start in range(0, len(group), CHUNK_SIZE):
                some = group[start : start + CHUNK_SIZE]
                at = np.array([place[row] for row in some.tolist()])
                found += self._linked(some, pool, features[at], content[at], fresh)
        return found

    def link(self, found: Sequence[ColdContent]) -> None:
        """Store the lists that `compute` returned; others may read meanwhile."""
        for each in found:
            self._unlink(each.row)
            self._features[each.row] = each.features
        for each in found:
            self._near[each.row] = {**self._near.get(each.row, {}), **each.near}
            self._similar.pop(each.row, None)
            for row in each.near:
                self._listed_in[row].add(each.row)
            for row, score in each.listed_in.items():
                self._list_in(row, each.row, score)
        self.related_items.set_proxies({each.row: each.proxies for each in found})

    def place(self, found: Sequence[ColdContent]) -> None:
        """Store the content and the vectors that `compute` returned; not while `grow` runs."""
        for each in found:
            if each.row >= self._n:
                self._content[each.row - self._n] = each.content
                self._vectors[each.row - self._n] = each.vector
            else:
                self._is_moved[each.row] = True
                self._n_moved += 1
        if any(each.row < self._n for each in found):
            self._similar = {}

    @property
    def own_vectors(self) -> npt.NDArray[np.float32]:
        """Hybrid vectors of the new items, float32 (n_new, n_factors)."""
        return self._vectors.values

    @property
    def vectors(self) -> Numbers:
        """Hybrid vectors of all items."""
        return PatchedArray.array(self._base.hybrid.vectors, self._vectors.values)

    @property
    def item_factors(self) -> Numbers:
        """ALS factors of all items, zero for new items."""
        none = np.broadcast_to(np.float32(0), self._vectors.values.shape)
        return PatchedArray.array(self._base.als.item_factors, none)

    def similar(self) -> tuple[Numbers, Numbers]:
        """Return the lists of similar items and their scores, with new items in them and lists of new items."""
        hybrid = self._base.hybrid
        shape = (len(self._vectors.values), hybrid.similar_idx.shape[1])
        idx = PatchedArray.array(
            hybrid.similar_idx, np.broadcast_to(np.int32(NO_ITEM), shape), ListColumn(self._list, 0)
        )
        none = np.broadcast_to(np.float32(0), shape)
        return idx, PatchedArray.array(hybrid.similar_score, none, ListColumn(self._list, 1))

    def _list(self, row: int) -> Neighbours | None:
        """Return a list of similar items with new items in it, None if it is as in the bundle."""
        near = self._near.get(row, NO_NEIGHBORS)
        hybrid, is_fitted = self._base.hybrid, row < self._n and not self._is_moved.values[row]
        if is_fitted and not near:
            known = hybrid.similar_idx[row]
            if not self._n_moved or not self._is_moved.values[known[known >= 0]].any():
                return None
        kept, version = self._similar.get(row), self._n_moved
        if kept is None or kept[0] is not near or kept[1] != version:
            rows, score = np.fromiter(near, np.int32, len(near)), np.fromiter(near.values(), np.float32, len(near))
            if is_fitted:
                known, known_score = hybrid.similar_idx[row], hybrid.similar_score[row]
                stays = (known < 0) | ~self._is_moved.values[known]
                rows, score = np.concatenate([known[stays], rows]), np.concatenate([known_score[stays], score])
            # Another thread may store more meanwhile: what the list was made from is kept with it.
            kept = self._similar[row] = (near, version, _padded(rows, score, hybrid.similar_idx.shape[1]))
        return kept[2]

    def _unlink(self, item: int) -> None:
        """Remove the list of an item, and the item from the lists of others."""
        for listed in self._near.pop(item, ()):
            self._listed_in[listed].discard(item)
        for row in self._listed_in.pop(item, ()):
            self._near[row] = {other: score for other, score in self._near[row].items() if other != item}
            self._similar.pop(row, None)
        self._similar.pop(item, None)

    def _linked(
        self,
        some: npt.NDArray[np.int64],
        pool: npt.NDArray[np.int64],
        features: sparse.csr_matrix,
        content: npt.NDArray[np.float32],
        fresh: Mapping[int, sparse.csr_matrix],
    ) -> Iterator[ColdContent]:
        """Find the similar items of items in a pool, and the lists that they join, as `list_similar` does."""
        vectors = self._imputed(pool, content)
        pool, forward, backward = self._scores(some, pool, features, fresh)
        n_best = 2 * self._base.config.hybrid.n_similar
        for n, row in enumerate(some.tolist()):
            scores, back = forward[n], backward[n]
            best, joined = top_k(scores, n_best), top_k(back, n_best)
            best, joined = (
                best[(scores[best] > 0) & (pool[best] != row)],
                joined[(back[joined] > 0) & (pool[joined] != row)],
            )
            known = best[pool[best] < self._n][: N_PROXY_ITEMS if row >= self._n else 0]
            yield ColdContent(
                row,
                features[n : n + 1],
                content[n],
                vectors[n],
                near=_scored(pool[best], scores[best]),
                listed_in=_scored(pool[joined], back[joined]),
                proxies=_scored(pool[known], scores[known]),
            )

    def _imputed(self, pool: npt.NDArray[np.int64], content: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Impute vectors from the known items of a pool, or from all of them where the catalog is small."""
        base = self._base
        factors, embedding, n_buyers = base.als.item_factors, base.content.embedding, base.popularity.n_buyers
        if self._n > MAX_POOL:
            rows = pool[pool < self._n]
            factors, embedding, n_buyers = factors[rows], embedding[rows], n_buyers[rows]
        return impute_factors(factors, embedding, n_buyers, content, base.config.hybrid)

    def _list_in(self, row: int, item: int, score: float) -> None:
        """Put an item into the list of another."""
        self._near[row] = {**self._near.get(row, {}), item: score}
        self._listed_in[item].add(row)
        self._similar.pop(row, None)

    def _scores(
        self,
        some: npt.NDArray[np.int64],
        pool: npt.NDArray[np.int64],
        features: sparse.csr_matrix,
        fresh: Mapping[int, sparse.csr_matrix],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Score the items of a pool for the lists of new items, and new items for the lists of the pool.

        Args:
            some: int64 (m,), the items.
            pool: int64 (n,), ascending.
            features: CSR (m, n_features), their features.
            fresh: features that are not stored yet.

        Returns:
            The pool, reordered, and both scores, float32 (m, n). Buyers in common with a changed item count
            again after the next training.
        """
        similarity, n, types = self._similarity, self._n, self._catalog.item_type
        is_changed = self._is_moved.values[pool] | np.isin(pool, list(fresh))
        is_as_fitted = (pool < n) & ~is_changed
        fitted, others = pool[is_as_fitted], pool[~is_as_fitted]
        of_others = self._features_of(others, fresh)
        rows = np.where(some < n, some, UNKNOWN)
        known = similarity.scores(similarity.pool(fitted), rows, features)
        cosine = np.asarray((features @ of_others.T).todense(), np.float32)
        both = _has_content(features)[:, None] & _has_content(of_others)
        none = np.zeros_like(cosine)
        forward = np.hstack([known, similarity.blend(cosine, none, self._demand(others), both)])
        of_fitted = np.asarray((features @ similarity.features[fitted].T).todense(), np.float32)
        cosine = np.hstack([of_fitted, cosine])
        both = np.hstack([_has_content(features)[:, None] & _has_content(similarity.features[fitted]), both])
        backward = similarity.blend(cosine, np.zeros_like(cosine), self._demand(some)[:, None], both)
        pool = np.concatenate([fitted, others])
        same_type = (types[some][:, None] == types[pool]) & (types[some][:, None] >= 0)
        return pool, similarity.with_type(forward, same_type), similarity.with_type(backward, same_type)

    def _features_of(self, rows: npt.NDArray[np.int64], fresh: Mapping[int, sparse.csr_matrix]) -> sparse.csr_matrix:
        """Return the features of new and changed items; `fresh` has those that are not stored yet."""
        none = sparse.csr_matrix((1, self._base.content.features.shape[1]), dtype=np.float32)
        found = [fresh[row] if row in fresh else self._features.get(row, none) for row in rows.tolist()]
        return sparse.vstack(found).tocsr() if found else none[:0]

    def _demand(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return the demand for items, 0 for new ones."""
        demand = np.append(self._similarity.demand, np.float32(0))
        return demand[np.where(rows < self._n, rows, -1)]

    @cached_property
    def _similarity(self) -> Similarity:
        base = self._base
        bought = base.history.incidence(base.dataset_info.target_event, self._n)
        features = reweighted(base.content.features, base.hybrid.feature_weights.weight)
        return Similarity(features, bought, base.catalog.item_type, base.config.hybrid)


def _scored(rows: npt.NDArray[np.int64], scores: npt.NDArray[np.float32]) -> dict[int, float]:
    return dict(zip(rows.tolist(), scores.tolist(), strict=True))


def _has_content(features: sparse.csr_matrix) -> npt.NDArray[np.bool_]:
    return np.diff(features.indptr) > 0


def _padded(rows: Numbers, score: Numbers, width: int) -> Neighbours:
    """Return the best rows as a list of full width."""
    idx, kept, _ = best_of(rows, score, np.zeros(len(rows), np.int32), width)
    return idx, kept
