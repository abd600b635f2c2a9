"""Counts in blocks: split and joined they are what they were."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import sparse

from training.spark import pieces
from training.spark.pieces import added, join, split, split_sum


@dataclass(frozen=True)
class Inner:
    table: np.ndarray
    number: int


@dataclass(frozen=True)
class Counts:
    pairs: sparse.csr_matrix
    inner: Inner
    share: float


def counts(seed: int) -> Counts:
    rng = np.random.default_rng(seed)
    pairs = sparse.random_array((70, 70), density=0.1, rng=rng, format="csr", dtype=np.float32)
    return Counts(sparse.csr_matrix(pairs), Inner(rng.integers(9, size=(33, 5)), seed), 0.5)


def test_counts_are_joined_from_their_blocks_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "BLOCK_ROWS", 16)
    monkeypatch.setattr(pieces, "BLOCK_BYTES", 200)
    blocks = list(split(counts(1)))
    assert len(blocks) > 10
    found = join(Counts, reversed(blocks))
    assert (found.pairs != counts(1).pairs).nnz == 0
    np.testing.assert_array_equal(found.inner.table, counts(1).inner.table)
    assert (found.inner.number, found.share) == (1, 0.5)


def test_the_counts_of_records_are_added() -> None:
    found = join(Counts, split_sum([1, 2], counts))
    np.testing.assert_allclose(found.pairs.toarray(), (counts(1).pairs + counts(2).pairs).toarray())
    assert (found.inner.number, found.share) == (3, 1.0)
    assert list(split_sum([], counts)) == []


def test_an_array_is_joined_without_a_dataclass() -> None:
    assert join(np.ndarray, split(np.arange(5))).tolist() == [0, 1, 2, 3, 4]
    assert join(np.ndarray, split(np.empty((0, 3)))).shape == (0, 3)


def test_blocks_of_several_tasks_are_added() -> None:
    tasks = [list(split(counts(seed))) for seed in (1, 2)]
    before = [value.copy() for _, value in tasks[0] if isinstance(value, np.ndarray)]
    found = join(Counts, added([*tasks[0], *tasks[1]]))
    np.testing.assert_allclose(found.pairs.toarray(), (counts(1).pairs + counts(2).pairs).toarray())
    assert (found.inner.number, found.share) == (3, 1.0)
    after = [value for _, value in tasks[0] if isinstance(value, np.ndarray)]
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True)), "what is added stays"
    assert list(added([])) == []
