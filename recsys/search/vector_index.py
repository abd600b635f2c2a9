"""Nearest items by inner product, searched with FAISS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np
import numpy.typing as npt

from recsys.core.errors import BundleError

MAX_EXACT_PAIRS: Final = 2e10
MIN_RECALL: Final = 0.95
N_SAMPLED: Final = 256
N_COMPARED: Final = 10

TIER_SIZES: Final = (24_576, 8192)
"""Vectors per tier, longest first; the whole index is searched last. More tiers cost more in calls than they save."""

ROUNDING: Final = 1e-4
"""Relative margin of a bound, for the rounding of single precision."""

SearchResult = tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]
"""Scores and rows, float32 and int32 (n_queries, k), best first; row -1 past the last item."""


@dataclass(frozen=True)
class VectorTier:
    """A part of an index's vectors, copied from it.

    Attributes:
        faiss_index: over the vectors, encoded as in the whole index.
        item_idx: int32 (n,), their rows in the whole index.
        max_length_left: length of the longest vector that is in neither this tier nor an earlier one.
    """

    faiss_index: Any
    item_idx: npt.NDArray[np.int32]
    max_length_left: float


@dataclass(frozen=True)
class FlatIndex:
    """Search over half-precision vectors, exact up to rounding.

    A single query searches the longest vectors first and stops where no other vector can be among the best, as
    `q·v <= |q|·|v|`. The result equals that of the whole index. Graph indexes lose most neighbors on catalogs of many
    items that sell once (docs/architecture.md has the figures).
    """

    faiss_index: Any

    @classmethod
    def build(cls, vectors: npt.NDArray[np.float32]) -> FlatIndex:
        """Index vectors, float32 (n_items, n_dimensions), by their positions."""
        index = faiss.IndexScalarQuantizer(vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        index.add(np.ascontiguousarray(vectors, np.float32))
        return cls(index)

    @classmethod
    def read(cls, path: Path) -> FlatIndex:
        """Map an index file into memory, without a copy.

        Raises:
            BundleError: if the file is not an index.
        """
        try:
            return cls(faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC))
        except RuntimeError as error:
            raise BundleError(f"{path} is not a FAISS index ({error}): train again") from error

    def write(self, path: Path) -> None:
        """Write the index to a file."""
        faiss.write_index(self.faiss_index, str(path))

    def search(
        self, queries: npt.NDArray[np.float32], k: int, allowed: npt.NDArray[np.bool_] | None = None
    ) -> SearchResult:
        """Find the items whose vectors have the largest inner products with each query.

        Args:
            queries: float32 (n_queries, n_dimensions).
            k: number of items, >= 0.
            allowed: bool (n_items,), the only items to be found; None for all.

        Returns:
            Scores and rows, float32 and int32 (n_queries, k), best first; score -inf or lower and row -1 past the last
            item.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        if len(queries) == 1 and 0 < k <= TIER_SIZES[0] and self.tiers:
            found = self._search_tiers(queries, k, allowed)
            if found is not None:
                return found
        return _search(self.faiss_index, queries, k, allowed)

    def vectors(self) -> npt.NDArray[np.float32]:
        """Decode all vectors, float32 (n, n_dimensions), for searches of many queries at once."""
        decoded: npt.NDArray[np.float32] = self.faiss_index.reconstruct_n(0, self.faiss_index.ntotal)
        return decoded

    @cached_property
    def tiers(self) -> Sequence[VectorTier]:
        """The longest vectors, the first tier's the longest of all; empty where the index is small."""
        n = self.faiss_index.ntotal
        if n < 2 * sum(TIER_SIZES):
            return ()
        length = np.empty(n, np.float32)
        for start in range(0, n, TIER_SIZES[0]):
            block = self.faiss_index.reconstruct_n(start, min(TIER_SIZES[0], n - start))
            length[start : start + len(block)] = np.linalg.norm(block, axis=1)
        order = np.argsort(-length, kind="stable")
        tiers, start = [], 0
        for size in TIER_SIZES:
            rows = order[start : start + size]
            copied = FlatIndex.build(self.faiss_index.reconstruct_batch(rows)).faiss_index
            tiers.append(VectorTier(copied, rows.astype(np.int32), float(length[order[start + size]])))
            start += size
        return tuple(tiers)

    def _search_tiers(
        self, query: npt.NDArray[np.float32], k: int, allowed: npt.NDArray[np.bool_] | None
    ) -> SearchResult | None:
        """Search the longest vectors; None where others may be among the best."""
        query_length = float(np.sqrt(query[0] @ query[0])) * (1 + ROUNDING)
        scores, rows = np.empty(0, np.float32), np.empty(0, np.int32)
        for tier in self.tiers:
            score, position = _search(tier.faiss_index, query, k, None if allowed is None else allowed[tier.item_idx])
            known = position[0] >= 0
            scores = np.concatenate([scores, score[0, known]])
            rows = np.concatenate([rows, tier.item_idx[position[0, known]]])
            if len(scores) >= k and np.partition(scores, -k)[-k] > query_length * tier.max_length_left:
                best = np.lexsort((rows, -scores))[:k]
                return scores[None, best], rows[None, best]
        return None


