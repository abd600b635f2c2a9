"""Counts of shared baskets against the same in loops."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given

from recsys.data.dataset import Dataset
from recsys.evaluation.association import (
    ASSOCIATIONS,
    Association,
    associated_lists,
    co_count,
    cosine,
    count_baskets,
    discounted_co_count,
    lift,
    log_likelihood_ratio,
)
from tests.recsys.small_shops import shops


def baskets_of(dataset: Dataset) -> list[set[int]]:
    events = dataset.target_events
    return [set(events.item_idx[events.basket_idx == basket].tolist()) for basket in np.unique(events.basket_idx)]


@given(shops())
def test_baskets_are_counted(dataset: Dataset) -> None:
    counts, baskets = count_baskets(dataset), baskets_of(dataset)
    assert counts.n_all == len(baskets)
    for item in range(len(dataset.items)):
        assert counts.n_baskets[item] == sum(item in basket for basket in baskets)
    for one, other in combinations(range(len(dataset.items)), 2):
        assert counts.both[one, other] == sum({one, other} <= basket for basket in baskets)


@given(shops())
def test_partners_are_ordered_by_count_without_the_seed(dataset: Dataset) -> None:
    counts = count_baskets(dataset)
    seeds = np.arange(len(dataset.items), dtype=np.int32)
    for seed, listed in zip(seeds, associated_lists(counts, co_count, seeds, 4), strict=True):
        row = counts.both[seed].toarray().ravel()
        expected = sorted(np.flatnonzero(row), key=lambda item: (-row[item], item))[:4]
        assert listed[listed >= 0].tolist() == expected


@pytest.mark.parametrize(("association", "expected"), [(co_count, 3), (lift, 3.0), (cosine, 3 / 20**0.5)])
def test_associations_by_hand(association: Association, expected: float) -> None:
    """Of twenty baskets four hold the seed, five the other, three both."""
    assert association(np.array([3.0]), 4.0, np.array([5.0]), 20.0)[0] == pytest.approx(expected)


@given(shops(max_size=60))
def test_discounts_lie_between_counting_and_lift(dataset: Dataset) -> None:
    """Power 0 orders as the count does, power 1 as lift does."""
    counts = count_baskets(dataset)
    seeds = np.flatnonzero(counts.n_baskets > 0).astype(np.int32)
    for power, association in ((0.0, co_count), (1.0, lift)):
        for seed in seeds.tolist():
            row = slice(counts.both.indptr[seed], counts.both.indptr[seed + 1])
            both, other = counts.both.data[row], counts.n_baskets[counts.both.indices[row]]
            asked = both, counts.n_baskets[seed], other, counts.n_all
            np.testing.assert_allclose(
                discounted_co_count(power)(*asked) * (counts.n_all / counts.n_baskets[seed]) ** power,
                association(*asked),
            )


@pytest.mark.parametrize("name", ASSOCIATIONS)
def test_pairs_in_few_baskets_come_last(name: str) -> None:
    """The rare item is in no other basket, which makes its pair the strongest but for the support."""
    score = ASSOCIATIONS[name](np.array([2.0, 6.0]), 8.0, np.array([2.0, 40.0]), 200.0)
    assert score[1] > score[0]


def test_the_likelihood_ratio_is_the_g_statistic() -> None:
    """`2 Σ observed · ln(observed / expected)` over the four cells."""
    cells = np.array([[3.0, 1.0], [2.0, 14.0]])
    expected = cells.sum(axis=1, keepdims=True) * cells.sum(axis=0) / cells.sum()
    g = 2 * (cells * np.log(cells / expected)).sum()
    assert log_likelihood_ratio(np.array([3.0]), 4.0, np.array([5.0]), 20.0)[0] == pytest.approx(g)


def test_a_pair_that_is_rarer_than_by_chance_has_a_negative_score() -> None:
    assert log_likelihood_ratio(np.array([1.0]), 10.0, np.array([10.0]), 20.0)[0] < 0
