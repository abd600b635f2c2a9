"""Gamma-gamma: the mean price of a buyer's next orders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import gammaln

MAX_LOG: Final = 12.0
PRIOR_WEIGHT: Final = 0.5

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GammaGamma:
    """Parameters of a shop, for prices in units of its mean order.

    The orders of a buyer are Gamma(p, ν), and over the buyers ν ~ Gamma(q, γ).

    Attributes:
        p: > 0; 0 for a model that is not fitted.
        q: > 1, so that the mean exists.
        gamma: > 0.
        unit: mean price of an order.

    Reference:
        Fader & Hardie (2013), The Gamma-Gamma model of monetary value. Deviation: q > 1, and a weak log-normal prior.
    """

    p: float = 0.0
    q: float = 0.0
    gamma: float = 0.0
    unit: float = 0.0

    @property
    def is_fitted(self) -> bool:
        """Whether there were orders of known price to fit it on."""
        return self.p > 0

    def expected_price(self, n_orders: Numbers, mean_order: Numbers) -> Numbers:
        """Return the mean price of each buyer's next orders, float64 (n,).

        `p·(γ + n·z) / (p·n + q − 1)`, with n orders of mean price z; of the whole shop for a buyer without one.

        Args:
            n_orders: float64 (n,), orders of known price.
            mean_order: float64 (n,), their mean price; not used where there is none.
        """
        total = np.where(n_orders > 0, n_orders * mean_order / self.unit, 0)
        return self.unit * self.p * (self.gamma + total) / (self.p * n_orders + self.q - 1)


def fit_gamma_gamma(n_orders: Numbers, mean_order: Numbers) -> GammaGamma:
    """Fit the parameters by maximum likelihood; the unfitted model without orders of a price above 0.

    Args:
        n_orders: float64 (n,), orders of known price of each buyer.
        mean_order: float64 (n,), their mean price.
    """
    kept = (n_orders > 0) & (mean_order > 0)
    if not kept.any():
        return GammaGamma()
    n, z = n_orders[kept], mean_order[kept]
    unit = float((n * z).sum() / n.sum())
    found = minimize(_negative, np.zeros(3), (n, z / unit), method="L-BFGS-B", bounds=[(-MAX_LOG, MAX_LOG)] * 3)
    p, above_one, gamma = np.exp(found.x).tolist()
    return GammaGamma(p, 1 + above_one, gamma, unit)


def _negative(logs: Numbers, n: Numbers, z: Numbers) -> float:
    p, q, gamma = np.exp(logs[0]), 1 + np.exp(logs[1]), np.exp(logs[2])
    each = (
        gammaln(p * n + q)
        - gammaln(p * n)
        - gammaln(q)
        + q * np.log(gamma)
        + (p * n - 1) * np.log(z)
        + p * n * np.log(n)
        - (p * n + q) * np.log(gamma + n * z)
    )
    return float(-each.sum() + PRIOR_WEIGHT * (logs**2).sum() / 2) / len(n)
