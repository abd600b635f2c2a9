"""A map of the catalog: items at positions in the plane, near each other where their embeddings are similar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.ids import UNKNOWN
from recsys.data.catalog import Catalog
from recsys.fitting.engine import Engine

MAX_PLACED: Final = 2_000
MAX_NAMED: Final = 8
"""Categories that the map tells apart."""

N_NEIGHBORS: Final = 10
N_EPOCHS: Final = 30
N_PUSHED: Final = 2
"""Items that each pair of neighbors pushes away, in each epoch."""

START_SPREAD: Final = 4.0
MAX_STEP: Final = 4.0
NEAR: Final = 1e-3
"""Keeps the push of two equal positions finite."""

LEVEL_SEPARATOR: Final = " > "


@dataclass(frozen=True)
class CatalogMap:
    """Positions of items.

    Half of the items are the best sellers and half are drawn from all others, in turn: every beginning of the rows is a
    fair picture of the catalog.

    Attributes:
        item_idx: int32 (n,), rows of the items.
        position: float32 (n, 2), in [0, 1].
    """

    item_idx: npt.NDArray[np.int32]
    position: npt.NDArray[np.float32]

    @classmethod
    def of(cls, engine: Engine) -> CatalogMap:
        """Place the items of an engine that lists may contain; those without an embedding have no place."""
        item_idx = choose_items(engine)
        vectors = engine.index.faiss_index.reconstruct_batch(item_idx.astype(np.int64))
        length = np.linalg.norm(vectors, axis=1)
        known = length > 0
        return cls(item_idx[known], place(vectors[known] / length[known, None]))


def choose_items(engine: Engine) -> npt.NDArray[np.int32]:
    """Return rows of best sellers and of others in turn, int32, at most `MAX_PLACED`; the same at each call."""
    listable = engine.listable["all"]
    rows = np.arange(engine.n_items, dtype=np.int32) if listable is None else np.flatnonzero(listable)
    by_buyers = rows[np.argsort(-engine.popularity.n_buyers[rows], kind="stable")]
    n_best = min(MAX_PLACED // 2, (len(rows) + 1) // 2)
    others = np.random.default_rng(0).permutation(by_buyers[n_best:])[: MAX_PLACED - n_best]
    chosen = np.empty(n_best + len(others), np.int32)
    chosen[0::2], chosen[1::2] = by_buyers[:n_best], others
    return chosen


def place(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Place vectors in the plane: neighbors attract each other and all others are pushed away.

    The positions begin at the first two principal components and descend the cross entropy of UMAP with the
    similarity `1 / (1 + distance²)`, with `N_PUSHED` random items per pair of neighbors and without its weights of the
    pairs (McInnes, Healy and Melville, 2018).

    Args:
        vectors: float32 (n, n_dimensions), of length 1.

    Returns:
        float32 (n, 2), each column from 0 to 1; 0.5 where all are equal. The same at each call.
    """
    position, rng = principal_components(vectors), np.random.default_rng(0)
    spread = float(position.std()) if len(position) else 0.0
    one, other = _neighbors(vectors)
    if spread == 0 or not len(one):
        return _scaled(position)
    position *= START_SPREAD / spread
    pushing = np.repeat(one, N_PUSHED)
    for epoch in range(N_EPOCHS):
        pushed = rng.integers(0, len(position), len(pushing))
        pull, push = position[one] - position[other], position[pushing] - position[pushed]
        pull *= np.clip(-2 / (1 + _squares(pull)), -MAX_STEP, 0)[:, None]
        distance = _squares(push)
        push = np.clip(push * (2 / ((NEAR + distance) * (1 + distance)))[:, None], -MAX_STEP, MAX_STEP)
        rate = (1 - epoch / N_EPOCHS) / N_NEIGHBORS
        position += rate * (_sums(one, pull, position) - _sums(other, pull, position) + _sums(pushing, push, position))
    return _scaled(position)


def principal_components(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the first two principal components of vectors, float64 (n, 2); 0 where there is none."""
    found = np.zeros((len(vectors), 2))
    if len(vectors):
        centered = vectors - vectors.mean(axis=0)
        axes = np.linalg.eigh(centered.T @ centered)[1][:, ::-1][:, :2]
        axes *= np.where(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])] < 0, -1, 1)
        found[:, : axes.shape[1]] = centered @ axes
    return found


def _neighbors(vectors: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return pairs of each vector with its nearest others, by inner product, as two columns."""
    k = min(N_NEIGHBORS, len(vectors) - 1)
    if k < 1:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    products = vectors @ vectors.T
    np.fill_diagonal(products, -np.inf)
    return np.repeat(np.arange(len(vectors)), k), np.argpartition(-products, k - 1, axis=1)[:, :k].ravel()


def _squares(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = np.einsum("ij,ij->i", vectors, vectors)
    return found


def _sums(
    rows: npt.NDArray[np.int64], steps: npt.NDArray[np.float64], position: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the sum of the steps of each row."""
    return np.stack([np.bincount(rows, step, len(position)) for step in steps.T], axis=1)


def _scaled(position: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Scale each column to 0 to 1, half by value and half by rank, so that a distant group leaves no void."""
    if not len(position):
        return position.astype(np.float32)
    low, span = position.min(axis=0), np.ptp(position, axis=0)
    rank = np.argsort(np.argsort(position, axis=0, kind="stable"), axis=0) / max(len(position) - 1, 1)
    both = ((position - low) / np.where(span > 0, span, 1) + rank) / 2
    return np.where(span > 0, both, 0.5).astype(np.float32)


def name_categories(catalog: Catalog, item_idx: npt.NDArray[np.int32]) -> list[str | None]:
    """Return the category of each item, None if it is unknown or not one of the `MAX_NAMED` most frequent ones.

    The level of the paths is the one that tells most about the items: the entropy of its named categories, and of all
    others as one, is the largest.
    """
    numbers = catalog.item_type[item_idx].tolist()
    paths = [() if n == UNKNOWN else tuple(catalog.type_names[n].split(LEVEL_SEPARATOR)) for n in numbers]
    levels = [_at_level(paths, level) for level in range(max(map(len, paths), default=0))]
    return max(levels, key=_entropy, default=[None] * len(paths))


def _at_level(paths: Sequence[tuple[str, ...]], level: int) -> list[str | None]:
    names = [path[level] if len(path) > level else None for path in paths]
    named = dict(Counter(name for name in names if name is not None).most_common(MAX_NAMED))
    return [name if name in named else None for name in names]


def _entropy(names: Sequence[str | None]) -> float:
    share = np.array(list(Counter(names).values())) / len(names)
    return float(-(share * np.log(share)).sum())
