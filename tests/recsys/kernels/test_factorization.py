"""Rows in alternating least squares: the compiled loops beside their NumPy forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.kernels import factorization

N_COLUMNS, N_FACTORS = 9, 5


def forms(name: str) -> list[Callable[..., Any]]:
    """The loop as it is compiled, the same loop as Python runs it, and the NumPy form."""
    loop = getattr(factorization, name)
    return [loop, loop.py_func, getattr(factorization, f"{name}_numpy")]


def entries(sizes: list[int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Where the entries of each row begin, and their distinct columns."""
    columns = [rng.choice(N_COLUMNS, size, replace=False) for size in sizes]
    return np.cumsum([0, *sizes]), np.concatenate([np.empty(0), *columns]).astype(np.int32)


def draws(rng: np.random.Generator, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


sizes_of_rows = st.lists(st.integers(0, 6), max_size=5)


@given(sizes_of_rows, st.integers(0, 10_000))
def test_sums_over_entries(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    starts, columns = entries(sizes, rng)
    base, slope, factors, rows, total = draws(
        rng, columns.shape, columns.shape, (N_COLUMNS, N_FACTORS), (len(sizes), N_FACTORS), (len(sizes), N_FACTORS)
    )
    expected = total.astype(np.float64)
    for row in range(len(sizes)):
        for entry in range(starts[row], starts[row + 1]):
            y = factors[columns[entry]].astype(np.float64)
            expected[row] += (base[entry] + slope[entry] * (y @ rows[row])) * y
    for form in forms("add_entries"):
        found = total.copy()
        form(starts, columns, base, slope, factors, rows, found)
        np.testing.assert_allclose(found, expected, atol=1e-4)


@given(sizes_of_rows, st.integers(0, 10_000))
def test_rows_of_few_entries(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    starts, columns = entries(sizes, rng)
    (factors,) = draws(rng, (N_COLUMNS, N_FACTORS))
    gram = factors.T @ factors + np.eye(N_FACTORS, dtype=np.float32)
    projected = (factors @ np.linalg.inv(gram.astype(np.float64))).astype(np.float32)
    extra = rng.uniform(0.01, 5, len(columns)).astype(np.float32)
    target = np.where(rng.random(len(columns)) < 0.7, 1 + extra, 0).astype(np.float32)
    for form in forms("solve_few"):
        found = np.empty((len(sizes), N_FACTORS), np.float32)
        form(starts, columns, target, extra, factors, projected, found)
        for row in range(len(sizes)):
            span = slice(starts[row], starts[row + 1])
            y = factors[columns[span]].astype(np.float64)
            expected = np.linalg.solve(gram + (y.T * extra[span]) @ y, y.T @ target[span])
            np.testing.assert_allclose(found[row], expected, atol=1e-4)


@pytest.mark.parametrize("name", ["add_entries", "solve_few"])
def test_both_forms_are_called_alike(name: str) -> None:
    loop, form = getattr(factorization, name), getattr(factorization, f"{name}_numpy")
    assert (
        loop.py_func.__code__.co_varnames[: loop.py_func.__code__.co_argcount]
        == (form.__code__.co_varnames[: form.__code__.co_argcount])
    )
