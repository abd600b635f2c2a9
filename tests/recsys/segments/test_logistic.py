"""Logistic regression: equal to an independent optimizer, and defined where classes separate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from recsys.segments.logistic import LogisticModel, fit_logistic


def test_weights_are_those_of_a_general_optimizer() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(400, 3)) * [1, 10, 0.1] + [0, 5, 2]
    labels = rng.random(400) < expit(x[:, 0] - 0.2 * (x[:, 1] - 5))
    model = fit_logistic(x, labels, ridge=2.0)
    z = np.column_stack([np.ones(400), (x - x.mean(axis=0)) / x.std(axis=0)])
    found = minimize(
        lambda w: np.logaddexp(0, np.where(labels, -1, 1) * (z @ w)).sum() + (w[1:] ** 2).sum(), np.zeros(4), tol=1e-10
    )
    assert model.weight.tolist() == pytest.approx(found.x.tolist(), abs=1e-4)
    assert model.probability(x).mean() == pytest.approx(labels.mean()), "calibrated in the large"


def test_separable_classes_and_constant_features_have_finite_weights() -> None:
    x = np.column_stack([np.arange(20.0), np.full(20, 7.0)])
    model = fit_logistic(x, np.arange(20) >= 10)
    assert np.isfinite(model.weight).all()
    assert (np.diff(model.probability(x)) > 0).all()
    assert not LogisticModel().is_fitted
