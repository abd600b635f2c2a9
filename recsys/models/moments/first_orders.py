"""What customers buy in their first order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.data.dataset import Dataset
from recsys.models.arrays import count_distinct_users

N_ITEMS: Final = 300
MIN_ORDERS: Final = 3
SHRINKAGE: Final = 20.0


@dataclass(frozen=True)
class FirstOrders:
    """Items of first orders, those that win customers first.

    Attributes:
        item_idx: int32 (n,).
        score: float32 (n,), `n_i / N · r_i`, with the share of first orders that contain the item, and the ratio of
            that share to the one of all orders, shrunk to 1.
        share: float32 (n,), the share of first orders.
    """

    item_idx: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    score: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    share: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))


NO_FIRST_ORDERS: Final = FirstOrders()


def fit_first_orders(dataset: Dataset) -> FirstOrders:
    """Count the first orders of all users that contain each item."""
    return first_orders_of(count_first_orders(dataset))


@dataclass(frozen=True)
class FirstOrderCounts:
    """Orders that contain each item; those of several groups of users can be added.

    Attributes:
        n_first: int64 (n_items,), first orders.
        n_any: int64 (n_items,), all orders of users.
        n_users: users with an order.
        n_orders: their orders.
    """

    n_first: npt.NDArray[np.int64]
    n_any: npt.NDArray[np.int64]
    n_users: int
    n_orders: int


def count_first_orders(dataset: Dataset) -> FirstOrderCounts:
    """Count the orders of some users or of all."""
    bought = dataset.target_events
    bought = bought.take(bought.user_idx >= 0)
    n_items = len(dataset.items)
    users, first = np.unique(bought.user_idx, return_index=True)
    basket_of = np.full(int(users.max(initial=-1)) + 1, -1, np.int64)
    basket_of[users] = bought.basket_idx[first]
    is_first = bought.basket_idx == basket_of[bought.user_idx]
    return FirstOrderCounts(
        n_first=count_distinct_users(bought.user_idx[is_first], bought.item_idx[is_first], n_items),
        n_any=count_distinct_users(bought.basket_idx, bought.item_idx, n_items),
        n_users=len(users),
        n_orders=len(np.unique(bought.basket_idx)),
    )


def first_orders_of(counts: FirstOrderCounts) -> FirstOrders:
    """Return the model of the counts of all users."""
    if not counts.n_users:
        return NO_FIRST_ORDERS
    expected = counts.n_any * (counts.n_users / counts.n_orders)
    share = counts.n_first / counts.n_users
    score = share * (counts.n_first + SHRINKAGE) / (expected + SHRINKAGE)
    found = np.flatnonzero(counts.n_first >= MIN_ORDERS)
    best = found[np.lexsort((found, -score[found]))][:N_ITEMS]
    return FirstOrders(best.astype(np.int32), score[best].astype(np.float32), share[best].astype(np.float32))
