"""Sums of pairs, compiled and not, against each other; `test_user_pairs` compares them with plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.kernels.pair_sums import sum_pairs, sum_pairs_numpy
from recsys.kernels.scratch import NONE, positions_table

N_USERS, N_ITEMS = 30, 12


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rows", [[], [3], list(range(N_ITEMS))])
def test_compiled_and_plain_sums_are_equal(seed: int, rows: list[int]) -> None:
    rng = np.random.default_rng(seed)
    has = rng.random((N_USERS, N_ITEMS)) < rng.random((N_USERS, 1))
    user_idx, item_idx = (found.astype(np.int32) for found in np.nonzero(has))
    user_starts = np.concatenate([[0], np.cumsum(has.sum(axis=1))]).astype(np.int64)
    item_starts = np.concatenate([[0], np.cumsum(has.sum(axis=0))]).astype(np.int64)
    place, time = np.argsort(item_idx, kind="stable"), rng.integers(0, 10**6, len(user_idx))
    lines = (item_starts, place, user_starts, user_idx, item_idx, time, rng.random(N_USERS), 1000.0)
    table = positions_table(N_ITEMS)
    found, plain = (form(np.array(rows, np.int32), *lines, table) for form in (sum_pairs, sum_pairs_numpy))
    for one, other in zip(found, plain, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert (table == NONE).all()
    assert len(found[0]) == len(rows) + 1
