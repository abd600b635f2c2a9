"""Power and duration of an experiment under the rule it is analyzed by: a look each day, a stop at any look."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from recsys.experiments.sequences import half_width

Floats = npt.NDArray[np.float64]

GRID_POINTS: Final = 257
"""Points of the density between the bounds; three digits of the probabilities are right with a third of them."""

HIGHEST_RATE: Final = 0.999

SQRT_2PI: Final = math.sqrt(2 * math.pi)


@dataclass(frozen=True)
class SequentialPlan:
    """What is known before an experiment begins.

    Attributes:
        shoppers_per_day: new shoppers per day in each of the two variants that are compared, (control, treatment).
        variation: standard deviation of the metric over its mean, in the control: `√((1 − p)/p)` for a rate `p`.
        minimum_effect: smallest relative effect worth shipping, > 0; the scale of the confidence sequence.
        alpha: probability of a false claim.
        variance_reduction: share of the variance that CUPED removes, in [0, 1).
        min_shoppers: shoppers of each variant before the first look.
        n_comparisons: variants that are compared with the control.
        is_rate: whether the metric is a rate, whose variation falls as it grows; that of others stays.
    """

    shoppers_per_day: tuple[float, float]
    variation: float
    minimum_effect: float
    alpha: float = 0.05
    variance_reduction: float = 0.0
    min_shoppers: int = 0
    n_comparisons: int = 1
    is_rate: bool = False

    def information(self, days: npt.ArrayLike, effect: float = 0.0) -> Floats:
        """Return `1/s²` of the logarithm of the ratio after some days, float64 of the same shape.

        Args:
            days: since the start.
            effect: true relative effect, which changes the variation of a rate.
        """
        control, treatment = self.shoppers_per_day
        changed = self.variation
        if self.is_rate:
            changed = rate_variation(min((1 + effect) / (1 + self.variation**2), HIGHEST_RATE))
        per_day = (1 - self.variance_reduction) * (self.variation**2 / control + changed**2 / treatment)
        return np.asarray(days, np.float64) / per_day


def daily_power(plan: SequentialPlan, effect: float, n_days: int) -> Floats:
    """Return the probability that a relative effect has been found, in its direction, by each day.

    The sums `S(t)` of the log-ratio's score at information `t` are a Brownian motion with drift `ln(1 + effect)`. Its
    density between the bounds is carried from look to look on a grid.

    Args:
        plan: traffic, variance and rule.
        effect: true relative effect, > −1; at 0 the result is that of both directions: the false-positive rate.
        n_days: number of daily looks, >= 1.

    Returns:
        float64 (n_days,), ascending.

    Reference:
        Armitage, McPherson & Rowe (1969), Repeated significance tests on accumulating data, Journal of the Royal
        Statistical Society A.
    """
    days = np.arange(1, n_days + 1)
    is_look = days * min(plan.shoppers_per_day) >= plan.min_shoppers
    found = np.zeros(n_days)
    if not is_look.any():
        return found
    t = plan.information(days[is_look], effect)
    alpha, scale = plan.alpha / plan.n_comparisons, math.log1p(plan.minimum_effect)
    bound = half_width(1 / np.sqrt(t), alpha, scale) * t  # of the score
    found[is_look] = _crossed(t, bound, math.log1p(effect))
    return np.maximum.accumulate(found)


def days_needed(plan: SequentialPlan, effect: float, power: float = 0.8, max_days: int = 365) -> int | None:
    """Return the first day by which an effect is found with the given probability; None if not by `max_days`."""
    return first_day(daily_power(plan, effect, max_days), power)


def first_day(daily: Floats, power: float) -> int | None:
    """Return the first day that has a power; None if no day has it.

    >>> first_day(np.array([0.1, 0.5, 0.9]), 0.8)
    3
    """
    reached = np.flatnonzero(daily >= power)
    return int(reached[0]) + 1 if len(reached) else None


def rate_variation(rate: float) -> float:
    """Return the variation of a rate, `√((1 − p)/p)`.

    >>> rate_variation(0.5)
    1.0
    """
    return math.sqrt((1 - rate) / rate)


def _crossed(t: Floats, bound: Floats, drift: float) -> Floats:
    """Probability that the score has left its bounds by each look: in the drift's direction, or in both without one."""
    up, down = np.zeros(len(t)), np.zeros(len(t))
    points, density = np.zeros(1), np.ones(1)  # the density's weights at the points
    before = 0.0
    for look, (now, limit) in enumerate(zip(t, bound, strict=True)):
        mean, spread = points + drift * (now - before), math.sqrt(now - before)
        up[look] = density @ stats.norm.sf(limit, mean, spread)
        down[look] = density @ stats.norm.cdf(-limit, mean, spread)
        grid, step = np.linspace(-limit, limit, GRID_POINTS, retstep=True)
        weights = np.full(GRID_POINTS, step)
        weights[[0, -1]] /= 2
        normal = np.exp(-0.5 * ((grid - mean[:, None]) / spread) ** 2) / (spread * SQRT_2PI)
        density = weights * (density @ normal)
        points, before = grid, now
    if drift == 0:
        return np.cumsum(up + down)
    return np.cumsum(up if drift > 0 else down)
