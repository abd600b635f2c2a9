"""The candidates of one request: the union of the items that its sources found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
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


UNLIMITED: Final = 2**31
"""Quota of a source that has none."""


@dataclass(frozen=True)
class Candidates:
    """The union of the items that the sources found.

    Attributes:
        item_idx: int32 (n,), distinct, ascending.
        names: of the sources.
        table: float32 (n_sources, n), scores divided by the source's best; 0 where it did not find the item.
        best_scores: float32 (n_sources,), score of the best item that each source found, 0 where it found nothing.
    """

    item_idx: npt.NDArray[np.int32]
    names: tuple[str, ...]
    table: npt.NDArray[np.float32]
    best_scores: npt.NDArray[np.float32]

    @classmethod
    def of(
        cls,
        item_idx: npt.NDArray[np.int32],
        scores: Mapping[str, npt.NDArray[np.float32]],
        best: Mapping[str, float],
    ) -> Candidates:
        """Return candidates from their scores, and the best one, by source."""
        table = np.array(list(scores.values()), np.float32).reshape(len(scores), len(item_idx))
        return cls(item_idx, tuple(scores), table, np.array([best[name] for name in scores], np.float32))

    @cached_property
    def scores(self) -> Mapping[str, npt.NDArray[np.float32]]:
        """By source, its row of `table`."""
        return dict(zip(self.names, self.table, strict=True))

    @cached_property
    def best(self) -> Mapping[str, float]:
        """By source, its entry of `best_scores`."""
        return dict(zip(self.names, self.best_scores.tolist(), strict=True))

    def take(self, positions: slice | npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Candidates:
        """Returns the candidates at some positions."""
        if isinstance(positions, slice):
            return Candidates(self.item_idx[positions], self.names, self.table[:, positions], self.best_scores)
        rows = np.flatnonzero(positions) if positions.dtype == np.bool_ else positions
        return Candidates(self.item_idx[rows], self.names, np.take(self.table, rows, axis=1), self.best_scores)


NO_CANDIDATES: Final = Candidates(np.empty(0, np.int32), (), np.empty((0, 0), np.float32), np.empty(0, np.float32))


def unite(found: Mapping[str, Scored], owned: npt.NDArray[np.int32], n_items: int) -> Candidates:
    """Returns the candidates within the quotas of their sources, with every score that a source has for them.

    Args:
        found: by source.
        owned: int32, rows of the items that the user bought; see `top_per_source`.
        n_items: number of items of the catalog.
    """
    joined = _joined(found)
    names = tuple(found)
    return _union(names, joined, _top(names, joined, owned, n_items), n_items)


def top_per_source(found: Mapping[str, Scored], owned: npt.NDArray[np.int32], n_items: int) -> npt.NDArray[np.int32]:
    """Returns the rows within the quotas of their sources, int32, distinct, ascending.

    Items that the user bought come from the source `repeat`, if from any; the quotas of the other sources are for new
    items.

    Args:
        found: by source.
        owned: int32, distinct rows of the items that the user bought.
        n_items: number of items of the catalog.
    """
    return _top(tuple(found), _joined(found), owned, n_items)


def union(found: Mapping[str, Scored], rows: npt.NDArray[np.int32], n_items: int) -> Candidates:
    """Returns rows with every score that a source has for them.

    Args:
        found: by source.
        rows: int32 (n,), distinct, ascending.
        n_items: number of items of the catalog.
    """
    return _union(tuple(found), _joined(found), rows, n_items)


Joined = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.int64]]
"""The rows and scores of all sources, one after the other, and where each begins."""


def _joined(found: Mapping[str, Scored]) -> Joined:
    rows = [rows for rows, _ in found.values()]
    starts = np.array([0, *accumulate(map(len, rows))], np.int64)
    return np.concatenate(rows), np.concatenate([score for _, score in found.values()]), starts


@lru_cache(maxsize=64)
def _quotas(names: tuple[str, ...]) -> tuple[npt.NDArray[np.int64], int]:
    """The quota of each source, and the source of items that the user bought, -1 for none."""
    quotas = np.array([QUOTAS.get(name, UNLIMITED) for name in names], np.int64)
    return quotas, names.index("repeat") if "repeat" in names else -1


def _top(names: tuple[str, ...], joined: Joined, owned: npt.NDArray[np.int32], n_items: int) -> npt.NDArray[np.int32]:
    return choose_top(*joined, *_quotas(names), owned, n_items)


def _union(names: tuple[str, ...], joined: Joined, rows: npt.NDArray[np.int32], n_items: int) -> Candidates:
    return Candidates(rows, names, *score_table(*joined, rows, n_items))
