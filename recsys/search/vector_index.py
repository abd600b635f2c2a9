"""Nearest items by inner product, searched with FAISS."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np
import numpy.typing as npt

from recsys.core.errors import BundleError
from recsys.kernels.compiled import IS_COMPILED
from recsys.kernels.nearest import best_products
from recsys.search.coded_vectors import CodedVectors

MAX_EXACT_PAIRS: Final = 2e10
MIN_RECALL: Final = 0.95
N_SAMPLED: Final = 256
N_COMPARED: Final = 10

N_CODED: Final = 262_144
"""Vectors that are searched by their codes, the longest. A request looks at 20,000 of the demo's 92,000 on average,
and at all where lengths hardly differ: codes then take a third of the time of half precision."""

MIN_CODED: Final = 2048
"""Vectors from which on codes pay: the product of fewer takes as long as the calls around it."""

N_DECODED: Final = 16_384
"""Vectors that are decoded at a time; bounds the memory."""

SearchResult = tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]
"""Scores and rows, float32 and int32 (n_queries, k), best first; row -1 past the last item."""


@dataclass(frozen=True)
class FlatIndex:
    """Search over half-precision vectors, exact up to rounding.

    Codes of the longest vectors tell which ones may be among the best, and only these are multiplied; where loops are
    not compiled, and for several queries, FAISS searches all. The result is the same. Graph indexes lose most neighbors
    on catalogs of many items that sell once (docs/architecture.md has the figures).
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
        found = self._nearest(queries[0], k, allowed) if len(queries) == 1 else None
        if found is None:
            return _search(self.faiss_index, queries, k, allowed)
        scores, rows = np.full((1, k), -np.inf, np.float32), np.full((1, k), -1, np.int32)
        scores[0, : len(found[0])], rows[0, : len(found[1])] = found
        return scores, rows

    def nearest(
        self, query: npt.NDArray[np.float32], k: int, allowed: npt.NDArray[np.bool_] | None = None
    ) -> SearchResult:
        """Find the items of the largest inner products with one query; see `search`.

        Args:
            query: float32 (n_dimensions,).
            k: number of items, >= 0.
            allowed: bool (n_items,), the only items to be found; None for all.

        Returns:
            Scores and rows, float32 and int32 (at most k,), best first.
        """
        found = self._nearest(query, k, allowed)
        return _unpadded(_search(self.faiss_index, query[None], k, allowed)) if found is None else found

    def _nearest(
        self, query: npt.NDArray[np.float32], k: int, allowed: npt.NDArray[np.bool_] | None
    ) -> SearchResult | None:
        """Find the nearest items by the codes; None where FAISS is to search."""
        if not (IS_COMPILED and 0 < k <= N_CODED and self.faiss_index.ntotal >= MIN_CODED):
            return None
        near = self.coded.near(query, k, allowed)
        return None if near is None else best_products(self.halves, near, query, k)

    def vectors(self) -> npt.NDArray[np.float32]:
        """Decode all vectors, float32 (n, n_dimensions), for searches of many queries at once."""
        decoded: npt.NDArray[np.float32] = self.faiss_index.reconstruct_n(0, self.faiss_index.ntotal)
        return decoded

    @cached_property
    def coded(self) -> CodedVectors:
        """The longest vectors, coded."""
        n = self.faiss_index.ntotal
        length = np.empty(n, np.float32)
        for start in range(0, n, N_DECODED):
            block = self.faiss_index.reconstruct_n(start, min(N_DECODED, n - start))
            length[start : start + len(block)] = np.linalg.norm(block, axis=1)
        order = np.argsort(-length, kind="stable")
        longest, others = order[:N_CODED], order[N_CODED:]
        length_left = float(length[others].max(initial=-1))
        return CodedVectors.of(self.faiss_index.reconstruct_batch(longest), longest, length_left)

    @cached_property
    def halves(self) -> npt.NDArray[np.int16]:
        """The bits of the vectors in half precision, int16 (n, n_dimensions); a view of FAISS's own memory."""
        index = self.faiss_index
        bytes_ = faiss.rev_swig_ptr(index.codes.data(), index.ntotal * index.code_size)
        return bytes_.view(np.int16).reshape(index.ntotal, index.d)


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


def _unpadded(result: SearchResult) -> SearchResult:
    """Return the items that one query found."""
    (scores,), (rows,) = result
    return scores[rows >= 0], rows[rows >= 0]


@dataclass(frozen=True)
class ExtendedIndex(FlatIndex):
    """An index with a few more vectors after its own, which are searched exhaustively in memory.

    Attributes:
        base: the index; its codes are shared.
        extra: float32 (n_extra, n_dimensions), the vectors of the rows after those of `base`.
    """

    base: FlatIndex
    extra: npt.NDArray[np.float32]

    @classmethod
    def over(cls, base: FlatIndex, extra: npt.NDArray[np.float32]) -> ExtendedIndex:
        """Extend an index by more vectors."""
        return cls(base.faiss_index, base, extra)

    @property
    def coded(self) -> CodedVectors:
        """The codes of `base`."""
        return self.base.coded

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
        self, query: npt.NDArray[np.float32], k: int, allowed: npt.NDArray[np.bool_] | None = None
    ) -> SearchResult:
        """Find the best rows of both parts; see `FlatIndex.nearest`."""
        return _unpadded(self.search(query[None], k, allowed))


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
