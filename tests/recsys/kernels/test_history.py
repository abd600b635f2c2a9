"""Weights of items and types of a history: the compiled loops beside their NumPy forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recsys.kernels import history

SIZES = pytest.mark.parametrize("n", [0, 1, 7, 200])


def forms(name: str) -> tuple[Any, Any, Any]:
    loop = getattr(history, name)
    return loop, loop.py_func, getattr(history, f"{name}_numpy")


@SIZES
def test_events_are_summed_by_item(n: int) -> None:
    rng = np.random.default_rng(n)
    asked = (
        rng.integers(0, 9, n).astype(np.int32),
        rng.integers(0, 3, n).astype(np.int8),
        rng.integers(0, 10**7, n),
        rng.choice([0.5, 1.0], n).astype(np.float32),
        np.array([1.0, 0.25, -0.5], np.float32),
        1 / 86_400,
    )
    found = [form(*asked) for form in forms("sum_events")]
    for items, weight in found:
        assert items.tolist() == sorted(set(asked[0].tolist()))
        assert (items.dtype, weight.dtype) == (np.int32, np.float32)
        np.testing.assert_allclose(weight, found[-1][1], rtol=1e-5, atol=1e-7)


@SIZES
@pytest.mark.parametrize("max_types", [1, 3, 40])
def test_the_heaviest_types_come_first(n: int, max_types: int) -> None:
    rng = np.random.default_rng(n)
    types, weight = rng.integers(-1, 6, n).astype(np.int32), rng.choice([-1, 0, 0.5, 1, 2], n).astype(np.float32)
    found = [form(types, weight, max_types) for form in forms("weigh_types")]
    for owned, share in found:
        assert len(owned) <= max_types
        assert owned.tolist() == found[-1][0].tolist()
        np.testing.assert_allclose(share, found[-1][1], rtol=1e-12)
        assert share.sum() <= 1 + 1e-12


@pytest.mark.parametrize("n_per_type", [1, 2, 100])
@pytest.mark.parametrize("mask", [None, 0.0, 0.5, 1.0])
def test_the_best_allowed_items_of_each_type_are_found(n_per_type: int, mask: float | None) -> None:
    rng = np.random.default_rng(3)
    indptr, item_idx = np.array([0, 4, 4, 9, 10]), rng.permutation(10).astype(np.int32)
    allowed = history.EVERY if mask is None else rng.random(10) < mask
    types, weight = np.array([2, 0, 1], np.int32), np.array([0.5, 0.3, 0.2])
    share = rng.random(10, np.float32)
    expected = [
        (row, np.float32(share[entry] * each))
        for type_, each in zip(types, weight, strict=True)
        for entry, row in [
            (entry, row)
            for entry, row in enumerate(item_idx.tolist())
            if indptr[type_] <= entry < indptr[type_ + 1] and (mask is None or allowed[row])
        ][:n_per_type]
    ]
    for form in forms("best_of_types"):
        rows, score = form(indptr, item_idx, share, types, weight, n_per_type, allowed)
        assert (rows.dtype, score.dtype) == (np.int32, np.float32)
        assert rows.tolist() == [row for row, _ in expected]
        np.testing.assert_allclose(score, [each for _, each in expected], rtol=1e-6)


@SIZES
@pytest.mark.parametrize("n_recent", [1, 3, 20])
def test_the_latest_items_come_first(n: int, n_recent: int) -> None:
    rng = np.random.default_rng(n)
    item, time = rng.integers(0, 12, n).astype(np.int32), np.sort(rng.integers(0, max(n // 3, 1), n))
    expected: dict[int, float] = {}
    for row, when in zip(item[::-1].tolist(), time[::-1].tolist(), strict=True):
        expected.setdefault(row, float(np.exp(-len(set(time[time > when].tolist())) / 2.5)))
    latest = dict(list(expected.items())[:n_recent])
    for form in forms("weigh_recent_items"):
        rows, weight = form(item, time, n_recent, 2.5)
        assert (rows.dtype, weight.dtype) == (np.int32, np.float32)
        assert rows.tolist() == list(latest)
        np.testing.assert_allclose(weight, [each / sum(latest.values()) for each in latest.values()], rtol=1e-6)
