"""How well predicted probabilities of churn fit what happened: AUC, log loss and calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from recsys.core.metrics import auc

N_BINS: Final = 10
N_DRAWS: Final = 200
MAX_EVALUATED: Final = 20_000
"""Buyers that intervals are computed on, a random sample of all."""

CLIP: Final = 1e-6

Numbers = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ChurnEvaluation:
    """Predictions of several models for the same buyers, and what happened.

    Attributes:
        names: the models.
        n_buyers: number of buyers.
        churn_rate: share of them who did not order within the horizon.
        auc, auc_low, auc_high: area under the ROC curve of each model, with its 95 % interval over buyers.
        gain_low, gain_high: 95 % interval of the AUC minus that of the first model, paired.
        log_loss: mean negative log-likelihood of each model.
        predicted, observed: mean probability and share of churn of tenths of the buyers, by the
            probability of the best model.
        n_in_bin: buyers of each tenth.
        calibration_error: mean distance of `predicted` and `observed`, weighted by buyers.
    """

    names: tuple[str, ...] = ()
    n_buyers: int = 0
    churn_rate: float = 0.0
    auc: tuple[float, ...] = ()
    auc_low: tuple[float, ...] = ()
    auc_high: tuple[float, ...] = ()
    gain_low: tuple[float, ...] = ()
    gain_high: tuple[float, ...] = ()
    log_loss: tuple[float, ...] = ()
    predicted: tuple[float, ...] = ()
    observed: tuple[float, ...] = ()
    n_in_bin: tuple[int, ...] = ()
    calibration_error: float = 0.0

    @property
    def best(self) -> str:
        """The model of the smallest log loss, the earlier one of equal models; "" without any."""
        return self.names[int(np.argmin(self.log_loss))] if self.names else ""

    def to_dict(self) -> dict[str, Any]:
        """Return the evaluation as JSON values."""
        columns = ("auc", "auc_low", "auc_high", "gain_low", "gain_high", "log_loss")
        return {
            "n_buyers": self.n_buyers,
            "churn_rate": self.churn_rate,
            "models": [
                {"name": name} | {column: getattr(self, column)[n] for column in columns}
                for n, name in enumerate(self.names)
            ],
            "calibration": [
                {"predicted": p, "observed": o, "n": n}
                for p, o, n in zip(self.predicted, self.observed, self.n_in_bin, strict=True)
            ],
            "calibration_error": self.calibration_error,
        }


NOT_EVALUATED: Final = ChurnEvaluation()


def evaluate_candidates(
    predicted: Mapping[str, Numbers], has_churned: Labels, rng: np.random.Generator, n_draws: int = N_DRAWS
) -> ChurnEvaluation:
    """Compare the predictions of several models for the same buyers.

    Args:
        predicted: probability of churn of each buyer by model, float64 (n,), the baseline first.
        has_churned: bool (n,), both values present.
        rng: draws buyers for the intervals.
        n_draws: bootstrap samples of buyers.
    """
    scores = np.stack(list(predicted.values()))
    loss = np.array([mean_log_loss(each, has_churned) for each in scores])
    bins = calibration_bins(scores[int(np.argmin(loss))], has_churned)
    drawn = _drawn(scores, has_churned, rng, n_draws)
    gain = drawn - drawn[:, :1]
    return ChurnEvaluation(
        names=tuple(predicted),
        n_buyers=len(has_churned),
        churn_rate=float(has_churned.mean()),
        auc=tuple(auc(each[has_churned], each[~has_churned]) for each in scores),
        auc_low=tuple(np.quantile(drawn, 0.025, axis=0).tolist()),
        auc_high=tuple(np.quantile(drawn, 0.975, axis=0).tolist()),
        gain_low=tuple(np.quantile(gain, 0.025, axis=0).tolist()),
        gain_high=tuple(np.quantile(gain, 0.975, axis=0).tolist()),
        log_loss=tuple(loss.tolist()),
        predicted=tuple(bins[0].tolist()),
        observed=tuple(bins[1].tolist()),
        n_in_bin=tuple(bins[2].tolist()),
        calibration_error=float((np.abs(bins[0] - bins[1]) * bins[2]).sum() / len(has_churned)),
    )


def mean_log_loss(probability: Numbers, labels: Labels) -> float:
    """Return the mean negative log-likelihood; probabilities are kept `CLIP` away from 0 and 1."""
    p = np.clip(probability, CLIP, 1 - CLIP)
    return float(-np.log(np.where(labels, p, 1 - p)).mean())


def calibration_bins(
    probability: Numbers, labels: Labels, n_bins: int = N_BINS
) -> tuple[Numbers, Numbers, npt.NDArray[np.int64]]:
    """Split buyers into groups of equal size by probability.

    Returns:
        The mean probability and the share of positives of each group, float64 (n_bins,), and its size, int64; empty
        groups are left out.
    """
    order = np.argsort(probability, kind="stable")
    groups = [group for group in np.array_split(order, n_bins) if len(group)]
    return (
        np.array([probability[group].mean() for group in groups]),
        np.array([labels[group].mean() for group in groups]),
        np.array([len(group) for group in groups], np.int64),
    )


def _drawn(scores: Numbers, labels: Labels, rng: np.random.Generator, n_draws: int) -> Numbers:
    """Return the AUC of each model in bootstrap samples of buyers, float64 (n_draws, n_models)."""
    if len(labels) > MAX_EVALUATED:
        rows = rng.choice(len(labels), MAX_EVALUATED, replace=False)
        scores, labels = scores[:, rows], labels[rows]
    found = []
    for _ in range(n_draws):
        rows = rng.integers(0, len(labels), len(labels))
        positive, negative = rows[labels[rows]], rows[~labels[rows]]
        if len(positive) and len(negative):
            found.append([auc(each[positive], each[negative]) for each in scores])
    return np.array(found).reshape(-1, len(scores)) if found else np.full((1, len(scores)), np.nan)
