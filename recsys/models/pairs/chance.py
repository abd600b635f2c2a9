"""How sure it is that a count of baskets is no chance, and how much more than chance it is at least."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincinv

Floats = npt.NDArray[np.float64]

ERROR_RATE: Final = 0.05
"""Probability that the lower end of the interval of one lift is above the true value."""

PRIOR_BASKETS: Final = 1.0
"""Baskets that a lift of 1 is taken to have been seen in already."""


def lowest_mean(count: Floats, error_rate: float) -> Floats:
    """Return the lower end of a one-sided interval of a Poisson mean (Garwood 1936), of the shape of `count`.

    >>> lowest_mean(np.array([0.0, 1, 5]), 0.05).round(3)
    array([0.   , 0.051, 1.97 ])
    """
    low: Floats = np.where(count > 0, gammaincinv(np.maximum(count, 1e-9), error_rate), 0.0)
    return low


def cautious_lift(count: Floats, expected: Floats) -> Floats:
    """Return a lift that few baskets cannot make large: the 5 % quantile of `Gamma(count + 1, expected + 1)`.

    It is the lower end of the lift after one more basket that chance gives, so it is below `count + 1`: five baskets of
    two items that nobody else buys are no evidence for a lift of thousands.

    Args:
        count: float64 (n,), baskets that have the set.
        expected: float64 (n,), those that would have it by chance.

    Reference:
        DuMouchel (1999), Bayesian Data Mining in Large Frequency Tables, The American Statistician, with the prior
        `Gamma(1, 1)` instead of a fitted one.

    >>> cautious_lift(np.array([5.0, 5, 500]), np.array([0.0, 1e-4, 50])).round(1)
    array([2.6, 2.6, 9.1])
    """
    found: Floats = gammaincinv(count + PRIOR_BASKETS, ERROR_RATE) / (expected + PRIOR_BASKETS)
    return found


def is_no_chance(p_value: Floats, n_tests: float, false_share: float) -> npt.NDArray[np.bool_]:
    """Return which of some tests are significant, with an expected share of false ones among them.

    Args:
        p_value: float64 (n,), those that may be significant.
        n_tests: number of all tests, >= n.
        false_share: in (0, 1].

    Reference:
        Benjamini & Hochberg (1995), Controlling the False Discovery Rate, JRSS B.

    >>> is_no_chance(np.array([0.001, 0.045, 0.02, 0.2]), 4, 0.05).tolist()
    [True, False, True, False]
    """
    ordered = np.sort(p_value)
    below = np.flatnonzero(ordered * n_tests <= false_share * np.arange(1, len(ordered) + 1))
    limit = ordered[below[-1]] if len(below) else -1.0
    significant: npt.NDArray[np.bool_] = p_value <= limit
    return significant
