"""A simulated shop without any effect: shoppers who come back, and heavy-tailed orders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.experiments.effects import MetricMoments

Floats = npt.NDArray[np.float64]

N_DAYS = 28
UPPER = np.triu_indices(4)


@dataclass(frozen=True)
class SimulatedShop:
    """Cumulative columns of each metric by day, float64 (n_shoppers, n_days, 4), and the day of the first visit."""

    first_day: npt.NDArray[np.int64]
    columns: dict[str, Floats]


def simulated_shop(n_shoppers: int, rng: np.random.Generator, effect: Floats | None = None) -> SimulatedShop:
    """Shoppers with habits of their own come on a first day and return; `effect` multiplies each one's revenue."""
    first = rng.integers(0, N_DAYS, n_shoppers)
    habit = rng.gamma(0.7, 1 / 0.7, n_shoppers)
    present = (np.arange(N_DAYS) >= first[:, None]).astype(float)
    is_first = np.arange(N_DAYS) == first[:, None]
    views = present * (rng.poisson(0.6 * habit[:, None], (n_shoppers, N_DAYS)) + is_first)
    clicks = rng.binomial(views.astype(int), 0.2)
    orders = present * rng.poisson(0.04 * habit[:, None], (n_shoppers, N_DAYS))
    revenue = orders * np.exp(rng.normal(3, 1, (n_shoppers, N_DAYS)))
    if effect is not None:
        revenue *= effect[:, None]
    before = rng.poisson(1.5 * habit) * np.exp(rng.normal(3, 0.7, n_shoppers))
    orders, revenue = orders.cumsum(axis=1), revenue.cumsum(axis=1)
    shape = (n_shoppers, N_DAYS)
    ones, zeros = np.ones(shape), np.zeros(shape)
    return SimulatedShop(
        first,
        {
            "ctr": np.stack([clicks.cumsum(axis=1), views.cumsum(axis=1), zeros, ones], axis=2),
            "conversion": np.stack([orders > 0, ones, zeros, ones], axis=2).astype(float),
            "revenue_per_shopper": np.stack([revenue, ones, np.broadcast_to(before[:, None], shape), ones], axis=2),
            "average_order": np.stack([revenue, orders, zeros, ones], axis=2),
        },
    )


def daily_moments(shop: SimulatedShop, metric: str, chosen: Floats) -> MetricMoments:
    """Moments of groups on each day: `chosen` is 1 for the shoppers of a group, (n_groups, n_shoppers)."""
    present = (np.arange(N_DAYS) >= shop.first_day[:, None])[:, :, None]
    columns = shop.columns[metric] * present
    products = (columns[:, :, UPPER[0]] * columns[:, :, UPPER[1]]).reshape(len(columns), -1)
    n = chosen @ present[:, :, 0].astype(float)
    sums = (chosen @ columns.reshape(len(columns), -1)).reshape(*n.shape, 4)
    squares = np.zeros((*n.shape, 4, 4))
    squares[:, :, UPPER[0], UPPER[1]] = (chosen @ products).reshape(*n.shape, -1)
    squares[:, :, UPPER[1], UPPER[0]] = squares[:, :, UPPER[0], UPPER[1]]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums / n[:, :, None]
        outer = mean[..., :, None] * mean[..., None, :]
        return MetricMoments(n, mean, (squares - n[:, :, None, None] * outer) / (n - 1)[:, :, None, None])
