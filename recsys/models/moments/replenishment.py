"""Replenishment: the probability that a user buys an item again within a number of days, and when it is due."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
from msgspec import Meta
from scipy.special import expit, ndtr

from recsys.core.config.ranges import NonNegativeFloat, PositiveFloat, PositiveInt, Share
from recsys.data.dataset import DAY_S
from recsys.data.history import History
from recsys.models.temporal.repeat import PurchaseStats, RepeatModel, purchase_stats

Numbers = npt.NDArray[np.float64]

SHORT_DAYS: Final = 28
LONG_DAYS: Final = 84
MIN_REPEAT_PROBABILITY: Final = 0.2
"""Items that the user bought once count where buyers return to them at least this often."""

MAX_GAPS: Final = 200_000
MAX_ITERATIONS: Final = 25
MAD_TO_DEVIATION: Final = 1.4826
"""Standard deviation of a normal distribution ÷ its median absolute deviation."""


@dataclass(frozen=True)
class ReplenishmentConfig:
    """Settings of the list of items that are due.

    Attributes:
        horizon_days: the probability is that of a purchase within this number of days.
        min_probability: smallest probability of an item in the list.
        spread_shrinkage: gaps that pull the spread of a user's own gaps to that of the shop.
        n_moments: moments of the past, one horizon apart, that the probability is learned from.
        max_users: largest number of users whose past is used at each moment.
        min_bought: purchases within the horizon that there must be to learn from.
        regularization: of the coefficients, in purchases.
    """

    horizon_days: PositiveFloat = 7.0
    min_probability: Share = 0.2
    spread_shrinkage: NonNegativeFloat = 3.0
    n_moments: PositiveInt = 4
    max_users: PositiveInt = 2000
    min_bought: PositiveInt = 50
    regularization: Annotated[float, Meta(gt=0)] = 1.0


@dataclass(frozen=True)
class ReplenishmentModel:
    """The probability of a purchase within the horizon: a logistic regression on the user's own purchases.

    Attributes:
        coefficients: float64 (N_FEATURES,), of `features`; empty where there was too little to learn from.
        variation: standard deviation of a gap ÷ the interval, of all users.
        config: the settings.
    """

    coefficients: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    variation: float = 0.5
    config: ReplenishmentConfig = field(default_factory=ReplenishmentConfig)

    @property
    def is_fitted(self) -> bool:
        """Whether the probability is learned."""
        return len(self.coefficients) > 0

    def probability(self, repeat: RepeatModel, own: PurchaseStats, now: int) -> Numbers:
        """Return the probability that the user buys each item within the horizon, float64 (n,), in [0, 1].

        Learned where there was enough to learn from. Else `r · (F(e + H) − F(e)) / (1 − F(e))`, with `r` the
        probability that the user buys the item again, `e` the days since the last purchase, and `F` the normal
        distribution of the gap around the user's interval.

        Args:
            repeat: rates and intervals of all users.
            own: the user's purchases.
            now: seconds since 1970.
        """
        if self.is_fitted:
            return expit(features(own, now) @ self.coefficients)
        elapsed, spread = (now - own.last) / DAY_S, np.maximum(self.spread_days(own), 0.5)
        before, after = (
            ndtr((days - own.interval_days) / spread) for days in (elapsed, elapsed + self.config.horizon_days)
        )
        return repeat.repeat_probability(own) * (after - before) / np.maximum(1 - before, 1e-9)

    def spread_days(self, own: PurchaseStats) -> Numbers:
        """Return the standard deviation of the days between purchases of each item, float64 (n,).

        `√((Σ (gap − m)² + k·(c·m)²) / (n_gaps + k))`, with `m` the user's interval, `c` the variation of all users and
        `k = spread_shrinkage`.
        """
        interval, k = own.interval_days.astype(np.float64), self.config.spread_shrinkage
        position, gap = own_gaps(own)
        squares = np.bincount(position, (gap - interval[position]) ** 2, len(interval))
        n_gaps = np.bincount(position, minlength=len(interval))
        expected = (self.variation * interval) ** 2
        return np.where(n_gaps + k > 0, np.sqrt((squares + k * expected) / np.maximum(n_gaps + k, 1e-9)), interval)


NO_REPLENISHMENT: Final = ReplenishmentModel()


def own_gaps(own: PurchaseStats) -> tuple[npt.NDArray[np.int64], Numbers]:
    """Return the gaps between purchases of one item: the position of the item in `own`, and the gap in days."""
    item = np.repeat(np.arange(len(own.item_idx)), own.n_baskets)
    same = item[1:] == item[:-1]
    return item[1:][same], np.diff(own.time)[same] / DAY_S


def is_candidate(repeat: RepeatModel, own: PurchaseStats) -> npt.NDArray[np.bool_]:
    """Return the items that may be bought again: bought in two orders, or once where buyers return to them."""
    return (own.n_baskets > 1) | (repeat.repeat_rate[own.item_idx] >= MIN_REPEAT_PROBABILITY)


def features(own: PurchaseStats, now: int) -> Numbers:
    """Return what the probability follows from, float64 (n, N_FEATURES); the first column is 1.

    Logarithms of: orders with the item, ever and in the last 84 and 28 days; all orders in these spans; days since the
    last order; days since the last one with the item, `e`; the interval, `m`. Then `ln(e/m)` squared, and apart below
    and above 0, and the share of the orders with the item.

    Args:
        own: a user's purchases.
        now: seconds since 1970.
    """
    item = np.repeat(np.arange(len(own.item_idx)), own.n_baskets)
    n_long, n_short = (
        np.bincount(item, own.time >= now - days * DAY_S, len(own.item_idx)) for days in (LONG_DAYS, SHORT_DAYS)
    )
    orders_long, orders_short = (int((own.order_times >= now - days * DAY_S).sum()) for days in (LONG_DAYS, SHORT_DAYS))
    since_order = (now - own.order_times[-1]) / DAY_S if len(own.order_times) else 0.0
    elapsed = np.log(np.maximum(now - own.last, 0) / DAY_S + 0.5)
    interval = np.log(own.interval_days.astype(np.float64))
    ratio, share = elapsed - interval, np.log(n_long + 1) - np.log(orders_long + 1)
    of_user = np.log([orders_long + 1, orders_short + 1, max(since_order, 0) + 1])
    columns = (
        np.ones(len(own.item_idx)),
        np.log(own.n_baskets),
        np.log(n_long + 1),
        np.log(n_short + 1),
        *(np.full(len(own.item_idx), each) for each in of_user),
        elapsed,
        interval,
        ratio**2,
        np.minimum(ratio, 0),
        np.maximum(ratio, 0),
        share,
        share**2,
    )
    return np.column_stack(columns)


def fit_replenishment(
    history: History, repeat: RepeatModel, target_event: int, now: int, config: ReplenishmentConfig
) -> ReplenishmentModel:
    """Learn from past moments which of a user's items were bought within the horizon.

    Args:
        history: events of all users.
        repeat: rates and intervals of all users.
        target_event: code of the event that counts as a purchase.
        now: end of the data, seconds since 1970.
        config: settings.
    """
    horizon = round(config.horizon_days * DAY_S)
    n_users = len(history.indptr) - 1
    users = np.unique(np.linspace(0, n_users - 1, min(n_users, config.max_users)).astype(np.int64)) if n_users else None
    tables: list[Numbers] = [np.empty((0, N_FEATURES))]
    labels: list[npt.NDArray[np.bool_]] = [np.empty(0, np.bool_)]
    ratios: list[Numbers] = []
    for user in [] if users is None else users.tolist():
        whole = history.of(user, now).of_type(target_event)
        for step in range(1, config.n_moments + 1):
            moment = now - step * horizon
            n_known = int(whole.timestamp.searchsorted(moment, side="right"))
            if not n_known:
                break
            own = purchase_stats(repeat, whole.take(slice(0, n_known)), moment)
            chosen = is_candidate(repeat, own)
            n_until = int(whole.timestamp.searchsorted(moment + horizon, side="right"))
            tables.append(features(own, moment)[chosen])
            labels.append(np.isin(own.item_idx[chosen], whole.item_idx[n_known:n_until]))
            if step == 1:
                position, gap = own_gaps(own)
                ratios.append(gap / own.interval_days[position])
    table, label = np.concatenate(tables), np.concatenate(labels)
    is_enough = label.sum() >= config.min_bought and (~label).sum() >= config.min_bought
    coefficients = _logistic(table, label.astype(np.float64), config.regularization) if is_enough else np.empty(0)
    return ReplenishmentModel(coefficients, _variation(ratios), config)


def _variation(ratios: list[Numbers]) -> float:
    """The robust deviation of gaps from their interval, as a share of it."""
    ratio = np.concatenate([np.empty(0), *ratios])[:MAX_GAPS]
    if len(ratio) < 2:
        return NO_REPLENISHMENT.variation
    return float(np.clip(MAD_TO_DEVIATION * np.median(np.abs(ratio - 1)), 0.05, 1.0))


def _logistic(table: Numbers, label: Numbers, regularization: float) -> Numbers:
    """Fit a ridge-regularized logistic regression by Newton's method, on standardized columns; return plain weights."""
    mean, deviation = table.mean(axis=0), table.std(axis=0)
    mean[0], deviation[deviation == 0] = 0, 1
    columns = (table - mean) / deviation
    penalty = np.full(columns.shape[1], regularization)
    penalty[0] = 0
    weights = np.zeros(columns.shape[1])
    share = label.mean()
    weights[0] = np.log(share / (1 - share))
    for _ in range(MAX_ITERATIONS):
        expected = expit(columns @ weights)
        slope = columns.T @ (expected - label) + penalty * weights
        curvature = (columns * (expected * (1 - expected))[:, None]).T @ columns + np.diag(penalty + 1e-9)
        step = np.linalg.solve(curvature, slope)
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    plain = weights / deviation
    plain[0] -= (mean * plain)[1:].sum()
    return plain


N_FEATURES: Final = 14
