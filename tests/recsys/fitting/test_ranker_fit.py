"""The fit of rankers on invented requests whose right order is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.special import expit

from recsys.core.metrics import ndcg_at_k
from recsys.fitting.ranker import Ranker, RankerConfig, TreesConfig
from recsys.fitting.ranker_fit import TrainingGroups, boost, calibrate, first_hits, joined, mean_ndcg

SMALL = RankerConfig(min_queries=10, negative_share=1.0, trees=TreesConfig(n_rounds=20, min_leaf=5))
NAMES = ("signal", "noise")


def _examples(seed: int, n_requests: int = 60, n_candidates: int = 12) -> TrainingGroups:
    """Requests whose taken candidates are those of the highest signal."""
    rng = np.random.default_rng(seed)
    features = rng.random((n_requests * n_candidates, 2)).astype(np.float32)
    taken = (features[:, 0] > 0.8).astype(np.int8)
    blend = rng.random(len(features)).astype(np.float32)
    nothing = np.zeros(len(features), np.float32)
    return TrainingGroups(features, taken, blend, nothing, np.full(n_requests, n_candidates))


def test_trees_learn_the_feature_that_decides() -> None:
    trial = boost(_examples(0).with_answer(), NAMES, SMALL.trees, 0)
    later = _examples(1).with_answer()
    raw = np.asarray(trial.predict(later.features))
    assert mean_ndcg(raw, later) > 0.95 > mean_ndcg(later.blend, later)
    ranker = Ranker(trial.model_to_string(importance_type="gain"), *calibrate(raw, later.log_lift, later.taken))
    assert ranker.is_fitted
    assert ranker.feature_names == NAMES
    assert next(iter(ranker.importances)) == "signal"
    assert sum(ranker.importances.values()) == pytest.approx(1)
    odds = ranker.log_odds(np.array([[0.95, 0.5], [0.5, 0.5], [0.05, 0.5]], np.float32))
    assert odds[0] > odds[1]
    assert expit(odds[0]) > 0.5 > expit(odds[2])


def test_the_same_examples_give_the_same_trees() -> None:
    first, second = (boost(_examples(0), NAMES, SMALL.trees, 3).model_to_string() for _ in "ab")
    assert first == second


def test_some_groups_keep_their_candidates_even_if_they_have_none() -> None:
    examples = TrainingGroups(
        np.arange(3, dtype=np.float32)[:, None],
        np.array([1, 0, 1], np.int8),
        np.arange(3, dtype=np.float32),
        np.zeros(3, np.float32),
        np.array([2, 0, 1]),
    )
    kept = examples.take_groups(np.array([False, True, True]))
    assert (kept.size.tolist(), kept.blend.tolist()) == ([0, 1], [2.0])
    assert first_hits(examples.blend, examples, 1).tolist() == [0, 0, 1]
    assert first_hits(examples.blend, examples, 2).tolist() == [1, 0, 1]
    assert examples.has_answer.tolist() == [True, False, False]


@given(st.lists(st.lists(st.tuples(st.floats(-2, 2, width=16), st.booleans()), min_size=2, max_size=15), min_size=1))
def test_ndcg_equals_that_of_the_metrics(requests: list[list[tuple[float, bool]]]) -> None:
    size = np.array([len(request) for request in requests])
    score = np.array([score for request in requests for score, _ in request])
    score += np.arange(len(score)) * 1e-9
    taken = np.array([taken for request in requests for _, taken in request], np.int8)
    nothing = np.zeros(len(score), np.float32)
    examples = TrainingGroups(nothing[:, None], taken, nothing, nothing, size).with_answer()
    kept = np.repeat([0 < sum(t for _, t in request) < len(request) for request in requests], size)
    if not kept.any():
        return
    score, request = score[kept], examples.request
    lists = np.full((len(examples.size), 15), -1, np.int32)
    relevant = np.zeros((len(examples.size), 15))
    for number in range(len(examples.size)):
        mine = request == number
        lists[number, : mine.sum()] = np.argsort(-score[mine], kind="stable")
        relevant[number, : mine.sum()] = examples.taken[mine]
    expected = ndcg_at_k(lists, sparse.csr_matrix(relevant), 10).mean()
    assert mean_ndcg(score, examples) == pytest.approx(expected)


def test_calibration_recovers_the_line_and_reweights_the_negatives() -> None:
    rng = np.random.default_rng(0)
    raw, hour = rng.normal(size=(2, 40_000))
    hour = hour.astype(np.float32)
    taken = (rng.random(len(raw)) < expit(1.5 * raw - 2 + 0.7 * hour)).astype(np.int8)
    assert calibrate(raw, hour, taken) == pytest.approx((1.5, -2, 0.7), abs=0.08)
    kept = (taken > 0) | (rng.random(len(raw)) < 0.5)
    assert calibrate(raw[kept], hour[kept], taken[kept], 2.0) == pytest.approx((1.5, -2, 0.7), abs=0.1)
    assert calibrate(raw, np.zeros_like(hour), taken)[2] == 1, "where no hour speaks"


def test_requests_with_one_label_only_are_left_out() -> None:
    examples = TrainingGroups(
        np.zeros((6, 1), np.float32),
        np.array([0, 0, 1, 0, 1, 1], np.int8),
        np.zeros(6, np.float32),
        np.zeros(6, np.float32),
        np.array([2, 0, 2, 2]),
    )
    assert examples.with_answer().size.tolist() == [2]
    assert examples.with_answer().taken.tolist() == [1, 0]
    assert joined([examples, examples]).request.tolist() == [0, 0, 2, 2, 3, 3, 4, 4, 6, 6, 7, 7]


def test_a_constant_score_gains_nothing_from_ties() -> None:
    """Two of twelve candidates were bought: the worst order among ties leaves both out of the top ten."""
    taken = np.array([0] * 10 + [1] * 2, np.int8)
    nothing = np.zeros(12, np.float32)
    examples = TrainingGroups(nothing[:, None], taken, nothing, nothing, np.array([12]))
    assert mean_ndcg(nothing, examples) == 0
    assert mean_ndcg(taken, examples) == 1


def test_one_bought_candidate_at_the_second_position_by_hand() -> None:
    nothing = np.zeros(3, np.float32)
    examples = TrainingGroups(nothing[:, None], np.array([0, 1, 0], np.int8), nothing, nothing, np.array([3]))
    assert mean_ndcg(np.array([3.0, 2.0, 1.0]), examples) == pytest.approx(1 / np.log2(3))
