"""A learned order of candidates: LightGBM trees with calibrated scores, and their settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import lightgbm
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class TreesConfig:
    """Settings of the trees.

    Attributes:
        n_rounds: number of trees, >= 1.
        learning_rate: step of each tree, > 0.
        num_leaves: leaves per tree, >= 2.
        min_leaf: fewest candidates in a leaf, >= 1.
        feature_share: share of the features that a tree may use, in (0, 1].
        bagging_share: share of the candidates that a tree is grown on, in (0, 1].
        l2: penalty on the squared values of the leaves, >= 0.
        truncation: positions of the list whose order counts in training, >= 1.
    """

    n_rounds: int = 60
    learning_rate: float = 0.1
    num_leaves: int = 15
    min_leaf: int = 100
    feature_share: float = 0.6
    bagging_share: float = 0.7
    l2: float = 5.0
    truncation: int = 30


@dataclass(frozen=True)
class RankerConfig:
    """Settings of the learned rankers and of their training examples.

    Attributes:
        enabled: whether to train rankers; without them the blend orders every list.
        n_cutoffs: moments of the past at which examples are taken, >= 1.
        step_days: days between these moments, >= 1.
        horizon_days: days after a cut-off whose purchases are the labels, >= 1.
        max_shoppers: users drawn at each cut-off, >= 1.
        min_queries: fewest requests with a purchased candidate; with fewer no ranker is trained, >= 2.
        short_share: share of users with a second example in which all but their latest items are hidden, in [0, 1].
        max_short: most items that such an example keeps, >= 1.
        max_baskets: baskets drawn after each cut-off to train the order of related items, >= 1.
        negative_share: share of the candidates without a purchase that are kept, in (0, 1].
        trees: trees that are evaluated at every request; more cost latency.
        pair_trees: trees that order related items, evaluated in training only.
    """

    enabled: bool = True
    n_cutoffs: int = 3
    step_days: int = 14
    horizon_days: int = 28
    max_shoppers: int = 5000
    min_queries: int = 200
    short_share: float = 0.25
    max_short: int = 8
    max_baskets: int = 10_000
    negative_share: float = 0.5
    trees: TreesConfig = field(default_factory=TreesConfig)
    pair_trees: TreesConfig = field(
        default_factory=lambda: TreesConfig(n_rounds=120, learning_rate=0.06, num_leaves=31)
    )


@dataclass(frozen=True)
class Ranker:
    """A trained ranker.

    Attributes:
        trees: the model in LightGBM's text format; "" if no ranker was trained.
        slope: slope of the calibration, > 0.
        intercept: intercept of the calibration.
        hour_weight: weight of the logarithm of an item's lift at the hour, >= 0.
        n_requests: past requests that the ranker learned from.
        ndcg: mean nDCG@10 on held-out requests, by a ranker trained on the others; 0 if there were too few.
        ndcg_of_blend: mean nDCG@10 of the blend on the same requests.
    """

    trees: str
    slope: float = 1.0
    intercept: float = 0.0
    hour_weight: float = 1.0
    n_requests: int = 0
    ndcg: float = 0.0
    ndcg_of_blend: float = 0.0

    @property
    def is_fitted(self) -> bool:
        """Whether a ranker was trained."""
        return bool(self.trees)

    @cached_property
    def booster(self) -> lightgbm.Booster:
        """The parsed trees."""
        return lightgbm.Booster(model_str=self.trees)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns that it was trained on, in order."""
        return tuple(self.booster.feature_name())

    @property
    def importances(self) -> dict[str, float]:
        """Share of each feature in the total gain, the largest first; empty if no ranker was trained."""
        if not self.is_fitted:
            return {}
        gain = self.booster.feature_importance("gain")
        order = np.argsort(-gain, kind="stable")
        return {self.feature_names[idx]: float(gain[idx] / max(gain.sum(), 1e-12)) for idx in order}

    def log_odds(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Predict the log-odds that each candidate is bought.

        Args:
            features: float32 (n, n_features), columns in the order of `feature_names`.

        Returns:
            float64 (n,).
        """
        raw = np.asarray(self.booster.predict(features, num_threads=1, validate_features=False), np.float64)
        return self.slope * raw + self.intercept


NO_RANKER = Ranker("")
