"""Nearest items by inner product: FAISS behind one small protocol."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import faiss
import numpy as np
import numpy.typing as npt

from recsys.errors import BundleError


class ItemIndex(Protocol):
    """Finds the items whose vectors have the largest inner product with a query."""

    def search(
        self, queries: npt.NDArray[np.float32], k: int, allowed: npt.NDArray[np.bool_] | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Scores and rows, each (n_queries, k), best first; row -1 past the last item."""
        ...


@dataclass(frozen=True)
class FlatIndex:
    """Exhaustive search.

    Exact up to rounding; on catalogues of many items that sell once, graph indexes lose most neighbours
    (docs/architecture.md has the figures).
    """

    faiss_index: Any

    @classmethod
    def build(cls, vectors: npt.NDArray[np.float32], *, for_batches: bool = False) -> FlatIndex:
        """Index vectors, float32 (n_items, n_dimensions); an item's row is its place.

        Args:
            vectors: the items'.
            for_batches: keep full precision: many queries at once are then one matrix product, while one query alone
                reads half as much memory in half precision.
        """
        metric = faiss.METRIC_INNER_PRODUCT
        n_dimensions = vectors.shape[1]
        index = (
            faiss.IndexFlat(n_dimensions, metric)
            if for_batches
            else faiss.IndexScalarQuantizer(n_dimensions, faiss.ScalarQuantizer.QT_fp16, metric)
        )
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
        """As `ItemIndex`; `allowed` is bool (n_items,), and only these rows are found."""
        queries = np.ascontiguousarray(queries, np.float32)
        if allowed is None:
            scores, rows = self.faiss_index.search(queries, k)
        else:
            bits = np.packbits(allowed, bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]
            parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
            scores, rows = self.faiss_index.search(queries, k, params=parameters)
        return scores, rows.astype(np.int32)
