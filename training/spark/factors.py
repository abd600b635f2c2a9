"""Implicit ALS with the users in Spark: the objective and the solver of `recsys.models.collaborative.als_solver`.

Users are solved part by part, given the factors of the items. Items with few users are solved exactly, in blocks of
items; the others take steps of conjugate gradients, whose sums over users are added over the parts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.core.blas_threads import one_blas_thread
from recsys.fitting.parts import user_weights
from recsys.kernels.factorization import Factors
from recsys.models.collaborative.als import ALSConfig, ALSModel, als_model, n_sweeps
from recsys.models.collaborative.als_solver import (
    Entries,
    added,
    few_and_many,
    first_factors,
    project,
    solve_few_rows,
    solve_rows,
    take_steps,
)
from training.spark.pieces import sum_of
from training.spark.records import Frame, Record

if TYPE_CHECKING:
    from pyspark import RDD

FEW_ITEMS: Final = 4096
"""Items of a block whose factors are solved exactly at once."""


class Users(NamedTuple):
    """Users of a part: their weights, float32 CSR (n_users, n_items), and their factors."""

    weight: sparse.csr_matrix
    factors: Factors


class Given(NamedTuple):
    """Entries of items by users of one part: users, float32 (n, n_factors), and each entry's item, user and weight."""

    factors: Factors
    item: npt.NDArray[np.int64]
    user: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float32]


@dataclass(frozen=True)
class ItemSums:
    """Sums over users: `XᵀX`, float32 (n_factors, n_factors), and those of the first residuals of items."""

    gram: Factors
    residual: Factors


def fit_factors(
    records: RDD[Record],
    frame: Frame,
    n_users: dict[int, int],
    config: ALSConfig,
    rng: np.random.Generator,
    start: Factors | None,
) -> ALSModel:
    """Fit ALS on the events of all users, from the same random factors as in one process.

    Args:
        records: the parts.
        frame: what they have in common.
        n_users: number of users of each part.
        config: settings.
        rng: source of the initial factors.
        start: float32 (n_items, n_factors), item factors to begin with; random ones if None.
    """
    from pyspark import StorageLevel

    offsets = dict(zip(sorted(n_users), np.cumsum([0, *(n_users[part] for part in sorted(n_users))]), strict=False))
    begin = partial(_begin, frame=frame, config=config, offsets=offsets, rng=deepcopy(rng))
    users = records.filter(lambda record: record.n_users > 0).map(begin).persist(StorageLevel.DISK_ONLY)
    counted = sum_of(users, _count_entries, np.ndarray) if sum(n_users.values()) else np.zeros(frame.n_items, np.int64)
    skip(rng, sum(n_users.values()) * config.n_factors)
    items = first_factors(counted, config.n_factors, rng)
    if start is not None:
        items = np.where((counted > 0)[:, None], start, np.float32(0))
    for _ in range(n_sweeps(config, start) if counted.any() else 0):
        solved = users.map(partial(_solve_users, items=items, regularization=config.regularization))
        solved = solved.persist(StorageLevel.DISK_ONLY)
        items = _solve_items(solved, items, counted, config)
        users.unpersist()
        users = solved
    users.unpersist()
    return als_model(items, config)


