"""The stage of the life cycle of each user: an ordered list of rules, of which the first that applies decides."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.data.dataset import DAY_S
from recsys.segments.config import LifeCycleConfig
from recsys.segments.order_stats import OrderStats, gaps

STAGES: Final = ("returning", "lost", "dormant", "new_visitor", "new_week", "new_month", "growing", "active")
"""The stages in the order of their rules."""

UNKNOWN_STAGE: Final = -1


def life_cycle(stats: OrderStats, config: LifeCycleConfig) -> npt.NDArray[np.int8]:
    """Return the stage of each user.

    With `v` the days since the last visit, `k` the days known, `f` the days since the first order, and `r` the days
    since the first order after the latest absence of at least `away_days`, the first of these that is true:

    - returning: `r ≤ returning_days`
    - lost: `v ≥ lost_days`; dormant: `v ≥ dormant_days`
    - new_visitor: `k ≤ new_days` without an order
    - new_week: `k ≤ first_days`; new_month: `k ≤ new_days`
    - growing: `f ≤ growing_days`
    - active: everybody else

    Args:
        stats: visits and orders of the users.
        config: limits.

    Returns:
        int8 (n_users,), index in `STAGES`; -1 for a user with neither a visit nor a date of creation.
    """
    known, has_order = stats.days_known, stats.n_orders > 0
    rules = (
        days_since_return(stats, config.away_days) <= config.returning_days,
        stats.days_since_visit >= config.lost_days,
        stats.days_since_visit >= config.dormant_days,
        (known <= config.new_days) & ~has_order,
        known <= config.first_days,
        known <= config.new_days,
        stats.days_since_first_order <= config.growing_days,
    )
    stage = np.select(rules, range(len(rules)), len(STAGES) - 1)
    return np.where(np.isnan(known), UNKNOWN_STAGE, stage).astype(np.int8)


def days_since_return(stats: OrderStats, away_days: float) -> npt.NDArray[np.float64]:
    """Return the days since the first order after each user's latest long absence, float64 (n_users,).

    Args:
        stats: visits and orders of the users.
        away_days: days between two visits that make an absence.

    Returns:
        NaN for a user without an absence, or without an order since.
    """
    visits, found = stats.visits, np.full(stats.visits.n_users, np.nan)
    if not len(visits):
        return found
    is_back = gaps(visits) >= away_days
    latest_back = np.full(visits.n_users, -1, np.int64)
    back = np.flatnonzero(is_back)
    latest_back[visits.user_idx[back]] = back
    since = (np.arange(len(visits)) >= latest_back[visits.user_idx]) & (latest_back[visits.user_idx] >= 0)
    ordered = np.flatnonzero(since & visits.is_order)[::-1]
    found[visits.user_idx[ordered]] = (stats.now - visits.at[ordered]) / DAY_S
    return found
