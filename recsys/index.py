"""Nearest items by inner product: FAISS behind one small class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np
import numpy.typing as npt

from recsys.errors import BundleError

MAX_EXACT_PAIRS: Final = 2e10
MIN_RECALL: Final = 0.95
N_SAMPLED: Final = 256
N_COMPARED: Final = 10


@dataclass(frozen=True)
class FlatIndex:
    """Exhaustive search over half-precision vectors, for one query at a time.

    Exact up to rounding; on catalogues of many items that sell once, graph indexes lose most neighbours
    (docs/architecture.md has the figures).
    """

    faiss_index: Any

    @classmethod
    def build(cls, vectors: npt.NDArray[np.float32]) -> FlatIndex:
        """Index vectors, float32 (n_items, n_dimensions); an item's row is its place."""
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
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Find the items whose vectors have the largest inner products with each query.

        Args:
            queries: float32 (n_queries, n_dimensions).
            k: how many.
            allowed: bool (n_items,), the only items to be found; None for all.

        Returns:
            Scores and rows, float32 and int32 (n_queries, k), best first; row -1 past the last item.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        if allowed is None:
            scores, rows = self.faiss_index.search(queries, k)
        else:
            bits = np.packbits(allowed, bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]
            parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
            scores, rows = self.faiss_index.search(queries, k, params=parameters)
        return scores, rows.astype(np.int32)


@dataclass(frozen=True)
class GrownIndex(FlatIndex):
    """An index with a few more vectors behind its own, which are searched exhaustively in memory.

    Attributes:
        n_indexed: vectors in the index; rows from there on are those of `extra`.
        extra: float32 (n_extra, n_dimensions).
    """

    n_indexed: int
    extra: npt.NDArray[np.float32]

    def search(
        self, queries: npt.NDArray[np.float32], k: int, allowed: npt.NDArray[np.bool_] | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """See `FlatIndex.search`; rows of both parts, the best of both."""
        n = self.n_indexed
        scores, rows = super().search(queries, k, None if allowed is None else allowed[:n])
        beside = queries @ self.extra.T
        if allowed is not None:
            beside[:, ~allowed[n:]] = -np.inf
        both = np.hstack([np.where(rows >= 0, scores, -np.inf), beside])
        names = np.hstack([rows, np.broadcast_to(np.arange(n, n + len(self.extra), dtype=np.int32), beside.shape)])
        best = np.argsort(-both, axis=1, kind="stable")[:, :k]
        found = np.take_along_axis(both, best, axis=1)
        return found, np.where(np.isneginf(found), -1, np.take_along_axis(names, best, axis=1)).astype(np.int32)


def nearest(
    vectors: npt.NDArray[np.float32],
    queries: npt.NDArray[np.float32],
    k: int,
    max_exact_pairs: float = MAX_EXACT_PAIRS,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """The rows of `vectors` with the largest inner products with each of many queries.

    Exact as long as there are few enough pairs to compare; beyond that by inverted lists (Sivic & Zisserman 2003),
    of which ever more are searched until a sample of the queries finds `MIN_RECALL` of its exact neighbours.

    Args:
        vectors: float32 (n, n_dimensions).
        queries: float32 (m, n_dimensions).
        k: how many, <= n.
        max_exact_pairs: `n · m` up to which the search is exhaustive.

    Returns:
        Inner products and rows, each (m, k), best first; row -1 where fewer were found.
    """
    exact = faiss.IndexFlat(vectors.shape[1], faiss.METRIC_INNER_PRODUCT)
    exact.add(np.ascontiguousarray(vectors, np.float32))
    queries = np.ascontiguousarray(queries, np.float32)
    index = exact if len(vectors) * len(queries) <= max_exact_pairs else _inverted_lists(vectors, queries, exact)
    scores, rows = index.search(queries, k)
    return scores, rows.astype(np.int32)


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
