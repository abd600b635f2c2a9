"""Baselines for related items: counts of shared baskets and association measures derived from them."""

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
from recsys.data.incidence import incidence

Association = Callable[[npt.NDArray[np.float64], float, npt.NDArray[np.float64], float], npt.NDArray[np.float64]]
"""Maps baskets with both items, baskets with the seed, with each other item, and all baskets to a score per item."""

MIN_TOGETHER: Final = 5
"""Pairs in fewer baskets are not significant; without this limit the rarest pairs come first in every list."""


def co_count(
    both: npt.NDArray[np.float64], n_seed: float, n_other: npt.NDArray[np.float64], n_all: float
) -> npt.NDArray[np.float64]:
    """Return the number of baskets that contain both items."""
    return both


def lift(
    both: npt.NDArray[np.float64], n_seed: float, n_other: npt.NDArray[np.float64], n_all: float
) -> npt.NDArray[np.float64]:
    """Compute the lift, `n_both · n_all / (n_seed · n_other)`: 1 for independent items.

    >>> lift(np.array([2.0]), 4, np.array([5.0]), 10)
    array([1.])
    """
    return both * n_all / (n_seed * n_other)


def cosine(
    both: npt.NDArray[np.float64], n_seed: float, n_other: npt.NDArray[np.float64], n_all: float
) -> npt.NDArray[np.float64]:
    """Compute the cosine of the basket vectors, `n_both / √(n_seed · n_other)`, in [0, 1].

    >>> cosine(np.array([2.0]), 4, np.array([4.0]), 10)
    array([0.5])
    """
    return both / np.sqrt(n_seed * n_other)


def log_likelihood_ratio(
    both: npt.NDArray[np.float64], n_seed: float, n_other: npt.NDArray[np.float64], n_all: float
) -> npt.NDArray[np.float64]:
    """Compute the log-likelihood ratio of dependence, negative for pairs that are rarer than by chance.

    Reference:
        Dunning (1993), Accurate Methods for the Statistics of Surprise and Coincidence, Computational Linguistics.
        Deviation: the sign.
    """
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
    """Return the measure with pairs in fewer than `MIN_TOGETHER` baskets ordered after all others."""

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


def discounted_co_count(power: float) -> Association:
    """Return the number of baskets that contain both items, divided by the popularity of the partner to a power.

    Args:
        power: β, in [0, 1]; 0 orders by the number, 1 by lift.
    """

    def score(
        both: npt.NDArray[np.float64], n_seed: float, n_other: npt.NDArray[np.float64], n_all: float
    ) -> npt.NDArray[np.float64]:
        return both / n_other**power

    return score


DISCOUNTED: Final[Mapping[str, Association]] = MappingProxyType(
    {f"co_count_discount_{power}": discounted_co_count(power) for power in (0.1, 0.2, 0.3, 0.4, 0.5)}
)
"""Co-counts between counting and lift, to compare lists with that avoid best sellers."""


@dataclass(frozen=True)
class BasketCounts:
    """Counts of past baskets.

    Attributes:
        both: float64 CSR (n_items, n_items), baskets that contain both items, zero on the diagonal.
        n_baskets: float64 (n_items,), baskets that contain the item.
        n_all: number of all baskets.
    """

    both: sparse.csr_matrix
    n_baskets: npt.NDArray[np.float64]
    n_all: float


def count_baskets(dataset: Dataset) -> BasketCounts:
    """Count the baskets of all target events of a dataset."""
    bought = dataset.target_events
    _, row = np.unique(bought.basket_idx, return_inverse=True)
    shape = (int(row.max(initial=-1)) + 1, len(dataset.items))
    baskets = incidence(row, bought.item_idx, shape)
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
    """List the best partners of each seed.

    Args:
        counts: basket counts.
        association: score of a partner.
        seeds: int32 (n_seeds,).
        k: length of a list, >= 1.
        item_type: int32 (n_items,); if given, partners of the seed's own type are left out, as in `complementary`.

    Returns:
        int32 (n_seeds, k), best first, -1 past the end of a short list.
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
