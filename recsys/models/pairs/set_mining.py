"""Sets of items that share baskets more often than chance: grown item by item, each growth tested."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import gammainc

from recsys.core.topk import top_k
from recsys.data.incidence import incidence
from recsys.models.pairs.basket_pairs import Baskets
from recsys.models.pairs.chance import ERROR_RATE, cautious_lift, is_no_chance, lowest_mean

Rows = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

BLOCK_ENTRIES: Final = 20_000_000
"""Most products of one block of a count, which bounds its memory."""

N_PERIODS: Final = 24
N_SIZES: Final = 6
BASKETS_PER_STRATUM: Final = 40
"""Periods and classes of sizes, and the fewest baskets of one of each on average: a pair's own baskets, which are among
them, then are a few percent of what chance is taken to give."""


@dataclass(frozen=True)
class MiningLimits:
    """The conditions of a mined set, and how many are kept.

    Attributes:
        max_size: items of the largest sets.
        min_support: fewest baskets.
        min_lift: smallest lower end of the lift.
        false_share: expected share of the sets of each size that are chance, in (0, 1].
        per_item: sets of each size that an item keeps; others stay where another one of their items keeps them.
        n_sets: sets of each size.
    """

    max_size: int
    min_support: int
    min_lift: float
    false_share: float
    per_item: int
    n_sets: int


@dataclass(frozen=True)
class MinedSets:
    """Sets of one size.

    Attributes:
        items: int32 (n, size), ascending rows of items.
        support: int64 (n,), baskets with all items.
        lift: float64 (n,), `support` over the number of baskets that would have all of them by chance.
        cautious_lift: float64 (n,), > 1, see `chance.cautious_lift`.
    """

    items: Rows
    support: npt.NDArray[np.int64]
    lift: Floats
    cautious_lift: Floats


def mine_sets(
    baskets: Baskets, may_join: Callable[[Rows, Rows], npt.NDArray[np.bool_]], limits: MiningLimits
) -> list[MinedSets]:
    """Find the sets of 2 to `max_size` items that share baskets more often than chance.

    A set `S ∪ {c}` is found if it passes a test from each of its parts `S`, which are sets that were found themselves:
    `n` baskets have all of it, and if `c` fell into the other places of the baskets with `S` as into any other place,
    there would be `E(c | S) = Σ_s Σ_{b ∋ S, b ∈ s} (|b| − |S|) · n_cs / (L_s − Σ_{i ∈ S} n_is)` of them. The strata `s`
    are baskets of one period and of similar size, with `L_s` places; so neither a season nor large baskets are taken
    for a connection. The test is that of a Poisson mean, at the largest rate that keeps the expected share of false
    sets among all possible ones below `false_share` (Benjamini & Hochberg 1995); where all baskets are independent, it
    is the probability that there is any set. The lower end of the mean of `n` has to be above `min_lift · E`, too. One
    buyer's baskets are no independent evidence: `n` counts as `n' = (Σ_u n_u)² / Σ_u n_u²` baskets (Kish 1965).

    The best sets have the largest `l · ln(lift)`, with the lower end `l` of `n` at 5 % and the `cautious_lift` over the
    number `E₀` of baskets that would have the whole set by chance, which has to be above 1: how much they surprise,
    times how often.

    Args:
        baskets: the baskets.
        may_join: returns which of some pairs of rows may be in one set.
        limits: the bounds.

    Returns:
        The sets of each size, from 2 on, best first; sizes without a set are left out.

    Reference:
        Agrawal & Srikant (1994), Fast Algorithms for Mining Association Rules, VLDB, for the growth level by level.
    """
    found: list[MinedSets] = []
    if not (np.diff(baskets.matrix.indptr) >= 2).any():
        return found
    lines = _Lines.of(baskets, limits.min_support)
    level = _Level(np.arange(len(lines.rows), dtype=np.int32)[:, None], lines.by_item)
    while len(level.items) and level.size < limits.max_size:
        sets, members = _grow(lines, level, may_join, limits)
        if len(sets.items):
            found.append(replace(sets, items=lines.rows[sets.items]))
        level = _Level(sets.items, members)
    return found


@dataclass(frozen=True)
class _Level:
    """Sets of one size: columns of their items, and CSR of ones (n_sets, n_baskets), the baskets with all of them."""

    items: Rows
    members: sparse.csr_matrix

    @property
    def size(self) -> int:
        return self.items.shape[1]


@dataclass(frozen=True)
class _Lines:
    """Baskets of two or more items, and the number of items of each stratum.

    Attributes:
        rows: int32 (n,), catalog rows of the columns: items in enough baskets.
        by_basket: float32 CSR (n_baskets, n).
        by_item: float32 CSR (n, n_baskets).
        size: float32 (n_baskets,), items of each basket, those without a column included.
        stratum: int32 (n_baskets,).
        counts: float32 (n, n_strata), baskets of a stratum with the item.
        places: float64 (n_strata,).
        owners: CSR of ones (n_baskets, n_owners).
    """

    rows: Rows
    by_basket: sparse.csr_matrix
    by_item: sparse.csr_matrix
    size: npt.NDArray[np.float32]
    stratum: Rows
    counts: npt.NDArray[np.float32]
    places: Floats
    owners: sparse.csr_matrix

    @classmethod
    def of(cls, baskets: Baskets, min_support: int) -> _Lines:
        is_several = np.diff(baskets.matrix.indptr) >= 2
        matrix = baskets.matrix[is_several]
        size = np.diff(matrix.indptr)
        n_baskets = np.asarray(matrix.sum(axis=0)).ravel()
        rows = np.flatnonzero(n_baskets >= min_support).astype(np.int32)
        by_basket = matrix[:, rows].tocsr()
        by_basket.sort_indices()
        stratum = _strata(baskets.timestamp[is_several], size)
        of_stratum = incidence(stratum, np.arange(len(stratum)), (int(stratum.max(initial=0)) + 1, len(stratum)))
        user = baskets.user_idx[is_several]
        owner = np.where(user >= 0, user, user.max(initial=0) + 1 + np.arange(len(user)))
        owner = np.unique(owner, return_inverse=True)[1]
        return cls(
            rows=rows,
            by_basket=by_basket,
            by_item=by_basket.T.tocsr(),
            size=size.astype(np.float32),
            stratum=stratum,
            counts=np.ascontiguousarray((of_stratum @ by_basket).toarray().T),
            places=np.bincount(stratum, size, minlength=of_stratum.shape[0]).astype(np.float64),
            owners=incidence(np.arange(len(owner)), owner, (len(owner), int(owner.max(initial=-1)) + 1)),
        )

    @cached_property
    def keys(self) -> npt.NDArray[np.int64]:
        """`basket · n + column` of every line, int64, ascending."""
        row = np.repeat(np.arange(self.by_basket.shape[0], dtype=np.int64), np.diff(self.by_basket.indptr))
        return row * len(self.rows) + self.by_basket.indices

    def places_left(self, level: _Level, block: slice) -> npt.NDArray[np.float32]:
        """Return `Σ_b (|b| − |S|) / (L_s − Σ_i n_is)` of some sets and each stratum, float32 (n_sets, n_strata)."""
        free = sparse.csr_matrix(
            (self.size - level.size, (np.arange(len(self.size)), self.stratum)), (len(self.size), len(self.places))
        )
        others = self.places - self.counts[level.items[block]].sum(axis=1)
        left: npt.NDArray[np.float32] = (level.members[block] @ free).toarray() / np.maximum(others, 1)
        return left.astype(np.float32)

    def by_chance(self, items: Rows) -> Floats:
        """Return the number of baskets that would have all items of each set by chance, float64 (n_sets,)."""
        size = np.maximum(self.size.astype(np.float64)[:, None] - np.arange(items.shape[1]), 0).prod(axis=1)
        ways = np.bincount(self.stratum, size, minlength=len(self.places))
        expected = np.zeros(len(items))
        for part in _slices(len(items), len(self.places)):
            share = (self.counts[items[part]] / self.places).prod(axis=1, dtype=np.float64)
            expected[part] = share @ ways
        return expected

    def with_all(self, parents: sparse.csr_matrix, columns: Rows) -> sparse.csr_matrix:
        """Return the baskets of each parent that have its column too."""
        column = np.repeat(columns, np.diff(parents.indptr))
        key = parents.indices.astype(np.int64) * len(self.rows) + column
        position = np.minimum(self.keys.searchsorted(key), len(self.keys) - 1)
        has = self.keys[position] == key
        ends = np.concatenate([[0], np.cumsum(has)])[parents.indptr]
        data = np.ones(int(has.sum()), np.float32)
        return sparse.csr_matrix((data, parents.indices[has], ends), shape=parents.shape)


def _strata(timestamp: npt.NDArray[np.int64], size: npt.NDArray[np.integer]) -> Rows:
    """Number the baskets by period and size, in classes of about equal numbers of baskets and of places."""
    n = len(timestamp)
    n_sizes = int(np.clip(n // BASKETS_PER_STRATUM, 1, N_SIZES))
    n_periods = int(np.clip(n // (BASKETS_PER_STRATUM * n_sizes), 1, N_PERIODS))
    period = _classes(timestamp, np.ones(n), n_periods)
    stratum = period * n_sizes + _classes(size, size.astype(np.float64), n_sizes)
    return np.unique(stratum, return_inverse=True)[1].astype(np.int32)


def _classes(value: npt.NDArray[np.integer], weight: Floats, n_classes: int) -> npt.NDArray[np.int64]:
    """Number equal values alike, in ascending classes of about equal weight."""
    position = np.unique(value, return_inverse=True)[1]
    of_value = np.bincount(position, weight)
    middle = np.cumsum(of_value) - of_value / 2
    number: npt.NDArray[np.int64] = (middle / weight.sum() * n_classes).astype(np.int64)[position]
    return number


@dataclass(frozen=True)
class _Growths:
    """Sets of a level, each with one item more; one entry per growth.

    Attributes:
        parent: int64, the set.
        column: int32, the new item.
        support: float64, baskets with all items.
        expected: float64, what chance would give; see `mine_sets`.
    """

    parent: npt.NDArray[np.int64]
    column: Rows
    support: Floats
    expected: Floats

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> _Growths:
        return _Growths(self.parent[rows], self.column[rows], self.support[rows], self.expected[rows])


def _grow(
    lines: _Lines, level: _Level, may_join: Callable[[Rows, Rows], npt.NDArray[np.bool_]], limits: MiningLimits
) -> tuple[MinedSets, sparse.csr_matrix]:
    """Return the sets of one more item, and their baskets."""
    passing = _passing(lines, level, limits)
    if level.size == 1:
        passing = passing.take(may_join(lines.rows[level.items[passing.parent, 0]], lines.rows[passing.column]))
    items = np.sort(np.column_stack([level.items[passing.parent], passing.column]), axis=1)
    chosen, expected = _found_from_all(items, passing, np.diff(level.members.indptr))
    found, items = passing.take(chosen), items[chosen]
    members = lines.with_all(level.members[found.parent], found.column)
    n_effective = _independent_baskets(members @ lines.owners)
    of_one = found.support / n_effective
    low, by_chance = lowest_mean(n_effective, ERROR_RATE) * of_one, lines.by_chance(items)
    is_set = low > limits.min_lift * np.maximum(expected, by_chance)
    n_possible = len(level.items) * len(lines.rows) / (level.size + 1)
    is_set &= is_no_chance(gammainc(n_effective, expected / of_one), n_possible, limits.false_share)
    lift, cautious = found.support / np.maximum(by_chance, 1e-300), cautious_lift(n_effective, by_chance / of_one)
    rows = np.flatnonzero(is_set & (cautious > 1))
    rows = rows[_best(items[rows], low[rows] * np.log(cautious[rows]), limits)]
    return MinedSets(items[rows], found.support[rows].astype(np.int64), lift[rows], cautious[rows]), members[rows]


def _passing(lines: _Lines, level: _Level, limits: MiningLimits) -> _Growths:
    """Return the growths that pass the tests, as if every basket were of another buyer."""
    size, parts = np.diff(lines.by_basket.indptr).astype(np.float64), []
    for block in _blocks(np.asarray(level.members @ size).ravel() + len(lines.places)):
        left = lines.places_left(level, block)
        counts = (level.members[block] @ lines.by_basket).tocoo()
        is_new = (counts.data >= limits.min_support) & ~(level.items[block][counts.row] == counts.col[:, None]).any(1)
        parent, column = counts.row[is_new].astype(np.int64) + block.start, counts.col[is_new].astype(np.int32)
        support, expected = counts.data[is_new].astype(np.float64), np.zeros(int(is_new.sum()))
        for part in _slices(len(parent), len(lines.places)):
            expected[part] = np.einsum("ij,ij->i", left[parent[part] - block.start], lines.counts[column[part]])
        passes = support > limits.min_lift * expected
        passes[passes] = gammainc(support[passes], expected[passes]) <= limits.false_share
        parts.append(_Growths(parent, column, support, expected).take(passes))
    found = _Growths(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))
    n_possible = len(level.items) * len(lines.rows)
    return found.take(is_no_chance(gammainc(found.support, found.expected), n_possible, limits.false_share))


def _found_from_all(
    items: Rows, growths: _Growths, support: npt.NDArray[np.integer]
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return the growth of each set that was found from all its parts, and the largest expectation of these.

    It is the growth from the part with the fewest baskets.
    """
    order = np.lexsort((support[growths.parent], *items.T[::-1]))
    if not len(order):
        return order, growths.expected
    start = np.flatnonzero(np.concatenate([[True], (items[order][1:] != items[order][:-1]).any(axis=1)]))
    is_whole = np.diff(np.append(start, len(order))) == items.shape[1]
    return order[start[is_whole]], np.maximum.reduceat(growths.expected[order], start)[is_whole]


def _independent_baskets(of_owner: sparse.csr_matrix) -> Floats:
    """Return `(Σ_u n_u)² / Σ_u n_u²` for each row of baskets by owner, float64 (n_rows,)."""
    total = np.asarray(of_owner.sum(axis=1), np.float64).ravel()
    squares = np.asarray(of_owner.power(2).sum(axis=1), np.float64).ravel()
    effective: Floats = total**2 / np.maximum(squares, 1)
    return effective


def _best(items: Rows, score: Floats, limits: MiningLimits) -> npt.NDArray[np.int64]:
    """Return the best sets, best first, that any of their items keeps among its best ones."""
    order = top_k(score, len(score))
    ranked = items[order]
    kept = np.zeros(len(order), np.bool_)
    for column in range(items.shape[1]):
        kept |= _nth_of(ranked, column) < limits.per_item
    return order[kept][: limits.n_sets]


def _nth_of(ranked: Rows, column: int) -> npt.NDArray[np.int64]:
    """Return how many sets before each one have its item of a column, in any column."""
    flat = ranked.ravel()
    order = np.argsort(flat, kind="stable")
    start = np.flatnonzero(np.concatenate([[True], flat[order][1:] != flat[order][:-1]])) if len(flat) else order
    nth = np.zeros(len(flat), np.int64)
    nth[order] = np.arange(len(flat)) - np.repeat(start, np.diff(np.append(start, len(flat))))
    return nth.reshape(ranked.shape)[:, column]


def _blocks(work: Floats) -> Iterator[slice]:
    """Yield consecutive slices whose work is bounded."""
    number = (np.cumsum(work) // BLOCK_ENTRIES).astype(np.int64)
    starts = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(work)]
    yield from (slice(start, end) for start, end in pairwise(starts))


def _slices(n: int, width: int) -> Iterator[slice]:
    """Yield consecutive slices of `n` rows whose tables of some columns are bounded."""
    step = max(BLOCK_ENTRIES // max(width, 1), 1)
    yield from (slice(start, start + step) for start in range(0, n, step))