def _search(
    faiss_index: Any, queries: npt.NDArray[np.float32], k: int, allowed: npt.NDArray[np.bool_] | None
) -> SearchResult:
    if k < 1:  # FAISS refuses it
        return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int32)
    if allowed is None:
        scores, rows = faiss_index.search(queries, k)
    else:
        bits = np.packbits(allowed, bitorder="little")
        selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]
        scores, rows = faiss_index.search(queries, k, params=faiss.SearchParameters(sel=selector))  # type: ignore[call-arg]
    return scores, rows.astype(np.int32)


@dataclass(frozen=True)
class ExtendedIndex(FlatIndex):
    """An index with a few more vectors after its own, which are searched exhaustively in memory.

    Attributes:
        base: the index; its tiers are shared.
        extra: float32 (n_extra, n_dimensions), the vectors of the rows after those of `base`.
    """

    base: FlatIndex
    extra: npt.NDArray[np.float32]

    @classmethod
    def over(cls, base: FlatIndex, extra: npt.NDArray[np.float32]) -> ExtendedIndex:
        """Extend an index by more vectors."""
        return cls(base.faiss_index, base, extra)

    @property
    def tiers(self) -> Sequence[VectorTier]:
        """The tiers of `base`."""
        return self.base.tiers

    def vectors(self) -> npt.NDArray[np.float32]:
        """Decode the vectors of both parts."""
        return np.vstack([self.base.vectors(), self.extra])

    def search(
        self, queries: npt.NDArray[np.float32], k: int, allowed: npt.NDArray[np.bool_] | None = None
    ) -> SearchResult:
        """Find the best rows of both parts; see `FlatIndex.search`."""
        n = self.faiss_index.ntotal
        scores, rows = super().search(queries, k, None if allowed is None else allowed[:n])
        extra_scores = queries @ self.extra.T
        if allowed is not None:
            extra_scores[:, ~allowed[n:]] = -np.inf
        both = np.hstack([np.where(rows >= 0, scores, -np.inf), extra_scores])
        extra_rows = np.arange(n, n + len(self.extra), dtype=np.int32)
        names = np.hstack([rows, np.broadcast_to(extra_rows, extra_scores.shape)])
        best = np.argsort(-both, axis=1, kind="stable")[:, :k]
        found = np.take_along_axis(both, best, axis=1)
        return found, np.where(np.isneginf(found), -1, np.take_along_axis(names, best, axis=1)).astype(np.int32)


def nearest(
    vectors: npt.NDArray[np.float32],
    queries: npt.NDArray[np.float32],
    k: int,
    max_exact_pairs: float = MAX_EXACT_PAIRS,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Find the rows of `vectors` with the largest inner products with each of many queries.

    Equal queries are searched once. The search is exact up to `max_exact_pairs`. Beyond, it uses inverted lists (Sivic
    & Zisserman 2003) and probes more of them until a sample of the queries finds `MIN_RECALL` of its exact neighbors.

    Args:
        vectors: float32 (n, n_dimensions).
        queries: float32 (m, n_dimensions).
        k: number of rows, >= 0.
        max_exact_pairs: `n · m` up to which the search is exhaustive.

    Returns:
        Inner products and rows, each (m, k), best first; row -1 where fewer were found.
    """
    if k < 1 or not len(queries):  # FAISS refuses it
        return np.empty((len(queries), max(k, 0)), np.float32), np.empty((len(queries), max(k, 0)), np.int32)
    exact = faiss.IndexFlat(vectors.shape[1], faiss.METRIC_INNER_PRODUCT)
    exact.add(np.ascontiguousarray(vectors, np.float32))
    queries, place = _distinct(np.ascontiguousarray(queries, np.float32))
    index = exact if len(vectors) * len(queries) <= max_exact_pairs else _inverted_lists(vectors, queries, exact)
    scores, rows = index.search(queries, k)
    return scores[place], rows.astype(np.int32)[place]


def _distinct(queries: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return the distinct queries, and which of them each query is: items often have equal content."""
    as_bytes = queries.view(np.dtype((np.void, queries.dtype.itemsize * queries.shape[1]))).ravel()
    _, first, place = np.unique(as_bytes, return_index=True, return_inverse=True)
    return queries[first], place


def _inverted_lists(vectors: npt.NDArray[np.float32], queries: npt.NDArray[np.float32], exact: Any) -> Any:
    n_lists = max(1, int(4 * np.sqrt(len(vectors))))
    index: Any = faiss.index_factory(vectors.shape[1], f"IVF{n_lists},Flat", faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = 0
    index.train(vectors[:: max(1, len(vectors) // (64 * n_lists))])
    index.add(vectors)
    sample = queries[:: max(1, len(queries) // N_SAMPLED)]
    _, true = exact.search(sample, N_COMPARED)
    while index.nprobe < n_lists:
        _, found = index.search(sample, N_COMPARED)
        recall = np.mean([np.isin(row, near).mean() for row, near in zip(true, found, strict=True)])
        if recall >= MIN_RECALL:
            break
        index.nprobe *= 2
    return index
