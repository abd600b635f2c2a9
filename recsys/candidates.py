"""The candidates of one request: what all sources found, united, each source within its quota."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.shopper import Scored, Shopper
from recsys.topk import top_k

QUOTAS: Final[Mapping[str, int]] = MappingProxyType(
    {"repeat": 150, "als": 80, "together": 80, "affinity": 80, "ease": 60, "popular": 60, "touched": 60, "content": 40}
)
"""Most candidates that a source may bring to a list that is ranked; all that any source knows of them counts."""

Source = Callable[[Shopper], Scored]


@dataclass(frozen=True)
class Candidates:
    """The union of what sources found.

    Attributes:
        item_idx: int32 (n,), distinct, ascending.
        scores: by source, float32 (n,), divided by the source's best; 0 where it did not find the item.
        best: by source, the score of the best that it found, 0 where it found nothing.
    """

    item_idx: npt.NDArray[np.int32]
    scores: Mapping[str, npt.NDArray[np.float32]]
    best: Mapping[str, float]

    def take(self, kept: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Candidates:
        """The chosen candidates."""
        return Candidates(self.item_idx[kept], {name: score[kept] for name, score in self.scores.items()}, self.best)


def gather(sources: Mapping[str, Source], shopper: Shopper) -> Candidates:
    """Ask every source and unite what they found.

    What the shopper owns comes from the source that knows it best, `repeat`, if from any; the quotas of the others are
    for what is new.

    Args:
        sources: by name.
        shopper: whom, and what, the request is about.
    """
    found = {name: source(shopper) for name, source in sources.items()}
    rows = _distinct(np.concatenate([_within_quota(name, *found[name], shopper) for name in found]))
    best = {name: float(score.max(initial=0)) for name, (_, score) in found.items()}
    return Candidates(rows, {name: spread(rows, *scored) for name, scored in found.items()}, best)


def _within_quota(
    name: str, rows: npt.NDArray[np.int32], score: npt.NDArray[np.float32], shopper: Shopper
) -> npt.NDArray[np.int32]:
    quota = QUOTAS.get(name)
    if quota is None or len(rows) <= quota:
        return rows
    if name != "repeat":
        is_new = ~is_among(rows, shopper.own.item_idx)
        rows, score = rows[is_new], score[is_new]
    return rows[top_k(score, quota, rows)]


def spread(
    rows: npt.NDArray[np.int32], found: npt.NDArray[np.int32], score: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Scores of all rows (ascending) from those of the rows found, as shares of the best; 0 where not found."""
    column = np.zeros(len(rows), np.float32)
    if len(rows) and score.max(initial=0) > 0:
        place = np.minimum(rows.searchsorted(found), len(rows) - 1)
        known = rows[place] == found
        column[place[known]] = score[known] / score.max()
    return column


def is_among(rows: npt.NDArray[np.int32], ascending: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Which rows are in an ascending array, bool (n,)."""
    if not len(ascending):
        return np.zeros(len(rows), np.bool_)
    return ascending[np.minimum(ascending.searchsorted(rows), len(ascending) - 1)] == rows


def _distinct(rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Distinct rows, ascending; by sorting, which beats `np.unique`'s hash table fifteen times at this size."""
    ordered = np.sort(rows)
    return ordered[np.concatenate([ordered[:1] >= 0, ordered[1:] != ordered[:-1]])]
