"""The candidates of one request: the union of the items that its sources found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.topk import distinct, positions, top_k

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
        owned: int32, rows of the items that the user bought.
        n_items: number of items of the catalog.
    """
    is_owned: npt.NDArray[np.bool_] | None = None
    kept = []
    for name, (rows, score) in found.items():
        quota = QUOTAS.get(name, len(rows))
        if len(rows) <= quota:
            kept.append(rows)
            continue
        if name != "repeat":
            if is_owned is None:
                is_owned = np.zeros(n_items, np.bool_)
                is_owned[owned] = True
            score = np.where(is_owned[rows], np.float32(0), score)
        kept.append(_best(rows, score, quota))
    return distinct(np.concatenate(kept))


def union(found: Mapping[str, Scored], rows: npt.NDArray[np.int32], n_items: int) -> Candidates:
    """Returns rows with every score that a source has for them.

    Args:
        found: by source.
        rows: int32 (n,), distinct, ascending.
        n_items: number of items of the catalog.
    """
    best = np.array([score.max(initial=0) for _, score in found.values()], np.float32)
    table = np.zeros((len(found), len(rows)), np.float32)
    position = positions(rows, np.concatenate([of_source for of_source, _ in found.values()]), n_items)
    known = np.flatnonzero(position >= 0)
    source = np.repeat(np.arange(len(found)), [len(of_source) for of_source, _ in found.values()])
    table[source[known], position[known]] = np.concatenate([score for _, score in found.values()])[known]
    table /= np.where(best > 0, best, 1)[:, None]
    return Candidates(rows, dict(zip(found, table, strict=True)), dict(zip(found, best.tolist(), strict=True)))


def _best(rows: npt.NDArray[np.int32], score: npt.NDArray[np.float32], quota: int) -> npt.NDArray[np.int32]:
    """The rows of the highest scores above 0, in any order; equal scores by row."""
    threshold = np.partition(score, -quota)[-quota]
    if threshold <= 0:
        return rows[score > 0]
    best = rows[score >= threshold]
    return best if len(best) == quota else rows[top_k(score, quota, rows)]
