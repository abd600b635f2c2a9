"""Held-out support: how often later baskets have a mined set, compared with random pairs of equally popular items."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.core.ids import NO_ITEM
from recsys.core.metrics import Values
from recsys.evaluation.experiment import Experiment, QuestionResults
from recsys.evaluation.tasks import Task
from recsys.models.pairs.item_sets import MAX_SIZE, ItemSetModel
from recsys.models.pairs.set_mining import Rows

MAX_SETS: Final = 2000
"""Sets that are evaluated, the first ones of the shop."""

N_DRAWS: Final = 10
MIN_PAIRS: Final = 2000
"""Random pairs per pair of a set; more where there are few sets, so that there are at least this number."""

N_NEAR: Final = 10
"""Items of about the same popularity that one is drawn from, at least; a tenth of the rank for rarer items."""

MAX_DIFFERENCE: Final = 0.1
"""Largest difference of the logarithms of both popularities; among the first bestsellers some draws are left out."""

BEST: Final = 20
"""Sets of a first page."""

PRIMARY: Final = "set_support"

MayJoin = Callable[[Rows, Rows], npt.NDArray[np.bool_]]


def evaluate_sets(experiment: Experiment, baskets: Task) -> QuestionResults:
    """Compute the mean number of baskets that have a set as a whole, and of those that have a random pair.

    A random pair is as popular as two items of its set: the first item is drawn among those of about the same
    popularity, and the second one so that the product of both popularities is that of the set's items.

    Args:
        experiment: the models.
        baskets: later baskets of two or more items, or users with all that they bought later.

    Returns:
        By basket, the share of the sets that it has, times the number of baskets, so that the mean is the mean support:
        `set_support` of the first `MAX_SETS` sets, `set_support@20` of the first ones, and `set_support_of_N` of sets
        of N items.
    """
    engine = experiment.engine
    sets, types = engine.item_sets, engine.catalog.item_type

    def differ(first: Rows, second: Rows) -> npt.NDArray[np.bool_]:
        return (types[first] != types[second]) | (types[first] < 0)

    rng = np.random.default_rng(0)
    groups = groups_of(sets)
    values: dict[str, dict[str, Values]] = {"item_sets": {}, "random_pairs": {}}
    for name, chosen in groups.items():
        rows = sets.item_idx[chosen]
        values["item_sets"][name] = contained_share(baskets.relevant, rows) * len(baskets)
        pairs = random_pairs(rows, engine.copurchase.n_baskets, differ, rng)
        values["random_pairs"][name] = contained_share(baskets.relevant, pairs) * len(baskets)
    return QuestionResults(("item_sets",), PRIMARY, values, task=baskets)


def groups_of(sets: ItemSetModel) -> dict[str, npt.NDArray[np.int64]]:
    """Return the sets that each metric is the mean of; metrics without a set are left out."""
    first = np.arange(min(len(sets), MAX_SETS))
    size = (sets.item_idx[first] != NO_ITEM).sum(axis=1)
    groups = {PRIMARY: first, f"{PRIMARY}@{BEST}": first[:BEST]}
    groups |= {f"{PRIMARY}_of_{n}": first[size == n] for n in range(2, MAX_SIZE + 1)}
    return {name: rows for name, rows in groups.items() if len(rows)}


def contained_share(baskets: sparse.csr_matrix, sets: Rows) -> Values:
    """Return the share of the sets that each basket has as a whole, float64 (n_baskets,).

    Args:
        baskets: float32 CSR of ones (n_baskets, n_items).
        sets: int32 (n_sets, size), `NO_ITEM` past the last item.
    """
    columns = baskets.tocsc()
    whole = columns[:, sets[:, 0]]
    for position in range(1, sets.shape[1]):
        has = sets[:, position] != NO_ITEM
        if has.any():
            more = whole[:, np.flatnonzero(has)].multiply(columns[:, sets[has, position]])
            whole = sparse.hstack([whole[:, np.flatnonzero(~has)], more], format="csc")
            sets = np.concatenate([sets[~has], sets[has]])
    found: Values = np.asarray(whole.sum(axis=1), np.float64).ravel() / max(len(sets), 1)
    return found


def random_pairs(sets: Rows, n_baskets: npt.NDArray[np.integer], differ: MayJoin, rng: np.random.Generator) -> Rows:
    """Draw pairs of items that are together as popular as two items of each set, int32 (n_pairs, 2).

    Args:
        sets: int32 (n_sets, size), `NO_ITEM` past the last item.
        n_baskets: integer (n_items,), past baskets with each item.
        differ: returns which of some pairs are of different product types.
        rng: source of the draws.
    """
    parts = [sets[:, list(both)] for both in combinations(range(sets.shape[1]), 2)]
    wanted = np.concatenate(parts)
    wanted = wanted[(wanted != NO_ITEM).all(axis=1)]
    wanted = np.repeat(wanted, max(N_DRAWS, -(-MIN_PAIRS // max(len(wanted), 1))), axis=0)
    sold = np.flatnonzero(n_baskets > 0)
    ranked = sold[np.lexsort((rng.random(len(sold)), -n_baskets[sold]))]
    count = n_baskets[ranked].astype(np.float64)
    rank = np.zeros(len(n_baskets), np.int64)
    rank[ranked] = np.arange(len(ranked))
    first = _near(rank[wanted[:, 0]], len(ranked), rng)
    product = n_baskets[wanted].astype(np.float64).prod(axis=1)
    second = _near((-count).searchsorted(-product / count[first]), len(ranked), rng, spread=3)
    pairs = np.column_stack([ranked[first], ranked[second]]).astype(np.int32)
    kept = (pairs[:, 0] != pairs[:, 1]) & differ(pairs[:, 0], pairs[:, 1])
    kept &= np.abs(np.log(count[first] * count[second] / product)) <= MAX_DIFFERENCE
    return pairs[kept]


def _near(rank: npt.NDArray[np.int64], n: int, rng: np.random.Generator, spread: int = N_NEAR) -> npt.NDArray[np.int64]:
    """Draw ranks near the given ones, as far above as below them where there are any."""
    reach = np.maximum(spread, rank // 10) if spread == N_NEAR else np.full(len(rank), spread)
    offset = np.rint((2 * rng.random(len(rank)) - 1) * reach).astype(np.int64)
    near: npt.NDArray[np.int64] = np.clip(rank + offset, 0, n - 1)
    return near
