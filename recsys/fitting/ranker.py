"""A learned order of candidates: LightGBM trees with calibrated scores, and their settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from recsys.core.config.ranges import NonNegativeFloat, PositiveFloat, PositiveInt, PositiveShare, Share
from recsys.kernels.trees import MAX_LEAVES, Forest

if TYPE_CHECKING:
    import lightgbm

NAMES: Final = "feature_names="


@dataclass(frozen=True)
class TreesConfig:
    """Settings of the trees.

    Attributes:
        n_rounds: number of trees.
        learning_rate: step of each tree.
        num_leaves: leaves per tree.
        min_leaf: candidates that a leaf must hold.
        feature_share: share of the features that a tree may use.
        bagging_share: share of the candidates that a tree is grown on.
        l2: penalty on the squares of the leaf values.
        truncation: positions of the list whose order counts.
    """

    n_rounds: PositiveInt = 60
    learning_rate: PositiveFloat = 0.1
    num_leaves: Annotated[int, Meta(ge=2, le=MAX_LEAVES)] = 15
    min_leaf: PositiveInt = 100
    feature_share: PositiveShare = 0.6
    bagging_share: PositiveShare = 0.7
    l2: NonNegativeFloat = 5.0
    truncation: PositiveInt = 30


@dataclass(frozen=True)
class RankerConfig:
    """Settings of the learned rankers and of their training examples.

    Attributes:
        enabled: whether rankers are trained; without them the blend orders every list.
        n_cutoffs: moments of the past that examples are taken from; shops of 5 million events or more take one.
        step_days: days from one cut-off to the next.
        horizon_days: days after a cut-off whose purchases are the positives.
        max_shoppers: users drawn at each cut-off.
        min_queries: users with a positive among their candidates that training needs; with fewer, no ranker is fitted.
        short_share: share of the users who get a second example with all but their latest items removed.
        max_short: most items that such an example keeps.
        max_baskets: baskets drawn after each cut-off for the ranker of related items.
        negative_share: share of the negatives that are trained on.
        trees: settings of the rankers that order lists at every request.
        pair_trees: settings of the ranker that orders related items during training.
    """

    enabled: bool = True
    n_cutoffs: PositiveInt = 2
    step_days: PositiveInt = 28
    horizon_days: PositiveInt = 28
    max_shoppers: PositiveInt = 2000
    min_queries: Annotated[int, Meta(ge=2)] = 200
    short_share: Share = 0.25
    max_short: PositiveInt = 8
    max_baskets: PositiveInt = 10_000
    negative_share: PositiveShare = 0.5
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

    @cached_property
    def is_fitted(self) -> bool:
        """Whether a ranker was trained."""
        return bool(self.trees)

    @cached_property
    def booster(self) -> lightgbm.Booster:
        """The model as LightGBM reads it, for explanations and reports: lists need the trees alone."""
        import lightgbm

        return lightgbm.Booster(model_str=self.trees)

    @cached_property
    def forest(self) -> Forest:
        """The trees as arrays."""
        return Forest.read(self.trees)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns that it was trained on, in order; none if no ranker was trained."""
        header = self.trees.partition("\nTree=")[0].splitlines()
        names = next((line for line in header if line.startswith(NAMES)), NAMES)
        return tuple(names.removeprefix(NAMES).split())

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
            features: float32 (n, n_features), columns in the order of `feature_names`; fastest in Fortran order.

        Returns:
            float64 (n,).
        """
        return self.slope * self.forest.predict(features.T) + self.intercept


NO_RANKER = Ranker("")
