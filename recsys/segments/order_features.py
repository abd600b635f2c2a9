"""Features of a purchase history from which the next order is predicted."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.segments.order_stats import OrderStats, gaps, sums

WINDOWS_DAYS: Final = (7, 14, 28, 56, 112, 224)
HALF_LIVES_DAYS: Final = (14, 28, 56, 112)
PRIOR_GAP_DAYS: Final = 28.0
"""A gap of this length is added to those of each user, so that one order has a mean gap too."""

FEATURES: Final = (
    "days since the last order",
    "days since the last visit",
    "days since the first order",
    "orders",
    *(f"orders of {days} days" for days in WINDOWS_DAYS),
    *(f"orders, half-life {days} days" for days in HALF_LIVES_DAYS),
    "mean gap",
    "deviation of the gaps",
    "longest gap",
    "recency / mean gap",
    "recency / longest gap",
    "mean order",
)
RECENCY: Final = FEATURES.index("days since the last order")


def order_features(stats: OrderStats) -> npt.NDArray[np.float64]:
    """Return the features of each user with orders, in the order of `stats.n_orders > 0`.

    Args:
        stats: visits and orders of the users.

    Returns:
        float64 (n_buyers, len(FEATURES)), logarithms.
    """
    orders, buyers, age = stats.orders, stats.n_orders > 0, stats.order_age
    recency, gap = stats.days_since_order, gaps(orders)
    known = np.isfinite(gap)
    gap = np.where(known, gap, 0)
    n_gaps = sums(orders, known) + 1
    mean_gap = (sums(orders, gap) + PRIOR_GAP_DAYS) / n_gaps
    deviation = np.sqrt((sums(orders, gap**2) + PRIOR_GAP_DAYS**2) / n_gaps)
    longest = np.zeros(orders.n_users)
    np.maximum.at(longest, orders.user_idx, gap)
    columns = [
        np.log1p(np.maximum(recency, 0)),
        np.log1p(np.maximum(stats.days_since_visit, 0)),
        np.log1p(np.maximum(stats.days_since_first_order, 0)),
        np.log1p(stats.n_orders),
        *(np.log1p(sums(orders, age <= days)) for days in WINDOWS_DAYS),
        *(np.log1p(sums(orders, 0.5 ** (age / days))) for days in HALF_LIVES_DAYS),
        np.log(mean_gap),
        np.log(deviation),
        np.log1p(longest),
        np.log((recency + 1) / mean_gap),
        np.log((recency + 1) / (longest + 1)),
        np.log1p(np.nan_to_num(np.maximum(stats.mean_order, 0))),
    ]
    return np.column_stack(columns)[buyers]
