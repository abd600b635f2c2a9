"""Visits of shoppers: when they come, and how often lately."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.dataset import DAY_S
from recsys.data.history import UserHistory
from recsys.planner.send_time import N_HOURS, N_WEEKDAYS, Counts

RECENT_DAYS = 28
NEVER_DAYS = 365.0


@dataclass(frozen=True)
class Visits:
    """Visits of some shoppers: the first event of each of their baskets or sessions.

    Attributes:
        user: int64 (n,), position of the shopper.
        timestamp: int64 (n,), seconds since 1970.
        hour: int64 (n,), local, -1 where times are days.
        weekday: int64 (n,), local, Monday is 0.
        is_order: bool (n,), whether the visit has a purchase.
        n_users: number of shoppers.
    """

    user: npt.NDArray[np.int64]
    timestamp: npt.NDArray[np.int64]
    hour: npt.NDArray[np.int64]
    weekday: npt.NDArray[np.int64]
    is_order: npt.NDArray[np.bool_]
    n_users: int

    def hours(self, now: int, half_life_days: float) -> Counts:
        """Count visits by hour, float64 (n_users, 24), each by its age: `2^(−age / half_life)`."""
        return self._counts(self.hour, N_HOURS, now, half_life_days)

    def weekdays(self, now: int, half_life_days: float) -> Counts:
        """Count visits by weekday, float64 (n_users, 7), each by its age."""
        return self._counts(self.weekday, N_WEEKDAYS, now, half_life_days)

    def _counts(self, cell: npt.NDArray[np.int64], n_cells: int, now: int, half_life_days: float) -> Counts:
        weight = np.exp2(-np.maximum(now - self.timestamp, 0) / (half_life_days * DAY_S))
        known = cell >= 0
        flat = np.bincount(self.user[known] * n_cells + cell[known], weight[known], self.n_users * n_cells)
        return flat.astype(np.float64).reshape(self.n_users, n_cells)

    def recent_orders(self, now: int) -> npt.NDArray[np.int64]:
        """Count the orders of the last `RECENT_DAYS`, int64 (n_users,)."""
        recent = self.is_order & (self.timestamp > now - RECENT_DAYS * DAY_S)
        return np.bincount(self.user[recent], minlength=self.n_users)

    def days_since_order(self, now: int) -> npt.NDArray[np.float64]:
        """Return the days since the last order, `NEVER_DAYS` without any, float64 (n_users,)."""
        last = np.full(self.n_users, now - NEVER_DAYS * DAY_S)
        np.maximum.at(last, self.user[self.is_order], self.timestamp[self.is_order].astype(np.float64))
        return (now - last) / DAY_S


def visits_of(histories: Sequence[UserHistory], timezones: Sequence[str], target_event: int) -> Visits:
    """Find the visits of some shoppers.

    Args:
        histories: their events, oldest first.
        timezones: their IANA zones.
        target_event: code of the event that makes an order.
    """
    n = len(histories)
    user = np.repeat(np.arange(n), [len(history) for history in histories])
    if not len(user):
        none = np.empty(0, np.int64)
        return Visits(none, none, none, none, none.astype(np.bool_), n)
    basket, timestamp, hour, event = (
        np.concatenate([getattr(history, name) for history in histories])
        for name in ("basket_idx", "timestamp", "hour", "event_type")
    )
    order = np.lexsort((timestamp, basket, user))
    starts = np.flatnonzero((np.diff(user[order], prepend=-1) != 0) | (np.diff(basket[order], prepend=-2) != 0))
    is_order = np.logical_or.reduceat((event == target_event)[order], starts)
    first = order[starts]
    weekday = local_weekdays(timestamp[first], user[first], timezones)
    return Visits(user[first], timestamp[first], hour[first].astype(np.int64), weekday, is_order, n)


def local_weekdays(
    timestamp: npt.NDArray[np.int64], user: npt.NDArray[np.int64], timezones: Sequence[str]
) -> npt.NDArray[np.int64]:
    """Return the local weekday of each time, Monday is 0.

    Args:
        timestamp: (n,), seconds since 1970.
        user: (n,), positions in `timezones`.
        timezones: IANA zones.
    """
    return _local(timestamp, user, timezones, lambda times: times.dt.weekday() - 1)


def local_days(
    timestamp: npt.NDArray[np.int64], user: npt.NDArray[np.int64], timezones: Sequence[str]
) -> npt.NDArray[np.int64]:
    """Return the local day of each time, in days since 1970; arguments as of `local_weekdays`."""
    return _local(timestamp, user, timezones, lambda times: times.dt.date().to_physical())


def local_hours(
    timestamp: npt.NDArray[np.int64], user: npt.NDArray[np.int64], timezones: Sequence[str]
) -> npt.NDArray[np.int64]:
    """Return the local hour of each time; arguments as of `local_weekdays`."""
    return _local(timestamp, user, timezones, lambda times: times.dt.hour())


def _local(
    timestamp: npt.NDArray[np.int64],
    user: npt.NDArray[np.int64],
    timezones: Sequence[str],
    part: Callable[[pl.Series], pl.Series],
) -> npt.NDArray[np.int64]:
    found = np.empty(len(timestamp), np.int64)
    names, zone_of_user = np.unique(np.array(timezones, np.object_).astype(str), return_inverse=True)
    zone = zone_of_user[user] if len(user) else np.empty(0, np.int64)
    times = pl.from_epoch(pl.Series(timestamp, dtype=pl.Int64), time_unit="s").dt.replace_time_zone("UTC")
    for n, name in enumerate(names):
        rows = np.flatnonzero(zone == n)
        found[rows] = part(times.gather(rows).dt.convert_time_zone(str(name))).to_numpy()
    return found
