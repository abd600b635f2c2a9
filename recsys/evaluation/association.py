"""Baselines for what goes with an item: plain counts of shared baskets and what statistics makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.core.topk import top_k
from recsys.data.dataset import Dataset

Association = Callable[[npt.NDArray[np.float64], float, npt.NDArray[np.float64], float], npt.NDArray[np.float64]]
"""From baskets with both, baskets with the seed, with each other item, and all baskets, to a score an item."""

MIN_TOGETHER: Final = 5
"""Baskets below which a pair is no evidence: without it the rarest pairs lead every list."""


def co_count(
    both: npt.NDArray[np.float64], n_seed: float, n_other: npt.NDArray[np.float64], n_all: float
) -> npt.NDArray[np.float64]:
    """How many baskets hold both."""
    return both


def lift(
    both: npt.NDArray[np.float64], n_seed: float, n_other: npt.NDArray[np.float64], n_all: float
) -> npt.NDArray[np.float64]:
    """How many times chance."""
    return both * n_all / (n_seed * n_other)


def cosine(
    both: npt.NDArray[np.float64], n_seed: float, n_other: npt.NDArray[np.float64], n_all: float
) -> npt.NDArray[np.float64]:
    """`n_both / √(n_seed · n_other)`."""
    return both / np.sqrt(n_seed * n_other)


def log_likelihood_ratio(
    both: npt.NDArray[np.float64], n_seed: float, n_other: npt.NDArray[np.float64], n_all: float
) -> npt.NDArray[np.float64]:
    """How surprising the count is, below 0 where it is surprisingly low (Dunning 1993, Computational Linguistics)."""
    cells = (both, n_seed - both, n_other - both, n_all - n_seed - n_other + both)
    total = _entropy(*cells)
    rows = _entropy(np.full_like(both, n_seed), np.full_like(both, n_all - n_seed))
    columns = _entropy(n_other, n_all - n_other)
    ratio = np.maximum(2 * (rows + columns - total), 0)
    return np.where(both * n_all >= n_seed * n_other, ratio, -ratio)


def _entropy(*counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    total = sum(counts)
    return _x_log_x(np.asarray(total)) - sum(_x_log_x(np.maximum(count, 0)) for count in counts)


def _x_log_x(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return x * np.log(np.maximum(x, 1e-300))


def supported(association: Association) -> Association:
    """The same, with pairs that fewer than `MIN_TOGETHER` baskets hold penalty all others."""

    def score(
        both: npt.NDArray[np.float64], n_seed: float, n_other: npt.NDArray[np.float64], n_all: float
    ) -> npt.NDArray[np.float64]:
        found = association(both, n_seed, n_other, n_all)
        few = both < MIN_TOGETHER
        penalty = found.min(initial=0) - found.max(initial=0) - 1
        return found + np.where(few, penalty, 0)

    return score


ASSOCIATIONS: Final[Mapping[str, Association]] = MappingProxyType(
    {
        "co_count": co_count,
        "lift": supported(lift),
        "log_likelihood_ratio": supported(log_likelihood_ratio),
        "cosine": supported(cosine),
    }
)


@dataclass(frozen=True)
class BasketCounts:
    """Baskets of the past.

    Attributes:
        both: float64 CSR (n_items, n_items), baskets that hold two items, nothing on the diagonal.
        n_baskets: float64 (n_items,), baskets that hold each.
        n_all: all baskets.
    """

    both: sparse.csr_matrix
    n_baskets: npt.NDArray[np.float64]
    n_all: float


def count_baskets(dataset: Dataset) -> BasketCounts:
    """Count the baskets of everything that a dataset knows."""
    bought = dataset.target_events
    _, row = np.unique(bought.basket_idx, return_inverse=True)
    shape = (int(row.max(initial=-1)) + 1, len(dataset.items))
    baskets = sparse.csr_matrix((np.ones(len(row), np.float32), (row, bought.item_idx)), shape=shape)
    baskets.data[:] = 1
    both = (baskets.T @ baskets).tocsr()
    n_baskets = both.diagonal().astype(np.float64)
    both.setdiag(0)
    both.eliminate_zeros()
    return BasketCounts(both.astype(np.float64), n_baskets, float(shape[0]))


def associated_lists(
    counts: BasketCounts,
    association: Association,
    seeds: npt.NDArray[np.int32],
    k: int,
    item_type: npt.NDArray[np.int32] | None = None,
) -> npt.NDArray[np.int32]:
    """The best partners of each seed, int32 (n_seeds, k), -1 past the end.

    Args:
        counts: baskets.
        association: how partners are scored.
        seeds: int32 (n_seeds,).
        k: length of a list.
        item_type: if given, partners of the seed's own type are left out, as `complementary` does.
    """
    lists = np.full((len(seeds), k), -1, np.int32)
    of_seed: dict[int, npt.NDArray[np.int32]] = {}
    for query_idx, seed in enumerate(seeds.tolist()):
        if seed not in of_seed:
            of_seed[seed] = _best_partners(counts, association, seed, k, item_type)
        lists[query_idx, : len(of_seed[seed])] = of_seed[seed]
    return lists


def _best_partners(
    counts: BasketCounts, association: Association, seed: int, k: int, item_type: npt.NDArray[np.int32] | None
) -> npt.NDArray[np.int32]:
    row = slice(counts.both.indptr[seed], counts.both.indptr[seed + 1])
    partners, both = counts.both.indices[row], counts.both.data[row]
    if item_type is not None:
        other = (item_type[partners] != item_type[seed]) | (item_type[partners] < 0)
        partners, both = partners[other], both[other]
    score = association(both, counts.n_baskets[seed], counts.n_baskets[partners], counts.n_all)
    return partners[top_k(score, k, partners)].astype(np.int32)
