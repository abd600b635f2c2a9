"""Fit of a ranker on the candidates of past requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from recsys.core.metrics import ndcg_of_hits
from recsys.fitting.ranker import TreesConfig

if TYPE_CHECKING:
    import lightgbm

MAX_HOUR_WEIGHT: Final = 5.0


@dataclass(frozen=True)
class TrainingGroups:
    """Candidates of past requests with their labels, one request after the other.

    Attributes:
        features: float32 (n, n_features).
        taken: int8 (n,), 1 for candidates that were bought, else 0.
        blend: float32 (n,), score without a ranker.
        log_lift: float32 (n,), logarithm of the item's lift at the hour of the purchase; 0 if no hour is known.
        size: int64 (n_requests,), number of candidates of each request.
    """

    features: npt.NDArray[np.float32]
    taken: npt.NDArray[np.int8]
    blend: npt.NDArray[np.float32]
    log_lift: npt.NDArray[np.float32]
    size: npt.NDArray[np.int64]

    @property
    def request(self) -> npt.NDArray[np.int64]:
        """The request of each candidate, int64 (n,)."""
        return np.repeat(np.arange(len(self.size)), self.size)

    def take(self, kept: npt.NDArray[np.bool_]) -> TrainingGroups:
        """Keep the chosen candidates, and drop requests without any.

        Args:
            kept: bool (n,).
        """
        size = np.bincount(self.request[kept], minlength=len(self.size))
        return TrainingGroups(
            self.features[kept], self.taken[kept], self.blend[kept], self.log_lift[kept], size[size > 0]
        )

    def take_groups(self, chosen: npt.NDArray[np.bool_]) -> TrainingGroups:
        """Return some of the requests with all their candidates, if any; bool (n_requests,)."""
        kept = chosen[self.request]
        return TrainingGroups(
            self.features[kept], self.taken[kept], self.blend[kept], self.log_lift[kept], self.size[chosen]
        )

    @property
    def has_answer(self) -> npt.NDArray[np.bool_]:
        """Whether a request has a candidate that was bought and one that was not, bool (n_requests,)."""
        n_taken = np.bincount(self.request, self.taken, len(self.size))
        return np.asarray((n_taken > 0) & (n_taken < self.size))

    def with_answer(self) -> TrainingGroups:
        """Keep the requests with at least one candidate that was bought and one that was not."""
        return self.take_groups(self.has_answer)


def joined(parts: Sequence[TrainingGroups]) -> TrainingGroups:
    """Concatenate examples."""
    columns = ([getattr(part, column.name) for part in parts] for column in fields(TrainingGroups))
    return TrainingGroups(*(np.concatenate(column) for column in columns))


def mean_ndcg(score: npt.NDArray[np.floating], examples: TrainingGroups, k: int = 10) -> float:
    """Compute the mean nDCG@k of the requests, ordered by a score; see `_first`.

    Args:
        score: (n,), one value per candidate.
        examples: the requests, at least one.
        k: length of a list, >= 1.

    Returns:
        In [0, 1].
    """
    n_taken = np.bincount(examples.request[examples.taken > 0], minlength=len(examples.size))
    return float(ndcg_of_hits(_first(score, examples, k), n_taken, k).mean())


def first_hits(score: npt.NDArray[np.floating], examples: TrainingGroups, k: int) -> npt.NDArray[np.float64]:
    """Return 1 for each request with a bought candidate among its first `k`, else 0; float64 (n_requests,).

    Args:
        score: (n,), one value per candidate.
        examples: the requests.
        k: length of a list, >= 1.
    """
    return np.asarray(_first(score, examples, k).any(axis=1), np.float64)


def _first(score: npt.NDArray[np.floating], examples: TrainingGroups, k: int) -> npt.NDArray[np.bool_]:
    """Return whether each of the first `k` candidates of each request was bought, bool (n_requests, k).

    Among candidates of equal scores those that were not bought come first, so that a constant score earns nothing.
    """
    request = examples.request
    order = np.lexsort((examples.taken, -np.asarray(score), request))
    first = np.repeat(np.cumsum(examples.size) - examples.size, examples.size)
    position = np.arange(len(request)) - first
    is_top = position < k
    hits = np.zeros((len(examples.size), k), np.bool_)
    hits[request[is_top], position[is_top]] = examples.taken[order[is_top]] > 0
    return hits


def boost(examples: TrainingGroups, names: tuple[str, ...], config: TreesConfig, seed: int) -> lightgbm.Booster:
    """Grow trees in one thread; on a busy machine LightGBM's threads wait for each other, which is ten times slower."""
    import lightgbm

    table = lightgbm.Dataset(
        examples.features, examples.taken, group=examples.size, feature_name=list(names), params={"verbose": -1}
    )
    return lightgbm.train(_parameters(config, seed), table, config.n_rounds)


def calibrate(
    raw: npt.NDArray[np.float64],
    log_lift: npt.NDArray[np.float32],
    taken: npt.NDArray[np.int8],
    negative_weight: float = 1.0,
) -> tuple[float, float, float]:
    """Fit `log-odds of a purchase = slope · raw + intercept + hour_weight · log_lift` by weighted logistic regression.

    Args:
        raw: float64 (n,), scores of the trees.
        log_lift: float32 (n,), logarithm of the item's lift at the hour; if all are 0 the weight stays 1.
        taken: int8 (n,), 1 for candidates that were bought.
        negative_weight: candidates that each one without a purchase represents, >= 1.

    Returns:
        Slope (above 0, so that the order stays), intercept, and weight of the hour (0 to `MAX_HOUR_WEIGHT`).

    Reference:
        Platt (1999), Probabilistic Outputs for Support Vector Machines, Advances in Large Margin Classifiers.
        Deviation: the labels are not smoothed.
    """
    columns = np.column_stack([raw, np.ones(len(raw)), log_lift])
    truth = taken.astype(np.float64)
    weight = np.where(taken > 0, 1.0, negative_weight)
    weight /= weight.sum()

    def loss(line: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        z = columns @ line
        value = -(weight * (truth * log_expit(z) + (1 - truth) * log_expit(-z))).sum()
        return float(value), (weight * (expit(z) - truth)) @ columns

    bounds = ((1e-3, None), (None, None), (0.0, MAX_HOUR_WEIGHT))
    found = minimize(loss, np.array([1.0, 0.0, 1.0]), jac=True, bounds=bounds, method="L-BFGS-B")
    return float(found.x[0]), float(found.x[1]), float(found.x[2])


def _parameters(config: TreesConfig, seed: int) -> dict[str, Any]:
    return {
        "objective": "lambdarank",
        "label_gain": [0, 1],
        "lambdarank_truncation_level": config.truncation,
        "learning_rate": config.learning_rate,
        "num_leaves": config.num_leaves,
        "min_data_in_leaf": config.min_leaf,
        "feature_fraction": config.feature_share,
        "bagging_fraction": config.bagging_share,
        "bagging_freq": 1,
        "lambda_l2": config.l2,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbose": -1,
    }
