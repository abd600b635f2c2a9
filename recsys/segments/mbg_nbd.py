"""MBG/NBD: how often a buyer orders, and whether the buyer has stopped, from three numbers of the order history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import betaincinv, betaln, gammaln, psi

from recsys.data.dataset import DAY_S
from recsys.segments.order_stats import OrderStats

WEEK_DAYS: Final = 7.0
PRIOR_WEIGHT: Final = 0.5
"""Buyers that the prior of the parameters (logarithms around 0) counts as."""

N_QUANTILES: Final = 32
"""Points at which the distribution of the drop-out probability is read."""

MAX_LOG: Final = 10.0

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BuyerCounts:
    """What the model reads of each buyer's history.

    Attributes:
        repeats: float64 (n,), days with orders after the first.
        last: float64 (n,), weeks from the first order to the last.
        known: float64 (n,), weeks from the first order to now.
    """

    repeats: Numbers
    last: Numbers
    known: Numbers

    def take(self, rows: npt.NDArray[np.generic]) -> BuyerCounts:
        """Return some buyers."""
        return BuyerCounts(self.repeats[rows], self.last[rows], self.known[rows])


@dataclass(frozen=True)
class MBGNBD:
    """Parameters of a shop.

    Between two orders of a buyer lies an exponential time of rate λ, and after each order, the first one included, the
    buyer stops with probability p. Over the buyers λ ~ Gamma(r, α), per week, and p ~ Beta(a, b).

    Attributes:
        r, alpha, a, b: > 0; 0 for a model that is not fitted.

    Reference:
        Batislam, Denizel & Filiztekin (2007), Empirical validation and comparison of models for customer base analysis,
        International Journal of Research in Marketing; after Fader, Hardie & Lee (2005), "Counting your customers" the
        easy way, Marketing Science. Deviation: a weak log-normal prior keeps the parameters of small shops finite.
    """

    r: float = 0.0
    alpha: float = 0.0
    a: float = 0.0
    b: float = 0.0

    @property
    def is_fitted(self) -> bool:
        """Whether there were buyers to fit it on."""
        return self.r > 0

    def alive(self, counts: BuyerCounts) -> Numbers:
        """Return the probability that each buyer has not stopped, float64 (n,).

        `1 / (1 + a/(b+x) · ((α+T)/(α+t))^(r+x))`, with x repeats, the last order at t and T weeks known.
        """
        odds = (self.r + counts.repeats) * (np.log(self.alpha + counts.known) - np.log(self.alpha + counts.last))
        return 1 / (1 + self.a / (self.b + counts.repeats) * np.exp(np.minimum(odds, 500)))

    def orders_within(self, counts: BuyerCounts, weeks: float) -> Numbers:
        """Return the probability of at least one order in the next weeks, float64 (n,).

        `P(alive) · (1 − ((α+T)/(α+T+h))^(r+x))`.
        """
        known = self.alpha + counts.known
        none = np.exp((self.r + counts.repeats) * (np.log(known) - np.log(known + weeks)))
        return self.alive(counts) * (1 - none)

    def expected_orders(self, counts: BuyerCounts, weeks: float) -> Numbers:
        """Return the expected number of orders in the next weeks, float64 (n,).

        `P(alive) · E_p[(1 − ((α+T)/(α+T+p·h))^(r+x)) / p]` with `p ~ Beta(a, b+x+1)`: given p, a buyer of rate λ has
        `(1 − e^(−λ·p·h)) / p` expected orders. The expectation over p is a Gauss-Legendre sum over its quantiles.
        """
        repeats, of_buyer = np.unique(counts.repeats, return_inverse=True)
        nodes, weights = np.polynomial.legendre.leggauss(N_QUANTILES)
        stops = np.maximum(betaincinv(self.a, self.b + repeats[:, None] + 1, (nodes[None] + 1) / 2), 1e-9)
        known, power = self.alpha + counts.known, self.r + counts.repeats
        total = np.zeros(len(known))
        for stop, weight in zip(stops.T, weights, strict=True):
            p = stop[of_buyer]
            total -= weight * np.expm1(-power * np.log1p(p * weeks / known)) / p
        return self.alive(counts) * total / 2


def count_orders(stats: OrderStats) -> BuyerCounts:
    """Read the history of each user with orders, in the order of `stats.n_orders > 0`; orders of one day are one."""
    orders, buyers = stats.orders, stats.n_orders > 0
    day = orders.at // DAY_S
    is_new = np.ones(len(day), np.bool_)
    is_new[1:] = (np.diff(day) != 0) | (np.diff(orders.user_idx) != 0)
    n_days = np.bincount(orders.user_idx[is_new], minlength=orders.n_users)
    first, last = stats.days_since_first_order[buyers], stats.days_since_order[buyers]
    repeats = (n_days[buyers] - 1).astype(np.float64)
    return BuyerCounts(repeats, np.where(repeats > 0, (first - last) / WEEK_DAYS, 0), first / WEEK_DAYS)


def fit_mbg_nbd(counts: BuyerCounts) -> MBGNBD:
    """Fit the parameters by maximum likelihood; the unfitted model without buyers.

    Args:
        counts: buyers of a shop.
    """
    if not len(counts.repeats) or counts.known.max() <= 0:
        return MBGNBD()
    start = np.zeros(4)
    found = minimize(
        _loss, start, (counts,), jac=True, method="L-BFGS-B", bounds=[(-MAX_LOG, MAX_LOG)] * 4, options={"maxiter": 200}
    )
    return MBGNBD(*np.exp(found.x).tolist())


def _loss(logs: Numbers, counts: BuyerCounts) -> tuple[float, Numbers]:
    """Return the mean negative log-likelihood with the prior, and its gradient by the logarithms of the parameters."""
    r, alpha, a, b = np.exp(logs)
    x = counts.repeats
    whole, back = np.unique(x, return_inverse=True)  # the special functions are slow, and most buyers order a few times
    far, near = np.log(alpha + counts.known), np.log(alpha + counts.last)
    alive = betaln(a, b + whole + 1)[back] - (r + x) * far
    stopped = betaln(a + 1, b + whole)[back] - (r + x) * near
    either = np.logaddexp(alive, stopped)
    is_alive, has_stopped = np.exp(alive - either), np.exp(stopped - either)
    rate = (gammaln(r + whole) - gammaln(r))[back] + r * logs[1] - betaln(a, b)
    all_stops = psi(a + b + whole + 1)[back]
    slopes = (
        (psi(r + whole) - psi(r))[back] + logs[1] - is_alive * far - has_stopped * near,
        r / alpha - (r + x) * (is_alive / (alpha + counts.known) + has_stopped / (alpha + counts.last)),
        psi(a + b) - psi(a) + is_alive * psi(a) + has_stopped * psi(a + 1) - all_stops,
        psi(a + b) - psi(b) + is_alive * psi(b + whole + 1)[back] + has_stopped * psi(b + whole)[back] - all_stops,
    )
    gradient = np.array([slope.sum() for slope in slopes]) * np.exp(logs)
    loss = -(rate + either).sum() + PRIOR_WEIGHT * (logs**2).sum() / 2
    return float(loss) / len(x), (PRIOR_WEIGHT * logs - gradient) / len(x)
