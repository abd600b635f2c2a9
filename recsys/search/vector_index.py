"""Nearest items by inner product: FAISS behind one small class."""

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

IVF_PLANS: Final = (24_576, 8192)
"""Vectors that are searched at a time, the longest first; the whole index follows. A step costs a few calls, and those
cost more than the vectors that more of them would spare."""

ROUNDING: Final = 1e-4
"""Room in a bound for the rounding of single precision, as a share."""


@dataclass(frozen=True)
class IVFPlan:
    """Some of an index's vectors, copied out of it.

    Attributes:
        faiss_index: over the vectors, coded as in the whole index.
        item_idx: int32 (n,), their rows in the whole index.
        longest_left: the length of the longest vector in none of the steps up to this one.
    """

    faiss_index: Any
    item_idx: npt.NDArray[np.int32]
    longest_left: float


@dataclass(frozen=True)
class FlatIndex:
    """Search over half-precision vectors, exact up to rounding.

    A single query looks at the longest vectors first and stops where no other can be among the best any more, as
    `q·v <= |q|·|v|`: what the whole index would find, from a quarter of it where lengths differ as those of factors do.
    On catalogues of many items that sell once, graph indexes lose most neighbours (docs/architecture.md has the
    figures).
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
        if len(queries) == 1 and self.steps and k <= IVF_PLANS[0]:
            found = self._from_the_longest(queries, k, allowed)
            if found is not None:
                return found
        return _search(self.faiss_index, queries, k, allowed)

    @cached_property
    def steps(self) -> Sequence[IVFPlan]:
        """The longest vectors, the first step's the longest of all; none where the index is small."""
        n = self.faiss_index.ntotal
        if n < 2 * sum(IVF_PLANS):
            return ()
        length = np.empty(n, np.float32)
        for start in range(0, n, IVF_PLANS[0]):
            some = self.faiss_index.reconstruct_n(start, min(IVF_PLANS[0], n - start))
            length[start : start + len(some)] = np.linalg.norm(some, axis=1)
        order = np.argsort(-length, kind="stable")
        steps, start = [], 0
        for size in IVF_PLANS:
            rows = order[start : start + size]
            copied = FlatIndex.build(self.faiss_index.reconstruct_batch(rows)).faiss_index
            steps.append(IVFPlan(copied, rows.astype(np.int32), float(length[order[start + size]])))
            start += size
        return tuple(steps)

    def _from_the_longest(
        self, query: npt.NDArray[np.float32], k: int, allowed: npt.NDArray[np.bool_] | None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]] | None:
        """What the longest vectors hold of the best; None where others may be among them."""
        reach = float(np.sqrt(query[0] @ query[0])) * (1 + ROUNDING)
        scores, rows = np.empty(0, np.float32), np.empty(0, np.int32)
        for step in self.steps:
            score, place = _search(step.faiss_index, query, k, None if allowed is None else allowed[step.item_idx])
            known = place[0] >= 0
            scores = np.concatenate([scores, score[0, known]])
            rows = np.concatenate([rows, step.item_idx[place[0, known]]])
            if len(scores) >= k and np.partition(scores, -k)[-k] > reach * step.longest_left:
                best = np.lexsort((rows, -scores))[:k]
                return scores[None, best], rows[None, best]
        return None


def _search(
    faiss_index: Any, queries: npt.NDArray[np.float32], k: int, allowed: npt.NDArray[np.bool_] | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    if allowed is None:
        scores, rows = faiss_index.search(queries, k)
    else:
        bits = np.packbits(allowed, bitorder="little")
        selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]
        scores, rows = faiss_index.search(queries, k, params=faiss.SearchParameters(sel=selector))  # type: ignore[call-arg]
    return scores, rows.astype(np.int32)


@dataclass(frozen=True)
class ExtendedIndex(FlatIndex):
    """An index with a few more vectors behind its own, which are searched exhaustively in memory.

    Attributes:
        n_indexed: vectors in the index; rows from there on are those of `extra`.
        extra: float32 (n_extra, n_dimensions).
    """

    n_indexed: int
    extra: npt.NDArray[np.float32]

    @classmethod
    def over(cls, index: FlatIndex, extra: npt.NDArray[np.float32]) -> ExtendedIndex:
        """An index with more vectors behind its own; what it keeps for its searches is shared, not worked out anew."""
        grown = cls(index.faiss_index, index.faiss_index.ntotal, extra)
        vars(grown)["steps"] = index.steps
        return grown

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
