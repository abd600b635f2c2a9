"""The latest sign of a user's interest in each item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.schema import EVENT_NAMES
from recsys.data.dataset import DAY_S
from recsys.data.history import UserHistory
from recsys.models.moments.config import MomentsConfig

STRENGTH: Final = {
    "view_item": 1.0,
    "select_item": 1.0,
    "add_to_wishlist": 3.0,
    "add_to_cart": 3.0,
    "begin_checkout": 3.0,
    "purchase": 2.0,
}
"""Weight of each event that is a sign of interest."""

_WEIGHT: Final = np.array([STRENGTH.get(name, 0.0) for name in EVENT_NAMES])
_PURCHASE: Final = EVENT_NAMES.index("purchase")
_HALF_LIFE_DAYS: Final = 7.0


@dataclass(frozen=True)
class Interest:
    """Items in which a user has shown interest; one entry per item, in ascending order of rows.

    Attributes:
        item_idx: int32 (n,).
        at: int64 (n,), time of the latest event, seconds since 1970.
        event_type: int8 (n,), its code.
        price: float32 (n,), its price, 0 for unknown.
        weight: float64 (n,), > 0, by the kind of the event and its age.
    """

    item_idx: npt.NDArray[np.int32]
    at: npt.NDArray[np.int64]
    event_type: npt.NDArray[np.int8]
    price: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float64]

    def take(self, rows: npt.NDArray[np.bool_]) -> Interest:
        """Return the chosen items."""
        return Interest(*(column[rows] for column in vars(self).values()))


def latest_interest(history: UserHistory, now: int, config: MomentsConfig) -> Interest:
    """Return the latest view, wish, addition to the cart or purchase of each item, if it is recent enough.

    Args:
        history: events up to `now`, oldest first.
        now: seconds since 1970.
        config: settings.
    """
    chosen = np.flatnonzero(_WEIGHT[history.event_type] > 0)
    _, from_end = np.unique(history.item_idx[chosen][::-1], return_index=True)
    latest = history.take(chosen[len(chosen) - 1 - from_end])
    age_days = (now - latest.timestamp) / DAY_S
    longest = np.where(latest.event_type == _PURCHASE, config.bought_days, config.interest_days)
    weight = _WEIGHT[latest.event_type] * np.exp2(-age_days / _HALF_LIFE_DAYS) + 1e-6
    found = Interest(latest.item_idx, latest.timestamp, latest.event_type, latest.price, weight)
    return found.take(age_days <= longest)