def skip(rng: np.random.Generator, n: int) -> None:
    """Skip the next `n` single-precision numbers of a generator that has drawn none; two of them are one step."""
    rng.bit_generator.advance(n // 2)  # type: ignore[attr-defined]
    rng.random(n % 2, np.float32)


def _begin(record: Record, frame: Frame, config: ALSConfig, offsets: dict[int, Any], rng: np.random.Generator) -> Users:
    weight = user_weights(frame.dataset(record), config)
    drawn = deepcopy(rng)
    skip(drawn, int(offsets[record.number]) * config.n_factors)
    weight.data = weight.data * np.float32(config.alpha)
    return Users(weight, first_factors(np.diff(weight.indptr), config.n_factors, drawn))


def _count_entries(users: Users) -> npt.NDArray[np.int64]:
    return np.bincount(users.weight.indices, minlength=users.weight.shape[1])


def _solve_users(users: Users, items: Factors, regularization: float) -> Users:
    factors = users.factors.copy()
    with one_blas_thread(), ThreadPoolExecutor(1) as pool:
        solve_rows(Entries.of(users.weight, 1.0), factors, items, regularization, pool)
    return Users(users.weight, factors)


def _solve_items(users: RDD[Users], items: Factors, counted: npt.NDArray[np.int64], config: ALSConfig) -> Factors:
    few, many = few_and_many(counted, config.n_factors)
    found = items.copy()
    first = sum_of(users, partial(_first_sums, rows=items[many], many=many), ItemSums)
    gram = first.gram + np.float32(config.regularization) * np.eye(config.n_factors, dtype=np.float32)
    if len(many):

        def product(direction: Factors) -> Factors:
            return sum_of(users, partial(_products, rows=direction, many=many), np.ndarray)

        found[many] = take_steps(items[many], gram, lambda _: first.residual, product)
    if len(few):
        is_few = np.zeros(len(items), np.bool_)
        is_few[few] = True
        blocks = users.flatMap(partial(_given, is_few=is_few)).partitionBy(len(items) // FEW_ITEMS + 1)
        for rows, solved in blocks.mapPartitions(partial(_solve_blocks, gram=gram)).toLocalIterator():
            found[rows] = solved
    return found


def _first_sums(users: Users, rows: Factors, many: npt.NDArray[np.int64]) -> ItemSums:
    entries = _by_item(users, many)
    with one_blas_thread():
        gram = users.factors.T @ users.factors
    return ItemSums(gram, added(entries, entries.target, -entries.extra, users.factors, rows))


def _products(users: Users, rows: Factors, many: npt.NDArray[np.int64]) -> Factors:
    entries = _by_item(users, many)
    return added(entries, np.zeros_like(entries.extra), entries.extra, users.factors, rows)


def _by_item(users: Users, many: npt.NDArray[np.int64]) -> Entries:
    return Entries.of(users.weight.T.tocsr()[many], 1.0)


def _given(users: Users, is_few: npt.NDArray[np.bool_]) -> Iterator[tuple[int, Given]]:
    """Yield the entries of the items with few users, by block of items, with the factors of their users."""
    entries = users.weight.tocoo()
    kept = np.flatnonzero(is_few[entries.col])
    block = entries.col[kept] // FEW_ITEMS
    for number in np.unique(block).tolist():
        chosen = kept[block == number]
        rows, user = np.unique(entries.row[chosen], return_inverse=True)
        yield number, Given(users.factors[rows], entries.col[chosen].astype(np.int64), user, entries.data[chosen])


def _solve_blocks(parts: Iterable[tuple[int, Given]], gram: Factors) -> Iterator[tuple[npt.NDArray[np.int64], Factors]]:
    """Yield the solutions of each block; there is about one, so that a task holds few entries."""
    blocks: dict[int, list[Given]] = defaultdict(list)
    for number, given in parts:
        blocks[number].append(given)
    return (_solve_few(given, gram) for given in blocks.values())


def _solve_few(given: list[Given], gram: Factors) -> tuple[npt.NDArray[np.int64], Factors]:
    """Return the items of a block, and their exact factors."""
    others = np.concatenate([part.factors for part in given])
    before = np.cumsum([0, *(len(part.factors) for part in given)])
    user = np.concatenate([part.user + start for part, start in zip(given, before[:-1].tolist(), strict=True)])
    rows, item = np.unique(np.concatenate([part.item for part in given]), return_inverse=True)
    weight = np.concatenate([part.weight for part in given])
    entries = Entries.of(sparse.csr_matrix((weight, (item, user)), shape=(len(rows), len(others))), 1.0)
    with one_blas_thread():
        return rows, solve_few_rows(entries, others, project(others, gram))
