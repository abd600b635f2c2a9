"""Which items resemble each other: content, buyers in common, and demand among equally alike ones."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.core.ids import NO_ITEM
from recsys.data.catalog import Catalog
from recsys.kernels.top_rows import top_of_groups
from recsys.models.arrays import MIN_LENGTH, shrink
from recsys.models.content.hybrid import HybridConfig
from recsys.search.vector_index import nearest

Scores = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

MAX_SOURCES: Final = 1000
MAX_FANS: Final = 10_000
"""Buyers per item, and fans of its relatives, whose other purchases are read; bounds the cost of popular items."""

FAN_POWER: Final = 1.25
"""Exponent of a user's purchases of relatives: one who bought several of them counts for more than their sum."""

UNKNOWN_GATE: Final = 0.5
"""Weight of common buyers where an item has no content to compare."""

TIE: Final = 1e-4
"""Largest difference of cosines within which the relatives in demand come first."""

MAX_POOL: Final = 30_000
CHUNK_SIZE: Final = 64
BLOCK_SIZE: Final = 8192
FEW: Final = 16
N_RETRIEVED: Final = 4
"""Pools beyond `MAX_POOL` are narrowed to `N_RETRIEVED` times the list's length, by the embedding."""


@dataclass(frozen=True)
class Pool:
    """Items that may be listed, with what the scores of all other items need of them.

    Attributes:
        rows: int64 (n,), rows of the items.
        features: float32 CSR (n_features, n), their features.
        buyers: float32 CSR (n_users, n), their buyers, weighted by the items' rarity.
        sources: float32 CSR (n, n_users), at most `MAX_SOURCES` of their buyers.
        demand: float32 (n,), their demand.
        is_sold: bool (n,), whether they have buyers.
        has_features: bool (n,), whether they have features.
    """

    rows: Rows
    features: sparse.csr_matrix
    buyers: sparse.csr_matrix
    sources: sparse.csr_matrix
    demand: Scores
    is_sold: npt.NDArray[np.bool_]
    has_features: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Similarity:
    """Scores of pairs of items: `(c + w·√c·(b + δ·d_j)) / (1 + w·(1 + δ))`.

    `c` is the cosine of the idf-weighted features. `d_j = ln(1 + n_j) / ln(1 + max n)` is the demand for the listed
    item with `n_j` buyers. `b` is the share of common buyers: for an item with buyers the shrunk cosine
    `Σ_u [u bought i]·[u bought j] / √(n_j + s)`; for an item with few or none the same of the fans of its relatives,
    the sold items with the most similar content, `Σ_u (Σ_r c_ir^p·[u bought r] / (n_r + s)^(1/2q))^q·[u bought j]` with
    `q = FAN_POWER`. Both are divided by their largest value and averaged, weighted by the buyers.

    Attributes:
        features: float32 CSR (n_items, n_features), rows of length 1 or 0.
        user_items: float32 CSR (n_users, n_items), 1 where a user bought an item. Any other record of who takes an
            interest in what, such as the items of a session, does as well.
        item_type: int32 (n_items,), -1 for unknown.
        config: settings.
    """

    features: sparse.csr_matrix
    user_items: sparse.csr_matrix
    item_type: npt.NDArray[np.int32]
    config: HybridConfig

    @cached_property
    def n_buyers(self) -> npt.NDArray[np.int64]:
        """Buyers of each item, int64 (n_items,)."""
        return np.bincount(self.user_items.indices, minlength=self.user_items.shape[1])

    @cached_property
    def demand(self) -> Scores:
        """Logarithm of each item's buyers, divided by the largest, float32 (n_items,), in [0, 1]."""
        logarithm = np.log1p(self.n_buyers)
        return (logarithm / max(logarithm.max(initial=0), 1e-12)).astype(np.float32)

    @cached_property
    def item_users(self) -> sparse.csr_matrix:
        """The buyers of each item, weighted by its rarity `1 / √(n + s)`, float32 CSR (n_items, n_users)."""
        rarity = 1 / np.sqrt(self.n_buyers + self.config.common_buyers_shrinkage)
        return (sparse.diags_array(rarity.astype(np.float32)) @ self.user_items.T.tocsr()).tocsr()

    @cached_property
    def _sources(self) -> sparse.csr_matrix:
        """The buyers of each item, at most `MAX_SOURCES`, evenly spaced; `FAN_POWER` gives its rarity back."""
        kept = _thinned(self.item_users)
        kept.data **= np.float32(1 / FAN_POWER)
        return kept

    def pool(self, rows: Rows) -> Pool:
        """Return items that may be listed, int64 (n,), for any number of calls of `scores`."""
        of_rows = self.features[rows]
        return Pool(
            rows,
            of_rows.T.tocsr(),
            self.item_users[rows].T.tocsr(),
            self._sources[rows],
            self.demand[rows],
            self.n_buyers[rows] > 0,
            np.diff(of_rows.indptr) > 0,
        )

    def scores(
        self, pool: Pool, rows: Rows, features: sparse.csr_matrix | None = None, *, as_new: bool = False
    ) -> Scores:
        """Score the items of a pool as the similar items of others.

        Args:
            pool: the items to list, n of them.
            rows: int64 (m,), rows of the items whose lists these are; -1 for one that is not in the catalog.
            features: float32 CSR (m, n_features), their features; those of the catalog if not given.
            as_new: whether to leave the items' own buyers out of account.

        Returns:
            float32 (m, n), in [0, 1]; 0 for the item itself, and for pairs without common content or buyers.
        """
        features = self.features[rows] if features is None else features
        cosine = np.asarray((features @ pool.features).todense(), np.float32)
        common = self._common(cosine, pool, rows, as_new=as_new)
        known = (np.diff(features.indptr) > 0)[:, None] & pool.has_features
        score = self.blend(cosine, common, pool.demand, known)
        score[rows[:, None] == pool.rows] = 0
        return score

    def blend(self, cosine: Scores, common: Scores, demand: Scores, known: npt.NDArray[np.bool_]) -> Scores:
        """Combine the parts of the score; `known` marks the pairs that both have content, bool (m, n)."""
        w, delta = self.config.common_weight, self.config.demand_weight
        cosine = np.clip(cosine, 0, 1)
        gate = np.where(known, np.sqrt(cosine), np.float32(UNKNOWN_GATE))
        score = (cosine + w * gate * (common + delta * demand)) / (1 + w * (1 + delta))
        return np.where((cosine > MIN_LENGTH) | (common > MIN_LENGTH), score, 0).astype(np.float32)

    def with_type(self, score: Scores, is_same_type: npt.NDArray[np.bool_]) -> Scores:
        """Add the weight of having the same product type; a score of 0 stays."""
        tau = np.float32(self.config.same_type_share)
        return np.where(score > 0, (1 - tau) * score + tau * is_same_type, 0).astype(np.float32)

    def _common(self, cosine: Scores, pool: Pool, rows: Rows, *, as_new: bool) -> Scores:
        """Buyers in common, float32 (m, n), in [0, 1]: those of the items and those of their relatives."""
        own = np.where(rows >= 0, rows, 0)
        n_own = np.where((rows >= 0) & (not as_new), self.n_buyers[own], 0)
        mine = _of_best(self._sources[own], pool.buyers)
        theirs = _of_best(self._fans(cosine, pool, rows), pool.buyers)
        n = n_own[:, None].astype(np.float32)
        return shrink(n * mine, n, theirs, self.config.warm_buyers).astype(np.float32)

    def _fans(self, cosine: Scores, pool: Pool, rows: Rows) -> sparse.csr_matrix:
        """How much each user buys of the relatives of the items, float32 CSR (m, n_users), in [0, 1]."""
        is_source = pool.is_sold & (rows[:, None] != pool.rows)
        near = np.where(is_source & (cosine > MIN_LENGTH), cosine + np.float32(TIE) * pool.demand, 0)
        n_relatives = min(self.config.n_relatives, len(pool.rows))
        best = (
            np.argpartition(near, -n_relatives, axis=1)[:, -n_relatives:] if n_relatives else np.empty((len(near), 0))
        )
        weight = np.take_along_axis(near, best.astype(np.int64), axis=1) ** self.config.relative_power
        ends = np.arange(len(near) + 1) * n_relatives
        relatives = sparse.csr_matrix((weight.ravel(), best.ravel(), ends), shape=near.shape)
        fans = (relatives @ pool.sources).tocsr()
        fans.eliminate_zeros()
        largest = np.maximum(fans.max(axis=1).toarray().ravel(), 1e-30) if fans.nnz else np.ones(len(near))
        fans.data = (fans.data / np.repeat(largest, np.diff(fans.indptr))) ** np.float32(FAN_POWER)
        return _strongest(fans)


