"""AUC, log loss and calibration of predictions."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.segments.churn_evaluation import (
    NOT_EVALUATED,
    calibration_bins,
    evaluate_candidates,
    mean_log_loss,
)


def test_log_loss_of_certain_and_undecided_predictions() -> None:
    labels = np.array([True, False])
    assert mean_log_loss(np.array([0.5, 0.5]), labels) == pytest.approx(np.log(2))
    assert mean_log_loss(np.array([1.0, 0.0]), labels) == pytest.approx(0, abs=1e-5)
    assert np.isfinite(mean_log_loss(np.array([0.0, 1.0]), labels))


def test_bins_have_equal_sizes_and_true_shares() -> None:
    rng = np.random.default_rng(5)
    probability = rng.random(10_000)
    predicted, observed, n = calibration_bins(probability, rng.random(10_000) < probability)
    assert n.tolist() == [1000] * 10
    assert np.abs(predicted - observed).max() < 0.05
    assert [len(each) for each in calibration_bins(np.array([0.1, 0.2]), np.array([True, False]))] == [2, 2, 2]


def test_the_best_model_has_the_smallest_log_loss_and_a_paired_gain() -> None:
    rng = np.random.default_rng(6)
    probability = rng.beta(1, 3, 2000)
    labels = rng.random(2000) < probability
    noisy = np.clip(probability + rng.normal(0, 0.2, 2000), 0.01, 0.99)
    found = evaluate_candidates({"noisy": noisy, "true": probability}, labels, rng)
    assert found.best == "true"
    assert found.auc_low[1] < found.auc[1] < found.auc_high[1]
    assert found.gain_low[1] > 0
    assert (found.gain_low[0], found.gain_high[0]) == (0, 0)
    assert found.calibration_error < 0.05
    assert found.to_dict()["models"][1]["name"] == "true"
    assert sum(each["n"] for each in found.to_dict()["calibration"]) == 2000
    assert NOT_EVALUATED.best == ""
