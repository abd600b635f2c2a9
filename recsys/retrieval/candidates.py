"""The candidates of one request: what all sources found, united, each source within its quota."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.topk import distinct, positions, top_k
from recsys.retrieval.user_state import Scored, UserState

QUOTAS: Final[Mapping[str, int]] = MappingProxyType(
    {"repeat": 150, "als": 80, "together": 80, "affinity": 80, "ease": 60, "popular": 60, "touched": 60, "content": 40}
)
"""Most candidates that a source may bring to a list that is ranked; all that any source knows of them counts."""

Source = Callable[[UserState], Scored]


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


def generate(sources: Mapping[str, Source], state: UserState) -> Candidates:
    """Ask every source and unite what they found.

    Args:
        sources: by name.
        state: whom, and what, the request is about.
    """
    found = {name: source(state) for name, source in sources.items()}
    return union(found, top_per_source(found, state), len(state.engine.items))


def top_per_source(found: Mapping[str, Scored], state: UserState) -> npt.NDArray[np.int32]:
    """The rows that are within their sources' quotas, int32, distinct, ascending.

    What the shopper owns comes from the source that knows it best, `repeat`, if from any; the quotas of the others are
    for what is new.

    Args:
        found: by source.
        state: whom, and what, the request is about.
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
                is_owned = np.zeros(len(state.engine.items), np.bool_)
                is_owned[state.own.item_idx] = True
            score = np.where(is_owned[rows], np.float32(0), score)
        kept.append(_best(rows, score, quota))
    return distinct(np.concatenate(kept))


def union(found: Mapping[str, Scored], rows: npt.NDArray[np.int32], n_items: int) -> Candidates:
    """Rows with all that any source knows of them.

    Args:
        found: by source.
        rows: int32 (n,), distinct, ascending.
        n_items: of the catalogue.
    """
    best = np.array([score.max(initial=0) for _, score in found.values()], np.float32)
    table = np.zeros((len(found), len(rows)), np.float32)
    place = positions(rows, np.concatenate([of_source for of_source, _ in found.values()]), n_items)
    known = np.flatnonzero(place >= 0)
    source = np.repeat(np.arange(len(found)), [len(of_source) for of_source, _ in found.values()])
    table[source[known], place[known]] = np.concatenate([score for _, score in found.values()])[known]
    table /= np.where(best > 0, best, 1)[:, None]
    return Candidates(rows, dict(zip(found, table, strict=True)), dict(zip(found, best.tolist(), strict=True)))


def _best(rows: npt.NDArray[np.int32], score: npt.NDArray[np.float32], quota: int) -> npt.NDArray[np.int32]:
    """The rows of the highest scores above 0, in any order; equal scores by row."""
    threshold = np.partition(score, -quota)[-quota]
    if threshold <= 0:
        return rows[score > 0]
    best = rows[score >= threshold]
    return best if len(best) == quota else rows[top_k(score, quota, rows)]