def reweighted(features: sparse.csr_matrix, weight: npt.NDArray[np.float32]) -> sparse.csr_matrix:
    """Scale the columns of features, and the rows to length 1, or 0 for items without features.

    Args:
        features: float32 CSR (n, n_features).
        weight: float32 (n_features,), > 0.
    """
    scaled = (features @ sparse.diags_array(weight)).tocsr()
    length = np.sqrt(np.asarray(scaled.multiply(scaled).sum(axis=1)).ravel())
    return (sparse.diags_array((1 / np.maximum(length, 1e-12)).astype(np.float32)) @ scaled).tocsr()


def _of_best(users: sparse.csr_matrix, of_pool: sparse.csr_matrix) -> Scores:
    """What the users bought, divided by the largest value of each row."""
    bought = np.asarray((users @ of_pool).todense(), np.float32)
    return bought / np.maximum(bought.max(axis=1, initial=0, keepdims=True), 1e-30)


def _thinned(item_users: sparse.csr_matrix) -> sparse.csr_matrix:
    counts = np.diff(item_users.indptr)
    position = np.arange(item_users.nnz) - np.repeat(item_users.indptr[:-1], counts)
    kept = np.repeat(np.minimum(counts, MAX_SOURCES), counts).astype(np.int64)
    n = np.repeat(counts, counts)
    is_kept = (position * kept) // np.maximum(n, 1) != ((position + 1) * kept) // np.maximum(n, 1)
    ends = np.concatenate([[0], np.cumsum(np.minimum(counts, MAX_SOURCES))])
    return sparse.csr_matrix((item_users.data[is_kept], item_users.indices[is_kept], ends), shape=item_users.shape)


