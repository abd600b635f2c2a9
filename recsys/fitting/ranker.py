"""A learned order of candidates: LightGBM's lambdarank with calibrated scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Annotated, Any

import lightgbm
import numpy as np
import numpy.typing as npt
from msgspec import Meta
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from recsys.core.ranges import NonNegativeFloat, PositiveFloat, PositiveInt, PositiveShare, Share

MAX_HOUR_WEIGHT = 5.0


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
    num_leaves: Annotated[int, Meta(ge=2)] = 15
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
        n_cutoffs: moments of the past that examples are taken from.
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
    n_cutoffs: PositiveInt = 3
    step_days: PositiveInt = 14
    horizon_days: PositiveInt = 28
    max_shoppers: PositiveInt = 5000
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
class TrainingGroups:
    """Candidates of past requests, and which were taken.

    Attributes:
        features: float32 (n, n_features).
        taken: int8 (n,), 1 for what was taken, else 0.
        blend: float32 (n,), the score that the candidate has without a ranker.
        log_lift: float32 (n,), logarithm of its lift at the hour that the answer came at, 0 where no hour is known.
        size: int64 (n_requests,), candidates of each request, in order.
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
        """The chosen candidates; requests that keep none go."""
        size = np.bincount(self.request[kept], minlength=len(self.size))
        return TrainingGroups(
            self.features[kept], self.taken[kept], self.blend[kept], self.log_lift[kept], size[size > 0]
        )

    def with_answer(self) -> TrainingGroups:
        """The requests with something to learn from: a candidate that was taken beside others."""
        n_taken = np.bincount(self.request, self.taken, len(self.size))
        useful = (n_taken > 0) & (n_taken < self.size)
        return self.take(useful[self.request])


def no_groups(n_features: int) -> TrainingGroups:
    """Examples of no request."""
    nothing = np.empty(0, np.float32)
    return TrainingGroups(
        np.empty((0, n_features), np.float32), np.empty(0, np.int8), nothing, nothing, np.empty(0, np.int64)
    )


@dataclass(frozen=True)
class Ranker:
    """A trained ranker.

    Attributes:
        trees: LightGBM's own text; "" where nothing was learned.
        slope: of the calibration, > 0.
        intercept: of the calibration.
        hour_weight: how much the logarithm of an item's lift at the hour adds, >= 0.
        n_requests: past requests with something to learn from.
        ndcg: mean nDCG@10 over the latest of them, unseen by a ranker trained on the others; 0 where too few.
        ndcg_of_blend: the same of the order without a ranker.
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
        """Whether anything was learned."""
        return bool(self.trees)

    @cached_property
    def booster(self) -> lightgbm.Booster:
        """The trees, ready to be asked."""
        return lightgbm.Booster(model_str=self.trees)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns that it was trained on."""
        return tuple(self.booster.feature_name())

    @property
    def importances(self) -> dict[str, float]:
        """What each feature adds to the fit, as a share of all; the largest first, none where nothing was learned."""
        if not self.is_fitted:
            return {}
        gain = self.booster.feature_importance("gain")
        order = np.argsort(-gain, kind="stable")
        return {self.feature_names[place]: float(gain[place] / max(gain.sum(), 1e-12)) for place in order}

    def log_odds(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """How likely each candidate is taken, as the logarithm of its odds, float64 (n,)."""
        raw = np.asarray(self.booster.predict(features, num_threads=1, validate_features=False), np.float64)
        return self.slope * raw + self.intercept


NO_RANKER = Ranker("")


def fit_ranker(
    past: Sequence[TrainingGroups],
    names: tuple[str, ...],
    config: RankerConfig,
    trees: TreesConfig,
    rng: np.random.Generator,
) -> Ranker:
    """Learn an order from past requests, if it foretells the latest of them better than the blend does.

    Args:
        past: examples, the latest cut-off first; each request is an order of its own.
        names: of the features.
        config: settings of the examples.
        trees: settings of the trees.
        rng: source of what is drawn.

    Returns:
        A ranker that is not fitted where there is too little to learn from, or nothing to be gained.

    Reference:
        Burges (2010), From RankNet to LambdaRank to LambdaMART; Ke et al. (2017), LightGBM, NeurIPS.
    """
    useful = [examples.with_answer() for examples in past]
    n_requests = sum(len(examples.size) for examples in useful)
    if n_requests < config.min_queries:
        return Ranker("", n_requests=n_requests)
    seed = int(rng.integers(2**31))
    known, unseen = _apart(useful, -(-config.horizon_days // config.step_days))
    trial = _boost(known, names, trees, seed)
    raw = np.asarray(trial.predict(unseen.features, num_threads=1), np.float64)
    ndcg = mean_ndcg(raw, unseen)
    ndcg_of_blend = mean_ndcg(unseen.blend, unseen)
    if ndcg <= ndcg_of_blend:
        return Ranker("", n_requests=n_requests, ndcg=ndcg, ndcg_of_blend=ndcg_of_blend)
    line = calibrate(raw, unseen.log_lift, unseen.taken, 1 / config.negative_share)
    booster = _boost(joined(useful), names, trees, seed)
    return Ranker(booster.model_to_string(importance_type="gain"), *line, n_requests, ndcg, ndcg_of_blend)


def joined(parts: Sequence[TrainingGroups]) -> TrainingGroups:
    """Examples one after the other."""
    columns = ([getattr(part, column.name) for part in parts] for column in fields(TrainingGroups))
    return TrainingGroups(*(np.concatenate(column) for column in columns))


def mean_ndcg(score: npt.NDArray[np.floating], examples: TrainingGroups, k: int = 10) -> float:
    """Mean nDCG@k of the requests' orders by a score; ties count against it."""
    request = examples.request
    order = np.lexsort((examples.taken, -np.asarray(score), request))
    first = np.repeat(np.cumsum(examples.size) - examples.size, examples.size)
    place = np.arange(len(request)) - first
    discount = np.where(place < k, 1 / np.log2(place + 2), 0)
    gain = np.bincount(request, examples.taken[order] * discount, len(examples.size))
    n_taken = np.bincount(request, examples.taken, len(examples.size)).astype(np.int64)
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(k) + 2))])[np.minimum(n_taken, k)]
    return float((gain / ideal).mean())


def _apart(past: Sequence[TrainingGroups], horizon: int) -> tuple[TrainingGroups, TrainingGroups]:
    """What is learned from, and what it is tried on: the latest cut-off and those whose answers were in before it.

    Where there is no such pair, halves of all requests. `horizon` is how many cut-offs lie within that of answers.
    """
    if past and len(past[0].size) and sum(len(examples.size) for examples in past[horizon:]):
        return joined(past[horizon:]), past[0]
    only = joined(past)
    is_even = only.request % 2 == 0
    return only.take(is_even), only.take(~is_even)


def _boost(examples: TrainingGroups, names: tuple[str, ...], config: TreesConfig, seed: int) -> lightgbm.Booster:
    """Grow trees, by one thread: on a busy machine LightGBM's threads wait for each other ten times as long."""
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
    """Fit `log odds of being taken = slope · raw + intercept + hour_weight · log_lift`.

    Args:
        raw: float64 (n,), the trees' scores.
        log_lift: float32 (n,), what the hour says; where it says nothing its weight is 1.
        taken: int8 (n,), 1 for what was taken.
        negative_weight: how many candidates each one that was not taken stands for.

    Returns:
        Slope (above 0, so that the order stays), intercept, and weight of the hour (0 to 5).

    Reference:
        Platt (1999), Probabilistic Outputs for Support Vector Machines.
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
