"""Sums over the visits and orders of each user up to a moment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.data.dataset import DAY_S
from recsys.segments.visits import Visits

NEVER: Final = np.nan

Days = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class OrderStats:
    """Visits and orders of users, and sums over them that several segments share.

    Attributes:
        visits: visits up to `now`.
        created_at: float64 (n_users,), creation of each account, seconds since 1970, NaN for unknown.
        now: seconds since 1970.
    """

    visits: Visits
    created_at: npt.NDArray[np.float64]
    now: int

    @cached_property
    def orders(self) -> Visits:
        """Visits with purchases."""
        return self.visits.orders

    @cached_property
    def n_orders(self) -> Counts:
        """Number of orders, int64 (n_users,)."""
        return np.diff(self.orders.indptr)

    @cached_property
    def days_known(self) -> Days:
        """Days since the first visit or the account's creation, float64 (n_users,), NaN where neither is known."""
        return np.fmax(self._age(first_of(self.visits)), self._age(self.created_at))

    @cached_property
    def days_since_visit(self) -> Days:
        """Days since the last visit, float64 (n_users,); since the account's creation where there is none."""
        return np.fmin(self._age(last_of(self.visits)), self._age(self.created_at))

    @cached_property
    def days_since_order(self) -> Days:
        """Days since the last order, float64 (n_users,), NaN without orders."""
        return self._age(last_of(self.orders))

    @cached_property
    def days_since_first_order(self) -> Days:
        """Days since the first order, float64 (n_users,), NaN without orders."""
        return self._age(first_of(self.orders))

    @cached_property
    def order_age(self) -> Days:
        """Days since each order, float64 (n_orders,)."""
        return self._age(self.orders.at)

    @cached_property
    def gap(self) -> Days:
        """Days from the order before to each order, float64 (n_orders,), NaN for a user's first order."""
        return gaps(self.orders)

    @cached_property
    def mean_order(self) -> Days:
        """Mean price of the orders of known price, float64 (n_users,), NaN without one."""
        return means(self.orders, self.orders.order_price)

    def _age(self, at: npt.NDArray[np.generic]) -> Days:
        return (self.now - at.astype(np.float64)) / DAY_S


def first_of(visits: Visits) -> Days:
    """Return the time of each user's first visit, float64 (n_users,), seconds, NaN without one."""
    found = np.full(visits.n_users, NEVER)
    some = visits.indptr[1:] > visits.indptr[:-1]
    found[some] = visits.at[visits.indptr[:-1][some]]
    return found


def last_of(visits: Visits) -> Days:
    """Return the time of each user's last visit, float64 (n_users,), seconds, NaN without one."""
    found = np.full(visits.n_users, NEVER)
    some = visits.indptr[1:] > visits.indptr[:-1]
    found[some] = visits.at[visits.indptr[1:][some] - 1]
    return found


def gaps(visits: Visits) -> Days:
    """Return the days from the visit before to each visit, float64 (n_visits,), NaN for a user's first."""
    gap = np.full(len(visits), NEVER)
    gap[1:] = np.diff(visits.at) / DAY_S
    gap[visits.indptr[:-1][visits.indptr[1:] > visits.indptr[:-1]]] = NEVER
    return gap


def sums(visits: Visits, values: npt.NDArray[np.generic]) -> Days:
    """Return the sum of the values of each user's visits, float64 (n_users,)."""
    return np.bincount(visits.user_idx, values.astype(np.float64), minlength=visits.n_users).astype(np.float64)


def means(visits: Visits, values: npt.NDArray[np.floating]) -> Days:
    """Return the mean of the values that are known, float64 (n_users,), NaN without one."""
    known = np.isfinite(values)
    n = sums(visits, known)
    return np.where(n > 0, sums(visits, np.where(known, values, 0)) / np.maximum(n, 1), NEVER)
