"""Ridge logistic regression, fitted by Newton's method."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import expit

MAX_STEPS: Final = 50
TOLERANCE: Final = 1e-8

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LogisticModel:
    """Weights of standardized features.

    Attributes:
        weight: float64 (n_features + 1,), the intercept first; empty for a model that is not fitted.
        mean, scale: float64 (n_features,), of each feature.
    """

    weight: Numbers = field(default_factory=lambda: np.empty(0))
    mean: Numbers = field(default_factory=lambda: np.empty(0))
    scale: Numbers = field(default_factory=lambda: np.empty(0))

    @property
    def is_fitted(self) -> bool:
        """Whether it was fitted."""
        return len(self.weight) > 0

    def probability(self, features: Numbers) -> Numbers:
        """Return `1 / (1 + exp(−w₀ − w·(x − μ)/σ))`, float64 (n,).

        Args:
            features: float64 (n, n_features).
        """
        return expit(self.weight[0] + ((features - self.mean) / self.scale) @ self.weight[1:])


def fit_logistic(features: Numbers, labels: npt.NDArray[np.bool_], ridge: float = 1.0) -> LogisticModel:
    """Fit the weights that maximize the likelihood minus `ridge/2 · ‖w‖²`, without the intercept.

    Args:
        features: float64 (n, n_features), n >= 1.
        labels: bool (n,), both values present.
        ridge: strength of the penalty.
    """
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    x = np.column_stack([np.ones(len(features)), (features - mean) / scale])
    penalty = np.full(x.shape[1], ridge)
    penalty[0] = 0
    weight = np.zeros(x.shape[1])
    weight[0] = np.log(labels.mean() / (1 - labels.mean()))
    for _ in range(MAX_STEPS):
        p = expit(x @ weight)
        gradient = x.T @ (labels - p) - penalty * weight
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(penalty + TOLERANCE)
        step = np.linalg.solve(hessian, gradient)
        weight = weight + step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if float(np.abs(step).max()) < TOLERANCE:
            break
    return LogisticModel(weight, mean, scale)
