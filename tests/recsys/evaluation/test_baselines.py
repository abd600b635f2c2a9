from __future__ import annotations

import numpy as np
import pytest

from recsys.data.dataset import DAY_S, Dataset
from recsys.evaluation.baselines import PERSONAL, TrainingSlice, exponential_decay, gp_topfreq, tifu_knn, time_aware_knn
from tests.shop import at, dataset_of, moment

NOW = moment(30)


@pytest.fixture(scope="module")
def past() -> TrainingSlice:
    """`ann` bought a on days 0 and 20, b on day 28; `bob` c, thrice."""
    lines = [("ann", "a", 0), ("ann", "a", 20), ("ann", "b", 28), *(("bob", "c", day) for day in (5, 15, 25))]
    rows = [{"user_id": user, "item_id": item, "timestamp": at(moment(day, 9))} for user, item, day in lines]
    return TrainingSlice(dataset_of(rows), NOW)


def test_frequency_decides_before_popularity(past: TrainingSlice) -> None:
    recent = np.array([1, 1, 3]) / 5  # day 0 is more than four weeks ago
    np.testing.assert_allclose(gp_topfreq(past)(np.array([0], np.int32))[0], np.array([2, 1, 0]) + recent, rtol=1e-6)


def test_decay_by_hand(past: TrainingSlice) -> None:
    scores = exponential_decay(past, 10.0)(np.array([0], np.int32))[0]
    ages = (NOW - np.array([moment(0, 9), moment(20, 9), moment(28, 9)])) / DAY_S
    weight = np.exp(-ages / 10)
    expected = np.array([weight[0] + weight[1], weight[2], 0]) + 0.1 * np.array([1, 1, 3]) / 5
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_tifu_without_neighbours_is_decayed_frequency(past: TrainingSlice) -> None:
    """Three baskets in one group: weights .9², .9 and 1, over the group's size."""
    scores = tifu_knn(past, alpha=1.0, n_neighbors=1)(np.array([0], np.int32))[0]
    np.testing.assert_allclose(scores, np.array([0.81 + 0.9, 1.0, 0]) / 7, atol=1e-5)


def test_time_aware_weights_without_neighbours_rank_own_items_by_their_kernels(past: TrainingSlice) -> None:
    """User 0 bought item 0 twice, longer ago than item 1, and never item 2."""
    scores = time_aware_knn(past, alpha=1.0, n_neighbors=1)(np.array([0], np.int32))[0]
    assert scores[0] > scores[1] > 1e-3 > scores[2]


@pytest.mark.parametrize("name", PERSONAL)
def test_every_baseline_scores_every_item(name: str, shop_dataset: Dataset) -> None:
    past = TrainingSlice(shop_dataset, shop_dataset.end + 1)
    buyers = np.unique(past.events.user_idx)[:5]
    scores = PERSONAL[name](past)(buyers)
    assert scores.shape == (5, len(shop_dataset.items))
    assert np.isfinite(scores).all()
    assert (scores.max(axis=1) > 0).all()