def _strongest(fans: sparse.csr_matrix) -> sparse.csr_matrix:
    """Keep the largest `MAX_FANS` entries of each row."""
    for start, stop in zip(fans.indptr[:-1].tolist(), fans.indptr[1:].tolist(), strict=True):
        if stop - start > MAX_FANS:
            weight = fans.data[start:stop]
            weight[np.argpartition(weight, -MAX_FANS)[:-MAX_FANS]] = 0
    fans.eliminate_zeros()
    return fans


def list_similar(
    similarity: Similarity, embedding: npt.NDArray[np.float32], catalog: Catalog, wanted: Rows | None = None
) -> tuple[npt.NDArray[np.int32], Scores]:
    """List the most similar items of each item, from its own category if that is large enough, else from all items.

    Args:
        similarity: the scores.
        embedding: float32 (n_items, n_dimensions), of the content; narrows pools beyond `MAX_POOL`.
        catalog: categories.
        wanted: int64, ascending, rows of the items whose lists are wanted; all items if not given.

    Returns:
        Rows and scores, int32 and float32 (n_items, n_similar), best first, equal ones by row; -1 and 0 past the end,
        and for items that are not wanted.
    """
    n_items, width = len(catalog.item_type), similarity.config.n_similar
    idx, score = np.full((n_items, width), NO_ITEM, np.int32), np.zeros((n_items, width), np.float32)
    types = catalog.item_type

    def fill(pool: Pool, rows: Rows) -> None:
        same = (types[rows][:, None] == types[pool.rows]) & (types[rows][:, None] >= 0)
        scores = similarity.with_type(similarity.scores(pool, rows), same).ravel()
        n = max(len(pool.rows), 1)
        starts = np.arange(len(rows) + 1) * len(pool.rows)
        best, ends = top_of_groups(scores, np.arange(scores.size) % n, starts, width)
        row, place = np.repeat(rows, np.diff(ends)), np.arange(len(best)) - np.repeat(ends[:-1], np.diff(ends))
        idx[row, place], score[row, place] = pool.rows[best % n], scores[best]

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        for parts, listed in _chunks(similarity, embedding, catalog, wanted):
            pool = similarity.pool(listed)
            deque(threads.map(fill, repeat(pool), parts), maxlen=0)
    return idx, score


def _chunks(
    similarity: Similarity, embedding: npt.NDArray[np.float32], catalog: Catalog, wanted: Rows | None
) -> Iterator[tuple[list[Rows], Rows]]:
    """Yield parts of rows with the pool that their lists are taken from."""
    for rows, pool in pools(catalog, similarity.config.n_similar, wanted):
        if len(pool) > MAX_POOL:
            yield from (([few], near) for few, near in _retrieved(similarity, embedding, rows))
        else:
            yield np.split(rows, np.arange(CHUNK_SIZE, len(rows), CHUNK_SIZE)), pool


def pools(catalog: Catalog, n_similar: int, chosen: Rows | None = None) -> Iterator[tuple[Rows, Rows]]:
    """Yield groups of items with the rows to compare them with: a large category of their own, else all items.

    Args:
        catalog: categories.
        n_similar: a category is large if it has more items.
        chosen: int64, ascending, the rows to group; all if not given.
    """
    category = catalog.item_category
    everything = np.arange(len(category))
    chosen = everything if chosen is None else chosen
    is_large = (category[chosen] >= 0) & (np.bincount(category + 1, minlength=1)[category[chosen] + 1] > n_similar)
    order = np.argsort(category, kind="stable")
    for code in np.unique(category[chosen[is_large]]).tolist():
        start, stop = category[order].searchsorted([code, code + 1])
        yield chosen[is_large & (category[chosen] == code)], order[start:stop]
    if not is_large.all():
        yield chosen[~is_large], everything


def _retrieved(similarity: Similarity, embedding: npt.NDArray[np.float32], rows: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Yield a few rows with the union of the items with the nearest embeddings, in demand among equals."""
    k = N_RETRIEVED * similarity.config.n_similar
    joint = np.hstack([embedding, np.float32(TIE) * similarity.demand[:, None]])
    for block in np.split(rows, np.arange(BLOCK_SIZE, len(rows), BLOCK_SIZE)):
        asked = np.hstack([embedding[block], np.ones((len(block), 1), np.float32)])
        found = nearest(joint, asked, k)[1]
        for start in range(0, len(block), FEW):
            near = found[start : start + FEW]
            yield block[start : start + FEW], np.unique(near[near >= 0]).astype(np.int64)
