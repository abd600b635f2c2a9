"""Sums of counts, field by field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from recsys.core.sums import add, subtract


@dataclass(frozen=True)
class Inner:
    number: int
    table: np.ndarray


@dataclass(frozen=True)
class Counts:
    inner: Inner
    pairs: sparse.csr_matrix
    share: float


def test_dataclasses_are_added_field_by_field() -> None:
    one = Counts(Inner(1, np.array([1, 2])), sparse.csr_matrix(np.eye(2)), 0.25)
    found = add(one, Counts(Inner(5, np.array([10, 20])), sparse.csr_matrix(np.ones((2, 2))), 0.5))
    assert (found.inner.number, found.share) == (6, 0.75)
    assert found.inner.table.tolist() == [11, 22]
    assert found.pairs.toarray().tolist() == [[2, 1], [1, 2]]
    assert one.inner.table.tolist() == [1, 2], "what is added stays"


def test_what_was_added_can_be_taken_away() -> None:
    one = Counts(Inner(1, np.array([1, 2])), sparse.csr_matrix(np.eye(2)), 0.25)
    other = Counts(Inner(5, np.array([10, 20])), sparse.csr_matrix(np.ones((2, 2))), 0.5)
    found = subtract(add(one, other), other)
    assert (found.inner.number, found.share) == (1, 0.25)
    assert found.inner.table.tolist() == [1, 2]
    assert found.pairs.toarray().tolist() == [[1, 0], [0, 1]]
