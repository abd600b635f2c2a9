"""The candidates of one request: the union of the items that its sources found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.kernels.candidates import choose_top, score_table

Scored = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]
"""Distinct rows of items, int32 (n,), and their scores, float32 (n,), > 0."""

QUOTAS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "repeat": 150,
        "als": 80,
        "together": 80,
        "affinity": 80,
        "ease": 60,
        "popular": 60,
        "touched": 60,
        "around": 60,
        "after": 40,
        "content": 40,
    }
)
"""Largest number of candidates per source. All scores that any source has for a candidate count."""


@dataclass(frozen=True)
class Candidates:
    """The union of the items that the sources found.

    Attributes:
        item_idx: int32 (n,), distinct, ascending.
        scores: by source, float32 (n,), divided by the source's best; 0 where it did not find the item.
        best: by source, the score of the best item that it found, 0 where it found nothing.
    """

    item_idx: npt.NDArray[np.int32]
    scores: Mapping[str, npt.NDArray[np.float32]]
    best: Mapping[str, float]

    def take(self, positions: slice | npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Candidates:
        """Returns the candidates at some positions."""
        scores = {name: score[positions] for name, score in self.scores.items()}
        return Candidates(self.item_idx[positions], scores, self.best)


NO_CANDIDATES: Final = Candidates(np.empty(0, np.int32), MappingProxyType({}), MappingProxyType({}))


def unite(found: Mapping[str, Scored], owned: npt.NDArray[np.int32], n_items: int) -> Candidates:
    """Returns the candidates within the quotas of their sources, with every score that a source has for them.

    Args:
        found: by source.
        owned: int32, rows of the items that the user bought; see `top_per_source`.
        n_items: number of items of the catalog.
    """
    return union(found, top_per_source(found, owned, n_items), n_items)


def top_per_source(found: Mapping[str, Scored], owned: npt.NDArray[np.int32], n_items: int) -> npt.NDArray[np.int32]:
    """Returns the rows within the quotas of their sources, int32, distinct, ascending.

    Items that the user bought come from the source `repeat`, if from any; the quotas of the other sources are for new
    items.

    Args:
        found: by source.
        owned: int32, distinct rows of the items that the user bought.
        n_items: number of items of the catalog.
    """
    rows, score, starts = _joined(found)
    quota = np.array([QUOTAS.get(name, len(of_source)) for name, (of_source, _) in found.items()], np.int64)
    repeat = list(found).index("repeat") if "repeat" in found else -1
    return choose_top(rows, score, starts, quota, repeat, owned, n_items)


def union(found: Mapping[str, Scored], rows: npt.NDArray[np.int32], n_items: int) -> Candidates:
    """Returns rows with every score that a source has for them.

    Args:
        found: by source.
        rows: int32 (n,), distinct, ascending.
        n_items: number of items of the catalog.
    """
    table, best = score_table(*_joined(found), rows, n_items)
    return Candidates(rows, dict(zip(found, table, strict=True)), dict(zip(found, best.tolist(), strict=True)))


def _joined(
    found: Mapping[str, Scored],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """The rows and scores of all sources, one after the other, and where each begins."""
    starts = np.zeros(len(found) + 1, np.int64)
    np.cumsum([len(rows) for rows, _ in found.values()], out=starts[1:])
    rows, score = (np.concatenate(parts) for parts in zip(*found.values(), strict=True))
    return rows, score, starts
