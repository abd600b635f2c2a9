"""Confidence sequences, p-values and tests of shares that stay valid however often an experiment is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

Floats = npt.NDArray[np.float64]

SAMPLE_RATIO_PRIOR: Final = 1000.0
"""Weight of the planned shares in the prior of `sample_ratio_p`, in shoppers."""


def half_width(standard_error: npt.ArrayLike, alpha: float, scale: float) -> Floats:
    """Return the half width of a confidence sequence for an estimate that is nearly normal.

    `s·√((1 + 1/(t·ρ²))·(ln(1 + t·ρ²) + 2·ln(1/α)))` with the standard error `s`, the information `t = 1/s²` and the
    scale `ρ`. With probability `1 − α` the true value is inside at all looks. It is the normal mixture of Robbins.

    Args:
        standard_error: of the estimate at each look, > 0; any shape.
        alpha: probability of an error at any look, in (0, 1).
        scale: effect that the sequence is narrowest for, in the units of the estimate, > 0; any value is valid.

    Returns:
        float64 of the same shape, above the half width of an interval for a single look.

    Reference:
        Robbins (1970), Statistical methods related to the law of the iterated logarithm, Annals of Mathematical
        Statistics. Howard, Ramdas, McAuliffe & Sekhon (2021), Time-uniform, nonparametric, nonasymptotic confidence
        sequences, Annals of Statistics. Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), Time-uniform central
        limit theory and asymptotic confidence sequences, Annals of Statistics.

    >>> half_width(1.0, 0.05, 3.0).round(3).item()
    3.036
    """
    error = np.asarray(standard_error, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = (scale / error) ** 2
        return error * np.sqrt((1 + 1 / spread) * (np.log1p(spread) - 2 * np.log(alpha)))


def e_value(estimate: npt.ArrayLike, standard_error: npt.ArrayLike, scale: float) -> Floats:
    """Return the evidence against an effect of 0: its mean is at most 1 at any look if there is none.

    `(1 + t·ρ²)^(−1/2) · exp(z²/2 · t·ρ² / (1 + t·ρ²))` with `z = estimate / s`; see `half_width`.

    Args:
        estimate: at each look.
        standard_error: at each look, > 0.
        scale: as in `half_width`.
    """
    error = np.asarray(standard_error, np.float64)
    spread = (scale / error) ** 2
    z2 = (np.asarray(estimate, np.float64) / error) ** 2
    return np.exp(0.5 * z2 * spread / (1 + spread) - 0.5 * np.log1p(spread))


def anytime_p(estimate: npt.ArrayLike, standard_error: npt.ArrayLike, scale: float) -> Floats:
    """Return a two-sided p-value that is valid at any look, in (0, 1]; nan where the estimate is.

    It is below `α` exactly where the confidence sequence of `half_width` at `α` excludes 0.
    """
    with np.errstate(over="ignore"):
        return np.minimum(1 / e_value(estimate, standard_error, scale), 1.0)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjust p-values of several variants so that the probability of any false claim stays at the level.

    `p̃(k) = max over j ≤ k of (m − j + 1)·p(j)`, ascending. A nan stays, and counts as a comparison.

    Reference:
        Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    factors = len(values) - np.arange(len(values))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return tuple(adjusted.tolist())


def sample_ratio_p(counts: npt.ArrayLike, shares: npt.ArrayLike) -> Floats:
    """Return a p-value, valid at any look, of the shares of shoppers that the variants have.

    The inverse of the Bayes factor of a Dirichlet prior `D(κ·shares)` with `κ = 1000` against the planned shares: a
    prior near the plan is quick to find the small deviations that faults of assignment and of logging make.

    Args:
        counts: shoppers of each variant, (..., n_variants).
        shares: planned share of each variant, (n_variants,), > 0, together 1.

    Returns:
        float64 (...), in (0, 1].

    Reference:
        Lindon & Malek (2022), Anytime-valid inference for multinomial count data, NeurIPS.

    >>> sample_ratio_p([5000, 5000], [0.5, 0.5]).item(), sample_ratio_p([5000, 4400], [0.5, 0.5]).item() < 1e-6
    (1.0, True)
    """
    n, plan = np.asarray(counts, np.float64), np.asarray(shares, np.float64)
    prior = SAMPLE_RATIO_PRIOR * plan
    marginal = gammaln(prior.sum()) - gammaln(prior.sum() + n.sum(axis=-1))
    marginal = marginal + (gammaln(prior + n) - gammaln(prior)).sum(axis=-1)
    log_factor = marginal - (n * np.log(plan)).sum(axis=-1)
    return np.exp(np.minimum(-log_factor, 0.0))
