"""The probability that a buyer orders again, by the model that predicted the shop's own past best."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from recsys.core.errors import ConfigError
from recsys.data.dataset import DAY_S
from recsys.segments.churn_evaluation import NOT_EVALUATED, ChurnEvaluation, evaluate_candidates
from recsys.segments.config import ChurnConfig
from recsys.segments.gamma_gamma import GammaGamma, fit_gamma_gamma
from recsys.segments.logistic import LogisticModel, fit_logistic
from recsys.segments.mbg_nbd import MBGNBD, WEEK_DAYS, BuyerCounts, count_orders, fit_mbg_nbd
from recsys.segments.order_features import RECENCY, order_features
from recsys.segments.order_stats import OrderStats, sums
from recsys.segments.visits import Visits

Candidate = Literal["", "recency", "mbg_nbd", "logistic"]
Numbers = npt.NDArray[np.float64]

CANDIDATES: Final[tuple[Candidate, ...]] = ("recency", "mbg_nbd", "logistic")
MAX_FITTED: Final = 20_000
"""Buyers that the parameters of MBG/NBD and gamma-gamma are fitted on, a random sample of all."""

MIN_PER_CLASS: Final = 10
"""Buyers with and without a next order without which no candidate is fitted."""

CLIP: Final = 1e-6


@dataclass(frozen=True)
class ChurnModel:
    """Probability of the next order, and the expected value of a user's next orders.

    Attributes:
        serves: the model that predicts; "" where there are no orders before the last moment.
        horizon_days: a user who does not order within this number of days churns.
        lifetime_days: days of the lifetime value.
        mbg_nbd: rates of orders and of stopping.
        gamma_gamma: prices of orders.
        logistic: weights of the inputs of `serves`; not fitted where the past of the shop is too short to learn from.
        evaluation: how well each model predicted the latest past.
    """

    serves: Candidate = ""
    horizon_days: float = 0.0
    lifetime_days: float = 0.0
    mbg_nbd: MBGNBD = field(default_factory=MBGNBD)
    gamma_gamma: GammaGamma = field(default_factory=GammaGamma)
    logistic: LogisticModel = field(default_factory=LogisticModel)
    evaluation: ChurnEvaluation = NOT_EVALUATED

    def to_dict(self) -> dict[str, Any]:
        """Return what serves and how it was chosen, as JSON values."""
        return {"serves": self.serves, "horizon_days": self.horizon_days, **self.evaluation.to_dict()}

    def repeat_probability(self, stats: OrderStats) -> Numbers:
        """Return the probability of an order within `horizon_days`, float64 (n_users,), NaN without orders."""
        found = np.full(len(stats.n_orders), np.nan)
        buyers = stats.n_orders > 0
        if not self.serves or not buyers.any():
            return found
        if self.logistic.is_fitted:
            found[buyers] = self.logistic.probability(_inputs(self.serves, stats, self.mbg_nbd, self.horizon_days))
        else:
            found[buyers] = self.mbg_nbd.orders_within(count_orders(stats), self.horizon_days / WEEK_DAYS)
        return found

    def lifetime_value(self, stats: OrderStats) -> Numbers:
        """Return expected orders within `lifetime_days` times their expected price, float64 (n_users,).

        NaN without orders, and where no price is known.
        """
        found = np.full(len(stats.n_orders), np.nan)
        buyers = stats.n_orders > 0
        if self.mbg_nbd.is_fitted and self.gamma_gamma.is_fitted and buyers.any():
            orders = self.mbg_nbd.expected_orders(count_orders(stats), self.lifetime_days / WEEK_DAYS)
            n, mean = _priced(stats)
            found[buyers] = orders * self.gamma_gamma.expected_price(n[buyers], mean[buyers])
        return found


def fit_churn(
    visits: Visits, created_at: Numbers, end: int, config: ChurnConfig, rng: np.random.Generator
) -> ChurnModel:
    """Choose the model that predicted the latest past best, and fit it on all of the past.

    The past moments lie `horizon_days` apart, the latest one as long before the end. Each candidate is fitted on the
    earlier moments, with nothing from after the latest one, and predicts the buyers of the latest. The one with the
    smallest log loss serves.

    Args:
        visits: visits of all users; of many, a random sample is learned from.
        created_at: float64 (n_users,), seconds since 1970, NaN for unknown.
        end: last moment of the data, seconds since 1970.
        config: settings.
        rng: draws samples of buyers.
    """
    users = _sample(np.arange(visits.n_users), config.max_users, rng)
    visits, created_at = visits.of_users(users), created_at[users]
    model, past = _fit_value(visits, created_at, end, config, rng), list[PastMoment]()
    if model.serves:
        past = _past(visits, created_at, end, config)
    if not _can_learn(past, config):
        return model
    chosen, evaluation = _choose(past, config, rng)
    return replace(_serving(model, chosen, past, config, rng), evaluation=evaluation)


def fit_candidate(
    name: Candidate, visits: Visits, created_at: Numbers, end: int, config: ChurnConfig, rng: np.random.Generator
) -> ChurnModel:
    """Fit one of the candidates on all of the past, whether or not it predicts best; see `fit_churn`.

    Raises:
        ConfigError: the past is too short to learn from.
    """
    model, past = _fit_value(visits, created_at, end, config, rng), _past(visits, created_at, end, config)
    if not _can_learn(past, config):
        raise ConfigError(f"{name} cannot be fitted: the past is too short or has too few buyers")
    return _serving(model, name, past, config, rng)


def _fit_value(
    visits: Visits, created_at: Numbers, end: int, config: ChurnConfig, rng: np.random.Generator
) -> ChurnModel:
    """Fit what needs no past moments: rates and prices; the unfitted model without orders before the last moment."""
    now = OrderStats(visits, created_at, end)
    if not (now.n_orders > 0).any():
        return ChurnModel()
    mbg_nbd = _fit_rates(now, rng)
    if not mbg_nbd.is_fitted:  # all orders are of the last moment
        return ChurnModel()
    n, mean = _priced(now)
    kept = _sample(np.flatnonzero(n > 0), MAX_FITTED, rng)
    prices = fit_gamma_gamma(n[kept], mean[kept])
    return ChurnModel("mbg_nbd", config.horizon_days, config.lifetime_days, mbg_nbd, prices)


def _serving(
    model: ChurnModel, name: Candidate, past: list[PastMoment], config: ChurnConfig, rng: np.random.Generator
) -> ChurnModel:
    """Return the model with a candidate that is fitted on all past moments, the latest one included."""
    moments = past[:1] if name == "mbg_nbd" else past
    rates = _fit_rates(past[0].stats, rng) if name == "mbg_nbd" else MBGNBD()
    return replace(model, serves=name, logistic=_fit(name, moments, rates, config))


@dataclass(frozen=True)
class PastMoment:
    """The buyers of a past moment, and who of them ordered within the horizon.

    Attributes:
        stats: visits and orders up to the moment.
        has_ordered: bool (n_buyers,).
    """

    stats: OrderStats
    has_ordered: npt.NDArray[np.bool_]


def past_moment(visits: Visits, created_at: Numbers, moment: int, horizon_days: float) -> PastMoment:
    """Cut the visits at a moment, and read from the later ones who ordered within the horizon."""
    stats = OrderStats(visits.until(moment), created_at, moment)
    orders = visits.orders
    later = (orders.at > moment) & (orders.at <= moment + horizon_days * DAY_S)
    return PastMoment(stats, (sums(orders, later) > 0)[stats.n_orders > 0])


def _past(visits: Visits, created_at: Numbers, end: int, config: ChurnConfig) -> list[PastMoment]:
    """Return the past moments, the latest first; before each lies at least one horizon of orders."""
    horizon = int(config.horizon_days * DAY_S)
    start = int(visits.orders.at.min())
    moments = [end - horizon * n for n in range(1, config.n_cutoffs + 1)]
    return [past_moment(visits, created_at, each, config.horizon_days) for each in moments if each >= start + horizon]


def _can_learn(past: list[PastMoment], config: ChurnConfig) -> bool:
    """Return whether the latest moment and the earlier ones have enough buyers of both kinds."""
    if len(past) < 2:
        return False
    groups = past[0].has_ordered, np.concatenate([each.has_ordered for each in past[1:]]), past[1].has_ordered
    return all(
        len(group) >= config.min_buyers and MIN_PER_CLASS <= group.sum() <= len(group) - MIN_PER_CLASS
        for group in groups
    )


def _choose(past: list[PastMoment], config: ChurnConfig, rng: np.random.Generator) -> tuple[Candidate, ChurnEvaluation]:
    """Fit each candidate before the latest moment and compare them there."""
    latest, predicted = past[0], {}
    rates = [_fit_rates(past[n].stats, rng) for n in range(2)]
    for name in CANDIDATES:
        earlier = past[1:2] if name == "mbg_nbd" else past[1:]
        model = _fit(name, earlier, rates[1], config)
        predicted[name] = model.probability(_inputs(name, latest.stats, rates[0], config.horizon_days))
    evaluation = evaluate_candidates({name: 1 - each for name, each in predicted.items()}, ~latest.has_ordered, rng)
    return CANDIDATES[CANDIDATES.index(evaluation.best)], evaluation


def _fit(name: Candidate, past: list[PastMoment], rates: MBGNBD, config: ChurnConfig) -> LogisticModel:
    inputs = np.concatenate([_inputs(name, each.stats, rates, config.horizon_days) for each in past])
    labels = np.concatenate([each.has_ordered for each in past])
    return fit_logistic(inputs, labels)


def _inputs(name: Candidate, stats: OrderStats, rates: MBGNBD, horizon_days: float) -> Numbers:
    """Return what a candidate reads of each buyer, float64 (n_buyers, n_inputs)."""
    if name == "mbg_nbd":
        found = rates.orders_within(count_orders(stats), horizon_days / WEEK_DAYS)
        return logit(np.clip(found, CLIP, 1 - CLIP))[:, None]
    features = order_features(stats)
    return features[:, [RECENCY]] if name == "recency" else features


def _fit_rates(stats: OrderStats, rng: np.random.Generator) -> MBGNBD:
    counts: BuyerCounts = count_orders(stats)
    return fit_mbg_nbd(counts.take(_sample(np.arange(len(counts.repeats)), MAX_FITTED, rng)))


def _priced(stats: OrderStats) -> tuple[Numbers, Numbers]:
    """Return the number of orders of known price of each user, and their mean price."""
    n = sums(stats.orders, np.isfinite(stats.orders.order_price))
    return n, np.nan_to_num(stats.mean_order)


def _sample(rows: npt.NDArray[np.int64], most: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return at most this number of rows, drawn without replacement, ascending."""
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))
