"""The alarm for users who order less often than in the months before."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr

from recsys.segments.config import SlowingConfig
from recsys.segments.order_stats import OrderStats, sums


def is_slowing(stats: OrderStats, config: SlowingConfig) -> npt.NDArray[np.float64]:
    """Return 1 for users whose frequency of orders is down, 0 for others.

    With `k` orders in the recent `w` days and `b` orders in the `d` days before, of which the user is known:
    `k / w ≤ max_ratio · b / d`, and `P(K ≤ k) ≤ max_p_value` for `K ~ Binomial(k + b, w / (w + d))`, the
    distribution of the recent orders at an unchanged rate.

    Returns:
        float64 (n_users,); NaN for users without orders before the recent days.
    """
    age, recent = stats.order_age, stats.order_age < config.recent_days
    is_before = ~recent & (age < config.recent_days + config.before_days)
    n_recent, n_before = sums(stats.orders, recent), sums(stats.orders, is_before)
    known = np.nan_to_num(stats.days_since_first_order) - config.recent_days
    days = np.clip(known, 1.0, config.before_days)
    share = config.recent_days / (config.recent_days + days)
    is_half = n_recent / config.recent_days <= config.max_ratio * n_before / days
    n_orders = (n_recent + n_before).astype(np.int64)
    is_unlikely = bdtr(n_recent, n_orders, share) <= config.max_p_value
    return np.where(known > 0, (n_before > 0) & is_half & is_unlikely, np.nan)
