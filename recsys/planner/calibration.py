"""Calibrated probabilities: that a shopper buys an item of a list, or one of a message's items, within the horizon."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, isotonic_regression
from scipy.special import expit, logit

N_FEATURES: Final = 7
MIN_SCORE: Final = 1e-6
MIN_PRICE: Final = 1e-3
MAX_PROBABILITY: Final = 0.99
RIDGE: Final = 1.0
N_STEPS: Final = 20
N_PRIOR: Final = 1.0
"""Messages of the mean rate that each step of a curve has in addition, so that no probability is exactly 0 or 1."""

MIN_BOUGHT: Final = 50
"""Messages with a purchase from which on the curve is isotonic; with fewer, all odds are changed by one factor."""

N_POINTS: Final = 50


class ListCurve(msgspec.Struct, frozen=True):
    """The probabilities of one list.

    Attributes:
        weights: of the logistic regression over `features`.
        raw: ascending values of `1 − Π(1 − p)`.
        probability: the share of messages with a purchase at each of these, ascending.
        messages: messages that the curve was learned from.
        rate: share of them with a purchase.
    """

    weights: tuple[float, ...]
    raw: tuple[float, ...] = (0.0, 1.0)
    probability: tuple[float, ...] = (0.0, 1.0)
    messages: int = 0
    rate: float = 0.0


class Calibration(msgspec.Struct, frozen=True):
    """The probabilities of all lists of a plan.

    Attributes:
        lists: names of the lists.
        curves: of each list.
        horizon_days: days within which a purchase counts.
    """

    lists: tuple[str, ...]
    curves: tuple[ListCurve, ...]
    horizon_days: int

    def item_probability(self, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the probability of each item.

        Args:
            features: float64 (n_users, n_lists, n_places, N_FEATURES), of `features`.

        Returns:
            float64 (n_users, n_lists, n_places), in [0, MAX_PROBABILITY].
        """
        weights = np.array([curve.weights for curve in self.curves])
        return np.minimum(expit(np.einsum("ulkf,lf->ulk", features, weights)), MAX_PROBABILITY)

    def message_probability(self, raw: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the calibrated probability of messages, float64 (n_users, n_lists); columns are lists."""
        columns = [np.interp(raw[:, n], curve.raw, curve.probability) for n, curve in enumerate(self.curves)]
        return np.stack(columns, axis=1) if columns else raw


def features(
    score: npt.NDArray[np.floating],
    price: npt.NDArray[np.floating],
    n_orders: npt.NDArray[np.integer],
    days_since: npt.NDArray[np.floating],
) -> npt.NDArray[np.float64]:
    """Describe the items of lists.

    The price is among the features, as messages are chosen by probability × value: probabilities that are right on
    average, and too high for expensive items, would choose these.

    Args:
        score: (n_users, n_lists, n_places), of the list; 0 beyond its end.
        price: same shape, relative to the median of the catalog; 1 where it is not known.
        n_orders: (n_users,), orders in the four weeks before.
        days_since: (n_users,), days since the last order.

    Returns:
        float64 (n_users, n_lists, n_places, N_FEATURES): 1, ln score and its square, ln rank, ln(1 + orders),
        ln(1 + days), ln price.
    """
    log_score = np.log(np.maximum(score, MIN_SCORE)).astype(np.float64)
    shape = score.shape
    columns = (
        np.ones(shape),
        log_score,
        log_score**2 / 10,
        np.broadcast_to(np.log(np.arange(1, shape[2] + 1)), shape),
        np.broadcast_to(np.log1p(n_orders)[:, None, None], shape),
        np.broadcast_to(np.log1p(np.minimum(days_since, 365))[:, None, None], shape),
        np.log(np.clip(price, MIN_PRICE, 1 / MIN_PRICE)),
    )
    return np.stack(columns, axis=-1)


def fit_logistic(x: npt.NDArray[np.float64], y: npt.NDArray[np.bool_]) -> tuple[float, ...]:
    """Fit a logistic regression by Newton's method, with a ridge of `RIDGE` on all weights but the first.

    Args:
        x: (n, N_FEATURES), the first column is 1.
        y: bool (n,), what happened.

    Returns:
        The weights; without rows, those of a probability of 0.01.
    """
    weights = np.zeros(x.shape[1])
    rate = (y.sum() + 0.01) / (len(y) + 1)
    weights[0] = np.log(rate / (1 - rate))
    penalty = np.full(x.shape[1], RIDGE)
    penalty[0] = 1e-6
    for _ in range(N_STEPS if len(y) else 0):
        p = expit(x @ weights)
        gradient = x.T @ (p - y) + penalty * weights
        curvature = (x * (p * (1 - p))[:, None]).T @ x + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        weights -= step / max(1.0, float(np.abs(step).max()) / 2)
        if np.abs(step).max() < 1e-8:
            break
    return tuple(weights.tolist())


def fit_curve(weights: tuple[float, ...], raw: npt.NDArray[np.float64], bought: npt.NDArray[np.bool_]) -> ListCurve:
    """Fit the probability of a purchase to `1 − Π(1 − p)`.

    It is the isotonic regression, shrunk by `N_PRIOR` messages of the mean rate. With fewer than `MIN_BOUGHT`
    purchases, the odds of all messages are changed by the factor that makes the mean probability
    `(bought + ½) / (n + 1)`.

    Args:
        weights: of the items' probabilities.
        raw: (n,), of past messages.
        bought: bool (n,), whether an item of the message was bought within the horizon.
    """
    if not len(raw):
        return ListCurve(weights)
    n_bought, rate = int(bought.sum()), float(bought.mean())
    x, y = _isotonic(raw, bought, rate) if n_bought >= MIN_BOUGHT else _shifted(raw, (n_bought + 0.5) / (len(raw) + 1))
    return ListCurve(weights, tuple(x.tolist()), tuple(y.tolist()), len(raw), rate)


Points = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Ascending values, and the probability at each."""


def _isotonic(raw: npt.NDArray[np.float64], bought: npt.NDArray[np.bool_], rate: float) -> Points:
    order = np.argsort(raw, kind="stable")
    fitted = isotonic_regression(bought[order].astype(np.float64))
    starts, sizes = fitted.blocks[:-1], np.diff(fitted.blocks)
    middle = np.add.reduceat(raw[order], starts) / sizes
    share = np.maximum.accumulate((fitted.x[starts] * sizes + rate * N_PRIOR) / (sizes + N_PRIOR))
    middle, first = np.unique(middle, return_index=True)
    return middle, share[first]


def _shifted(raw: npt.NDArray[np.float64], mean: float) -> Points:
    odds = logit(np.clip(raw, MIN_SCORE, 1 - MIN_SCORE))
    shift = brentq(lambda by: float(expit(odds + by).mean()) - mean, -50, 50)
    points = np.unique(np.quantile(odds, np.linspace(0, 1, N_POINTS)))
    return expit(points), expit(points + shift)


def calibration_error(probability: npt.NDArray[np.float64], bought: npt.NDArray[np.bool_], n_bins: int = 10) -> float:
    """Return the expected calibration error: `Σ_b n_b/n · |mean probability − share bought|` over equal-sized bins."""
    if not len(probability):
        return 0.0
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, n_bins) if len(part)]
    gaps = [abs(float(probability[part].mean()) - float(bought[part].mean())) * len(part) for part in parts]
    return sum(gaps) / len(probability)
