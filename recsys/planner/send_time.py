"""Hour and weekday of messages: the shopper's own habit, shrunk to the segment and to everyone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

N_HOURS: Final = 24
N_WEEKDAYS: Final = 7
STRENGTHS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)
"""Numbers of visits that a prior may count as; the likelihood of the shop's own visits decides."""

Counts = npt.NDArray[np.float64]


class HabitPrior(msgspec.Struct, frozen=True):
    """The habits that a shopper's own visits are shrunk to, over hours or over weekdays.

    Attributes:
        shares: of each segment, shrunk to everyone; the last row is everyone, for shoppers of no segment.
        strength: visits that the prior counts as.
    """

    shares: tuple[tuple[float, ...], ...]
    strength: float

    def of(self, counts: Counts, segment: npt.NDArray[np.integer]) -> Counts:
        """Return the posterior mean `(n_uh + s·m_h) / (n_u + s)`.

        Args:
            counts: (n_users, n_cells), the shoppers' own visits.
            segment: (n_users,), -1 for none; a segment that was not learned is none.

        Returns:
            float64 (n_users, n_cells); rows sum to 1.
        """
        prior = np.array(self.shares)[np.where(segment < len(self.shares) - 1, segment, -1)]
        return (counts + self.strength * prior) / (counts.sum(axis=1, keepdims=True) + self.strength)


def fit_prior(counts: Counts, segment: npt.NDArray[np.integer], n_segments: int = 0) -> HabitPrior:
    """Fit the shares of everyone and of each segment, and the strength of the prior.

    Everyone's shares are shrunk to equal ones by one visit per cell, a segment's shares to everyone's by the strength.
    The strength maximises the leave-one-out likelihood `Σ n_uh · ln((n_uh − 1 + s·m_h) / (n_u − 1 + s))`: each visit is
    predicted from the shopper's others.

    Args:
        counts: (n_users, n_cells), visits.
        segment: (n_users,), -1 for none.
        n_segments: number of segments.
    """
    total = counts.sum(axis=0) + 1
    everyone = total / total.sum()
    best, best_likelihood = HabitPrior((tuple(everyone.tolist()),), STRENGTHS[-1]), -np.inf
    by_segment = np.zeros((n_segments, counts.shape[1]))
    np.add.at(by_segment, segment[segment >= 0], counts[segment >= 0])
    for strength in STRENGTHS:
        shares = (by_segment + strength * everyone) / (by_segment.sum(axis=1, keepdims=True) + strength)
        prior = np.vstack([shares, everyone])
        left = np.maximum(counts - 1, 0) + strength * prior[segment]
        of = np.maximum(counts.sum(axis=1, keepdims=True) - 1, 0) + strength
        likelihood = float((counts * np.log(left / of)).sum())
        if likelihood > best_likelihood:
            best = HabitPrior(tuple(tuple(row) for row in prior.tolist()), strength)
            best_likelihood = likelihood
    return best


def best_hours(shares: Counts, allowed: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Return the allowed hour around which, within an hour before and after, most visits are expected, int64 (n,)."""
    return ranked_hours(shares, allowed, 1)[:, 0]


def ranked_hours(shares: Counts, allowed: tuple[int, ...], n: int) -> npt.NDArray[np.int64]:
    """Return the best hours for several messages of one day, each more than an hour from those before.

    Args:
        shares: (n_users, N_HOURS), expected shares of visits.
        allowed: the hours, ascending.
        n: number of hours; where the allowed ones are too near to each other, the first one is repeated.

    Returns:
        int64 (n_users, n), the best first.
    """
    hours = np.array(allowed)
    left = (shares + np.roll(shares, 1, axis=1) + np.roll(shares, -1, axis=1))[:, hours]
    found = np.empty((len(shares), n), np.int64)
    for place in range(n):
        found[:, place] = hours[left.argmax(axis=1)]
        left = np.where(np.abs(hours - found[:, place, None]) <= 1, -1.0, left)
    return found


@dataclass(frozen=True)
class DrawnHours:
    """The hours of some messages.

    Attributes:
        hour: int64 (n,).
        propensity: float64 (n,), probability of the hour.
    """

    hour: npt.NDArray[np.int64]
    propensity: npt.NDArray[np.float64]


def draw_hours(
    best: npt.NDArray[np.int64], draw: npt.NDArray[np.float64], allowed: tuple[int, ...], exploration: float
) -> DrawnHours:
    """Replace a share of the best hours by random ones.

    The propensity is `ε/n` for each of the `n` allowed hours, plus `1 − ε` for the best one.

    Args:
        best: (n,), allowed hours.
        draw: (n,), uniform in [0, 1).
        allowed: the hours, ascending.
        exploration: ε, in [0, 1].
    """
    hours, n = np.array(allowed), len(allowed)
    if exploration > 0:
        at_random = hours[np.minimum((draw / exploration * n).astype(np.int64), n - 1)]
        hour = np.where(draw < exploration, at_random, best)
    else:
        hour = best
    return DrawnHours(hour, exploration / n + (1 - exploration) * (hour == best))


def choose_days(
    weekday_shares: Counts,
    first_weekday: npt.NDArray[np.integer],
    sent: npt.NDArray[np.integer],
    caps: tuple[int, int],
    latest: npt.NDArray[np.integer] | None = None,
) -> npt.NDArray[np.int64]:
    """Choose the days of each shopper's messages: the likeliest weekdays that the caps leave.

    Args:
        weekday_shares: (n_users, 7), Monday first.
        first_weekday: (n_users,), weekday of the plan's first day.
        sent: (n_users, 7), messages on the seven days before the plan, the latest last.
        caps: messages in any seven days, and on one day.
        latest: (n_users, per_week), the last day on which each message is of use; None for the last day of the plan.

    Returns:
        int64 (n_users, per_week), days of the plan, 0 to 6, for the best message first; -1 where a cap leaves none.
    """
    per_week, per_day = caps
    n_users = len(weekday_shares)
    users = np.arange(n_users)
    days = np.arange(N_WEEKDAYS)
    shares = np.take_along_axis(weekday_shares, (first_weekday[:, None] + days) % N_WEEKDAYS, axis=1)
    load = np.hstack([sent, np.zeros((n_users, N_WEEKDAYS), np.int64)])
    chosen = np.full((n_users, per_week), -1)
    for n in range(per_week):
        sums = np.hstack([np.zeros((n_users, 1), np.int64), load.cumsum(axis=1)])
        in_week = sums[:, 1 + N_WEEKDAYS :] - sums[:, 1 : 1 + N_WEEKDAYS]  # of the seven days that end on each day
        fullest = np.maximum.accumulate(in_week[:, ::-1], axis=1)[:, ::-1]  # of all such weeks that contain the day
        is_free = (fullest < per_week) & (load[:, N_WEEKDAYS:] < per_day)
        if latest is not None:
            is_free &= days <= latest[:, n, None]
        best = np.where(is_free, shares, -1.0).argmax(axis=1)
        has_day = is_free[users, best]
        chosen[has_day, n] = best[has_day]
        load[users[has_day], N_WEEKDAYS + best[has_day]] += 1
    return chosen
