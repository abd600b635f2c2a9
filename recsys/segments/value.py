"""Scores of recency, frequency and money, the users of high value, and the sensitivity to prices."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from recsys.segments.config import RFMConfig, ValueConfig
from recsys.segments.order_stats import OrderStats, sums

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ValueLimits:
    """What separates the users of one shop by their orders, fitted on its buyers.

    Attributes:
        recency: float64, days since the last order, ascending.
        frequency: float64, number of orders in the window, ascending.
        monetary: float64, money in the window, ascending; empty where no price is known.
        top_money: money from which a user is of high value; 0 where no price is known.
        mean_order: mean price of an order of the shop; 0 where no price is known.
        has_discounts: whether the catalog has list prices.
    """

    recency: Numbers = field(default_factory=lambda: np.empty(0))
    frequency: Numbers = field(default_factory=lambda: np.empty(0))
    monetary: Numbers = field(default_factory=lambda: np.empty(0))
    top_money: float = 0.0
    mean_order: float = 0.0
    has_discounts: bool = False


@dataclass(frozen=True)
class RFM:
    """Recency, frequency and money of each user.

    Attributes:
        recency: float64 (n_users,), days since the last order, NaN without orders.
        frequency: float64 (n_users,), orders in the window.
        monetary: float64 (n_users,), money in the window, NaN for a user without an order of known price.
    """

    recency: Numbers
    frequency: Numbers
    monetary: Numbers


def measure_rfm(stats: OrderStats, window_days: float) -> RFM:
    """Measure the recency, frequency and money of each user."""
    orders, recent = stats.orders, stats.order_age <= window_days
    priced = np.isfinite(orders.order_price)
    money = sums(orders, np.where(recent & priced, orders.order_price, 0))
    return RFM(stats.days_since_order, sums(orders, recent), np.where(sums(orders, priced) > 0, money, np.nan))


def fit_value_limits(stats: OrderStats, rfm: RFMConfig, value: ValueConfig, *, has_discounts: bool) -> ValueLimits:
    """Fit the limits on the buyers of a shop: fixed ones where they are set, else quantiles.

    Args:
        stats: visits and orders of all users.
        rfm: settings of the scores.
        value: settings of the users of high value.
        has_discounts: whether the catalog has list prices.
    """
    measured = measure_rfm(stats, rfm.window_days)
    buyers = stats.n_orders > 0
    shares = np.arange(1, rfm.n_levels) / rfm.n_levels
    money = measured.monetary[np.isfinite(measured.monetary)]
    price = stats.orders.order_price
    price = price[np.isfinite(price)]
    return ValueLimits(
        recency=_limits(measured.recency[buyers], rfm.recency_limits, shares),
        frequency=_limits(measured.frequency[buyers], rfm.frequency_limits, shares),
        monetary=_limits(money, rfm.monetary_limits, shares),
        top_money=float(np.quantile(money, 1 - value.top_share)) if len(money) else 0.0,
        mean_order=float(price.mean(dtype=np.float64)) if len(price) else 0.0,
        has_discounts=has_discounts,
    )


def rfm_scores(rfm: RFM, limits: ValueLimits) -> tuple[Numbers, Numbers, Numbers]:
    """Return the scores of recency, frequency and money, 1 for the lowest value, float64 (n_users,) each.

    A score is 1 + the number of limits that the value is above; the recency counts the limits that it does not
    exceed. NaN without orders, and without a known price for money.
    """
    has_order = np.isfinite(rfm.recency)
    recency = 1 + len(limits.recency) - np.searchsorted(limits.recency, rfm.recency, side="left")
    frequency = 1 + np.searchsorted(limits.frequency, rfm.frequency, side="left")
    monetary = 1 + np.searchsorted(limits.monetary, rfm.monetary, side="left")
    return (
        np.where(has_order, recency, np.nan),
        np.where(has_order, frequency, np.nan),
        np.where(np.isfinite(rfm.monetary), monetary, np.nan),
    )


def is_high_value(stats: OrderStats, rfm: RFM, limits: ValueLimits, config: ValueConfig) -> Numbers:
    """Return 1 for users of high value, 0 for others, NaN for those without an order of known price.

    `money ≥ top_money`, or `mean interval ≤ max_interval_days and mean order ≥ min_order_ratio · mean_order`, where the
    mean interval is `(last order − first order) / (orders − 1)`.
    """
    span = stats.days_since_first_order - stats.days_since_order
    interval = np.where(stats.n_orders > 1, span / np.maximum(stats.n_orders - 1, 1), np.inf)
    is_regular = (interval <= config.max_interval_days) & (
        stats.mean_order >= config.min_order_ratio * limits.mean_order
    )
    is_top = (rfm.monetary >= limits.top_money) & (rfm.monetary > 0)
    return np.where(np.isfinite(rfm.monetary), is_top | is_regular, np.nan)


def discount_share(stats: OrderStats, limits: ValueLimits) -> Numbers:
    """Return the share of each user's lines of known price that were bought below the list price.

    Returns:
        float64 (n_users,), in [0, 1]; NaN for users without such a line, and where the catalog has no list prices.
    """
    n_priced, n_cheap = sums(stats.orders, stats.orders.n_priced), sums(stats.orders, stats.orders.n_discounted)
    if not limits.has_discounts:
        return np.full(len(n_priced), np.nan)
    return np.where(n_priced > 0, n_cheap / np.maximum(n_priced, 1), np.nan)


def _limits(values: Numbers, fixed: tuple[float, ...], shares: Numbers) -> Numbers:
    if fixed:
        return np.array(fixed, np.float64)
    return np.quantile(values, shares) if len(values) else np.empty(0)
