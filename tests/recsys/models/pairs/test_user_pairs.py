"""Pairs by users against the same in loops."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.dataset import DAY_S, Dataset
from recsys.models.pairs import user_pairs
from recsys.models.pairs.user_pairs import GAP_DAYS, count_user_pairs
from tests.recsys.small_shops import shops


@given(shops(max_size=60), st.integers(2, 6), st.floats(0.1, 1))
def test_equals_counting_user_by_user(dataset: Dataset, max_items: int, evidence: float) -> None:
    n_items = len(dataset.items)
    found = count_user_pairs(dataset, max_items, np.ones(n_items, np.bool_), evidence)
    weight, count, own = np.zeros((n_items, n_items)), np.zeros((n_items, n_items)), np.zeros(n_items)
    first: dict[int, dict[int, int]] = {}
    for user, item, when in zip(
        dataset.events.user_idx, dataset.events.item_idx, dataset.events.timestamp, strict=True
    ):
        if user >= 0:
            first.setdefault(int(user), {}).setdefault(int(item), int(when))
    kept = [held for held in first.values() if len(held) <= max_items]
    for held in kept:
        of_user = evidence / np.log2(1 + len(held))
        for item in held:
            own[item] += of_user
        for one, other in permutations(held, 2):
            weight[one, other] += of_user / np.sqrt(1 + abs(held[one] - held[other]) / DAY_S / GAP_DAYS)
            count[one, other] += 1
    np.testing.assert_allclose(found.weight.toarray(), weight, rtol=1e-5)
    np.testing.assert_array_equal(found.count.toarray(), count)
    np.testing.assert_array_equal(found.weight.indices, found.count.indices)
    np.testing.assert_allclose(found.item_weight, own)
    assert found.n_all == len(kept)
    assert found.n_baskets.tolist() == [sum(item in held for held in kept) for item in range(n_items)]


@given(shops(max_size=60), st.integers(1, 9))
def test_blocks_have_no_effect(dataset: Dataset, block: int) -> None:
    everything = np.ones(len(dataset.items), np.bool_)
    whole = count_user_pairs(dataset, 300, everything, 1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(user_pairs, "BLOCK_PAIRS", block)
        parts = count_user_pairs(dataset, 300, everything, 1.0)
    np.testing.assert_allclose(parts.weight.toarray(), whole.weight.toarray(), rtol=1e-5)
    np.testing.assert_array_equal(parts.count.toarray(), whole.count.toarray())


@given(shops(max_size=60))
def test_only_wanted_items_have_pairs(dataset: Dataset) -> None:
    wanted = np.arange(len(dataset.items)) % 2 == 0
    some, whole = (count_user_pairs(dataset, 300, mask, 1.0) for mask in (wanted, np.ones_like(wanted)))
    np.testing.assert_allclose(some.weight.toarray(), whole.weight.toarray() * wanted[:, None])
    np.testing.assert_allclose(some.item_weight, whole.item_weight * wanted)
    np.testing.assert_allclose(some.share, whole.share)
