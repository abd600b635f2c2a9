"""The features of candidates: the compiled loop beside its NumPy form, on random users of all kinds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recsys.kernels.features import (
    N_FEATURES,
    N_OF_ITEM,
    describe,
    describe_items,
    describe_items_numpy,
    describe_numpy,
)
from recsys.kernels.purchases import group_purchases
from recsys.ranking.features import FEATURES

NOW = 200 * 86_400
N_ITEMS = 40


def question(seed: int, n_lines: int, n: int) -> tuple[Any, ...]:
    """A user with some purchases and some candidates, of whom some are bought, some of no type or price."""
    rng = np.random.default_rng(seed)
    time = np.sort(rng.integers(0, NOW, n_lines))
    lines = (rng.integers(0, N_ITEMS // 2, n_lines).astype(np.int32), time, np.sort(rng.integers(0, 9, n_lines)))
    own_items, starts, times, _, order_times = group_purchases(*lines[:2], lines[2].astype(np.int32))
    price = rng.choice([0.0, np.nan, 1.5, 20.0], N_ITEMS).astype(np.float32)
    rows = np.sort(rng.permutation(N_ITEMS)[:n]).astype(np.int32)
    touched = np.sort(rng.permutation(N_ITEMS)[: n_lines // 2]).astype(np.int32)
    of_item = rng.random((7, n), np.float32)
    of_item[-1] = price[rows]
    return (
        NOW,
        own_items,
        starts,
        times,
        order_times,
        rng.random((3, len(own_items)), np.float32),
        rows,
        rng.integers(-1, 5, N_ITEMS).astype(np.int32),
        of_item,
        price[own_items],
        touched,
        rng.random(len(touched), np.float32),
        rng.random((6, n), np.float32),
    )


@pytest.mark.parametrize("n", [0, 1, 25])
@pytest.mark.parametrize("n_lines", [0, 1, 2, 60])
@pytest.mark.parametrize("seed", range(5))
def test_both_forms_are_equal(seed: int, n_lines: int, n: int) -> None:
    asked = question(seed, n_lines, n)
    table, expected = describe(*asked), describe_numpy(*asked)
    assert table.shape == expected.shape == (N_FEATURES, n)
    np.testing.assert_allclose(table, expected, rtol=2e-5, atol=2e-5)
    python = describe.py_func(*asked)  # type: ignore[attr-defined]
    np.testing.assert_allclose(python, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("n", [0, 1, 25])
def test_both_forms_describe_an_item_alike(n: int) -> None:
    rng = np.random.default_rng(n)
    share = rng.choice([0.0, 1e-7, 0.2], N_ITEMS).astype(np.float32)
    n_buyers = rng.choice([0, 1, 30_000], N_ITEMS).astype(np.int32)
    plain = rng.random((5, N_ITEMS), np.float32)
    plain[4, ::2] = np.nan
    rows = rng.permutation(N_ITEMS)[:n].astype(np.int32)
    expected = np.stack([np.log(share[rows] + 1e-9), np.log1p(n_buyers[rows]), *plain[:, rows]])
    for form in (describe_items, describe_items.py_func, describe_items_numpy):  # type: ignore[attr-defined]
        block = form(rows, share, n_buyers, *plain)
        assert (block.dtype, block.shape) == (np.float32, (N_OF_ITEM, n))
        np.testing.assert_allclose(block, expected, rtol=1e-5)


def test_the_columns_have_a_name_each() -> None:
    assert len(FEATURES) == N_FEATURES
