"""Which shoppers a further list is made for: those of groups in which it has won enough on past lists."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

ORDER_EDGES: Final = (1, 2, 4, 8)
DAY_EDGES: Final = (7.0, 14.0, 28.0, 90.0, 365.0)
N_LAST: Final = 3
"""Groups of equal size of the shoppers who have all their messages, by the value of the last one."""

Values = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.integer] | Values


class AskRule(msgspec.Struct, frozen=True):
    """The groups of shoppers that a list is not made for.

    Groups are formed by the expected value of the shopper's last message, the orders of the last four weeks, and the
    days since the last order.

    Attributes:
        last_edges: ascending; 0 is a shopper with room for more messages.
        skipped: numbers of the groups.
    """

    last_edges: tuple[float, ...] = ()
    skipped: tuple[int, ...] = ()

    def wants(self, last: Values, n_orders: Numbers, days_since: Values) -> npt.NDArray[np.bool_]:
        """Return for whom the list is made, bool (n_users,).

        Args:
            last: (n_users,), expected value of the last message that the lists before give.
            n_orders: (n_users,), in the last four weeks.
            days_since: (n_users,), days since the last order.
        """
        return ~np.isin(_groups(self.last_edges, last, n_orders, days_since), self.skipped)


def _groups(
    last_edges: tuple[float, ...], last: Values, n_orders: Numbers, days_since: Values
) -> npt.NDArray[np.int64]:
    by_last = np.searchsorted(last_edges, last, side="right")
    by_orders = np.searchsorted(ORDER_EDGES, n_orders, side="right")
    by_days = np.searchsorted(DAY_EDGES, days_since, side="right")
    return (by_last * (len(ORDER_EDGES) + 1) + by_orders) * (len(DAY_EDGES) + 1) + by_days


def fit_rule(last: Values, n_orders: Numbers, days_since: Values, gain: Values, allowed_loss: float) -> AskRule:
    """Choose the groups to skip: those of the lowest mean gain, as long as their gains are at most `allowed_loss`.

    A group's mean gain is shrunk by one shopper of the mean gain of all; a group that the past does not have is asked.

    Args:
        last: (n_users,), expected value of the last message that the lists before give.
        n_orders: (n_users,), in the last four weeks.
        days_since: (n_users,), days since the last order.
        gain: (n_users,), expected value that the list adds.
        allowed_loss: of all shoppers together, >= 0.
    """
    full = last[last > 0]
    quantiles = np.quantile(full, np.arange(N_LAST) / N_LAST) if len(full) else np.empty(0)
    edges = tuple(np.unique(quantiles).tolist())
    if not len(gain) or allowed_loss <= 0:
        return AskRule(edges)
    groups, group = np.unique(_groups(edges, last, n_orders, days_since), return_inverse=True)
    total = np.bincount(group, np.maximum(gain, 0))
    size = np.bincount(group)
    mean = (total + total.sum() / len(gain)) / (size + 1)
    order = np.argsort(mean, kind="stable")
    n_skipped = int((np.cumsum(total[order]) <= allowed_loss).sum())
    return AskRule(edges, tuple(sorted(groups[order[:n_skipped]].tolist())))
