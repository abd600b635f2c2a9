"""Cold items, which the models have not seen: their content, their vectors and their rows in every list.

Known items whose content has changed, such as their tags, get new similar items too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from recsys.core.ids import NO_ITEM, UNKNOWN
from recsys.core.topk import top_k
from recsys.data.catalog import Catalog
from recsys.fitting.engine import Engine
from recsys.live.patched_array import Numbers, PatchedArray
from recsys.models.content.hybrid import impute_factors
from recsys.models.content.similarity import Similarity, pools, reweighted
from recsys.models.pairs.related_items import RelatedItems

CHUNK_SIZE: Final = 64
"""New items per matrix product with a part of the catalog; bounds the memory."""

N_PROXY_BEST_SELLERS: Final = 20
"""Best sellers of a type whose lists stand in for the list of a new item of the type."""

MIN_SHARE: Final = 1e-9

N_PROXY_ITEMS: Final = 5
"""Most similar known items of a new item: their related items count as related to the new item."""

PROXY_DISCOUNT: Final = 0.5
"""Score of a new item in a list, relative to that of its proxy times their similarity."""

Neighbours = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]
Listed = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.int32]]
"""One list of related items: rows, scores, and the baskets that contain both items."""


@dataclass(frozen=True)
class _Column:
    """One column of lists that are computed on access."""

    lists: Callable[[int], Sequence[Numbers] | None]
    position: int

    def get(self, row: int) -> Numbers | None:
        """See `RowSource`."""
        found = self.lists(row)
        return None if found is None else found[self.position]


class ColdItems:
    """Vectors and lists of the cold items of one engine.

    Args:
        base: the engine; never changed.
    """

    def __init__(self, base: Engine) -> None:
        self._base, self._n = base, len(base.items)
        self._content = np.zeros((0, base.content.embedding.shape[1]), np.float32)
        self._vectors = np.zeros((0, base.hybrid.vectors.shape[1]), np.float32)
        self._types = base.catalog.item_type
        self._categories = base.catalog.item_category
        self._features: dict[int, sparse.csr_matrix] = {}
        self._near: dict[int, dict[int, float]] = defaultdict(dict)
        self._listed_in: dict[int, set[int]] = defaultdict(set)
        self._similar: dict[int, Neighbours] = {}
        self._moved: dict[int, npt.NDArray[np.float32]] = {}
        self._left: set[int] = set()
        self._related: dict[tuple[str, int, int], Listed | None] = {}
        self._proxy_of: dict[int, dict[int, float]] = defaultdict(dict)
        self._proxies: dict[int, list[int]] = {}
        self._joined: dict[tuple[str, int], Listed | None] = {}
        self.stale: set[int] = set()

    def update(self, table: pl.DataFrame, catalog: Catalog) -> None:
        """Compute the content, the vectors and the similar items of all items in `stale`.

        Args:
            table: the whole items table.
            catalog: the same as arrays.
        """
        n_lookahead = len(table) - self._n - len(self._content)
        self._content = np.vstack([self._content, np.zeros((n_lookahead, self._content.shape[1]), np.float32)])
        self._vectors = np.vstack([self._vectors, np.zeros((n_lookahead, self._vectors.shape[1]), np.float32)])
        self._types, self._categories = catalog.item_type, catalog.item_category
        fresh, self.stale = np.array(sorted(self.stale), np.int64), set()
        if not len(fresh):
            return
        features = self._base.content.encode(table[fresh])
        weighted = reweighted(features, self._base.hybrid.feature_weights.weight)
        self._features |= dict(zip(fresh.tolist(), weighted, strict=True))
        content = self._base.content.project(features)
        n_known = int(fresh.searchsorted(self._n))
        if n_known:
            self._move(fresh[:n_known], content[:n_known])
        self._settle(fresh[n_known:] - self._n, content[n_known:])
        self._joined.clear()
        for item in fresh.tolist():
            self._unlink(item)
        for some, pool in pools(catalog, self._base.config.hybrid.n_similar, fresh):
            for start in range(0, len(some), CHUNK_SIZE):
                self._link(some[start : start + CHUNK_SIZE], pool)

    def _settle(self, positions: npt.NDArray[np.int64], content: npt.NDArray[np.float32]) -> None:
        """Store the content of new items and impute their vectors."""
        base = self._base
        self._content[positions] = content
        self._vectors[positions] = impute_factors(
            base.als.item_factors, base.content.embedding, base.popularity.n_buyers, content, base.config.hybrid
        )

    def _move(self, rows: npt.NDArray[np.int64], content: npt.NDArray[np.float32]) -> None:
        """Store the new content of known items; their vectors, which come from purchases, stay."""
        self._moved |= dict(zip(rows.tolist(), content, strict=True))
        listed = np.isin(self._base.hybrid.similar_idx, rows).any(axis=1)
        self._left |= set(np.flatnonzero(listed).tolist())
        self._similar.clear()

    def warm_up(self) -> None:
        """Compute what the first new item would otherwise wait for."""
        base = self._base
        _ = self._median_shares, self._similarity.item_users
        of_one = base.content.embed(base.items_table.head(1))
        impute_factors(
            base.als.item_factors, base.content.embedding, base.popularity.n_buyers, of_one, base.config.hybrid
        )

    @property
    def own_vectors(self) -> npt.NDArray[np.float32]:
        """Hybrid vectors of the new items, float32 (n_new, n_factors)."""
        return self._vectors

    @property
    def vectors(self) -> Numbers:
        """Hybrid vectors of all items."""
        return PatchedArray.array(self._base.hybrid.vectors, self._vectors)

    @property
    def item_factors(self) -> Numbers:
        """ALS factors of all items, zero for new items."""
        return PatchedArray.array(self._base.als.item_factors, np.zeros_like(self._vectors))

    @property
    def expected_share(self) -> npt.NDArray[np.float32]:
        """Expected share of sales of each new item: the median of its type, float32 (n_new,)."""
        # One more entry than types: a shop may have no types, and an item without a type reads the last entry.
        medians = np.append(self._median_shares, [MIN_SHARE] * (int(self._types.max(initial=-1)) + 2))
        types = self._types[self._n :]
        return np.where(types >= 0, np.maximum(medians[types], MIN_SHARE), 0).astype(np.float32)

    def of_type(self, values: npt.NDArray[np.float32], default: float | None = None) -> npt.NDArray[np.float32]:
        """Return the mean of the values of each new item's type, else the default.

        Args:
            values: float32 (n_base, …), one entry per item of the engine.
            default: for types without items; the mean of all if not given.
        """
        types, n_types = self._types + 1, int(self._types.max(initial=-1)) + 2
        columns = values.reshape(len(values), -1)
        count = np.bincount(types[: self._n], minlength=n_types)
        sums = np.column_stack([np.bincount(types[: self._n], column, n_types) for column in columns.T])
        otherwise = default if default is not None else columns.mean(axis=0) if len(columns) else 1.0
        mine = types[self._n :]
        means = sums[mine] / np.maximum(count[mine], 1)[:, None]
        known = (mine > 0) & (count[mine] > 0)
        return np.where(known[:, None], means, otherwise).astype(np.float32).reshape(-1, *values.shape[1:])

    def similar(self) -> tuple[Numbers, Numbers]:
        """Return the lists of similar items and their scores, with new items in them and lists of new items."""
        hybrid = self._base.hybrid
        shape = (len(self._vectors), hybrid.similar_idx.shape[1])
        idx = PatchedArray.array(hybrid.similar_idx, np.broadcast_to(np.int32(NO_ITEM), shape), _Column(self._list, 0))
        none = np.broadcast_to(np.float32(0), shape)
        return idx, PatchedArray.array(hybrid.similar_score, none, _Column(self._list, 1))

    def related(self, name: str, lists: RelatedItems, *, joined: bool, substitutes: bool) -> RelatedItems:
        """Return lists of related items; the list of a new item is the mean of those of its type's best sellers.

        Args:
            name: of the lists.
            lists: of the engine; the same for a name at every call.
            joined: whether new items join the lists of known items: a list that contains a proxy contains the new item.
            substitutes: whether a possible replacement of an item may be in its list.
        """
        shape = (len(self._vectors), lists.item_idx.shape[1])
        types, categories = self._types, self._categories

        def of(row: int) -> Listed | None:
            if row < self._n:
                return self._with_new(name, lists, row, substitutes) if joined and self._proxy_of else None
            of_type = self._averaged(name, lists, 0, int(types[row]))
            return of_type if of_type is not None else self._averaged(name, lists, 1, int(categories[row]))

        return replace(
            lists,
            item_idx=PatchedArray.array(lists.item_idx, np.broadcast_to(np.int32(NO_ITEM), shape), _Column(of, 0)),
            score=PatchedArray.array(lists.score, np.broadcast_to(np.float32(0), shape), _Column(of, 1)),
            n_together=PatchedArray.array(lists.n_together, np.broadcast_to(np.int32(0), shape), _Column(of, 2)),
        )

    def _with_new(self, name: str, lists: RelatedItems, row: int, substitutes: bool) -> Listed | None:
        """Return the list of a known item with new items in it, None if no new item belongs there."""
        key = (name, row)
        if key not in self._joined:
            near, score = lists.item_idx[row], lists.score[row]
            best: dict[int, float] = {}
            for partner, partner_score in zip(near.tolist(), score.tolist(), strict=True):
                for item, similarity in self._proxy_of.get(partner, {}).items():
                    best[item] = max(best.get(item, 0.0), PROXY_DISCOUNT * similarity * partner_score)
            if not substitutes:
                best = {item: value for item, value in best.items() if not self._could_replace(item, row)}
            more, more_scores = np.array(list(best), np.int32), np.array(list(best.values()), np.float32)
            none = np.zeros(len(more), np.int32)
            self._joined[key] = (
                None
                if not best
                else _best_of(
                    np.concatenate([near, more]),
                    np.concatenate([score, more_scores]),
                    np.concatenate([lists.n_together[row], none]),
                    len(near),
                )
            )
        return self._joined[key]

    def _could_replace(self, item: int, row: int) -> bool:
        """Return whether a new item could replace a known one: by type, or by content if one has no type."""
        types = self._types[[item, row]]
        if (types >= 0).all():
            return bool(types[0] == types[1])
        cosine = float(self._content[item - self._n] @ self._base.content.embedding[row])
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
            self._related[key] = _best_of(rows, mean, none, lists.item_idx.shape[1]) if len(best) else None
        return self._related[key]

    def _list(self, row: int) -> Neighbours | None:
        """Return a list of similar items with new items in it, None if no new item is similar."""
        near = self._near.get(row, {})
        if not near and row not in self._left and row not in self._moved:
            return None
        if row not in self._similar:
            hybrid = self._base.hybrid
            rows, score = np.fromiter(near, np.int32, len(near)), np.fromiter(near.values(), np.float32, len(near))
            if row < self._n and row not in self._moved:
                known, known_score = hybrid.similar_idx[row], hybrid.similar_score[row]
                stays = ~np.isin(known, list(self._moved)) if row in self._left else np.ones(len(known), np.bool_)
                rows, score = np.concatenate([known[stays], rows]), np.concatenate([known_score[stays], score])
            self._similar[row] = _padded(rows, score, hybrid.similar_idx.shape[1])
        return self._similar[row]

    def _unlink(self, item: int) -> None:
        """Remove the list of an item, and the item from the lists of others."""
        for listed in self._near.pop(item, ()):
            self._listed_in[listed].discard(item)
        for row in self._listed_in.pop(item, ()):
            del self._near[row][item]
            self._similar.pop(row, None)
        self._similar.pop(item, None)
        for row in self._proxies.pop(item, ()):
            del self._proxy_of[row][item]

    def _link(self, fresh: npt.NDArray[np.int64], pool: npt.NDArray[np.int64]) -> None:
        """Find the similar items of new items in a pool, and the lists that they join, as `list_similar` does."""
        pool, forward, backward = self._scores(fresh, pool)
        for item, scores, back in zip(fresh.tolist(), forward, backward, strict=True):
            best, joined = (top_k(each, 2 * self._base.config.hybrid.n_similar) for each in (scores, back))
            for row, score in zip(pool[best].tolist(), scores[best].tolist(), strict=True):
                self._list_in(item, row, score)
            for row, score in zip(pool[joined].tolist(), back[joined].tolist(), strict=True):
                self._list_in(row, item, score)
            best = best[scores[best] > 0]
            known = best[pool[best] < self._n][: N_PROXY_ITEMS if item >= self._n else 0]
            self._proxies[item] = pool[known].tolist()
            for row, score in zip(self._proxies[item], scores[known].tolist(), strict=True):
                self._proxy_of[row][item] = score

    def _list_in(self, row: int, item: int, score: float) -> None:
        """Put an item into the list of another."""
        if score > 0 and row != item:
            self._near[row][item] = score
            self._listed_in[item].add(row)
            self._similar.pop(row, None)

    def _scores(
        self, fresh: npt.NDArray[np.int64], pool: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Score the items of a pool for the lists of new items, and new items for the lists of the pool.

        Returns:
            The pool, reordered, and both scores, float32 (len(fresh), n). Buyers in common with a changed item count
            again after the next training.
        """
        similarity, n, types = self._similarity, self._n, self._types
        is_as_fitted = (pool < n) & ~np.isin(pool, list(self._moved))
        fitted, others = pool[is_as_fitted], pool[~is_as_fitted]
        features, of_others = self._features_of(fresh), self._features_of(others)
        rows = np.where(fresh < n, fresh, UNKNOWN)
        known = similarity.scores(fitted, rows, features)
        cosine = np.asarray((features @ of_others.T).todense(), np.float32)
        both = _has_content(features)[:, None] & _has_content(of_others)
        none = np.zeros_like(cosine)
        forward = np.hstack([known, similarity.blend(cosine, none, self._demand(others), both)])
        of_fitted = np.asarray((features @ similarity.features[fitted].T).todense(), np.float32)
        cosine = np.hstack([of_fitted, cosine])
        both = np.hstack([_has_content(features)[:, None] & _has_content(similarity.features[fitted]), both])
        backward = similarity.blend(cosine, np.zeros_like(cosine), self._demand(fresh)[:, None], both)
        pool = np.concatenate([fitted, others])
        same_type = (types[fresh][:, None] == types[pool]) & (types[fresh][:, None] >= 0)
        return pool, similarity.with_type(forward, same_type), similarity.with_type(backward, same_type)

    def _features_of(self, rows: npt.NDArray[np.int64]) -> sparse.csr_matrix:
        """Return the features of new and changed items."""
        none = sparse.csr_matrix((1, self._base.content.features.shape[1]), dtype=np.float32)
        found = [self._features.get(row, none) for row in rows.tolist()]
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

    @cached_property
    def _median_shares(self) -> npt.NDArray[np.float32]:
        """Median share of sales of each type's items, float32 (n_types,)."""
        share, types = self._base.popularity.share, self._base.catalog.item_type
        order = np.lexsort((share, types))
        n_types = len(self._base.catalog.type_names)
        starts = types[order].searchsorted(np.arange(n_types + 1))
        middle = np.minimum((starts[:-1] + starts[1:]) // 2, len(order) - 1)
        return share[order[middle]] if len(order) else np.zeros(n_types, np.float32)


def _has_content(features: sparse.csr_matrix) -> npt.NDArray[np.bool_]:
    return np.diff(features.indptr) > 0


def _padded(rows: Numbers, score: Numbers, width: int) -> Neighbours:
    """Return the best rows as a list of full width."""
    idx, kept, _ = _best_of(rows, score, np.zeros(len(rows), np.int32), width)
    return idx, kept


def _best_of(rows: Numbers, score: Numbers, n_together: Numbers, width: int) -> Listed:
    """Return the best rows as a list of full width, with their shared baskets."""
    best = top_k(score, width, rows)
    best = best[score[best] > 0]
    idx, kept, counts = np.full(width, NO_ITEM, np.int32), np.zeros(width, np.float32), np.zeros(width, np.int32)
    idx[: len(best)], kept[: len(best)], counts[: len(best)] = rows[best], score[best], n_together[best]
    return idx, kept, counts
