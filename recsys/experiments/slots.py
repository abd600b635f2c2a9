"""Probabilities of lists and positions under the random order of a rotation, which is that of Plackett and Luce."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

TIME_POINTS: Final = 192
MAX_RANK: Final = 64
"""Items below this rank reach the first positions so rarely that no log carries them."""


def draw_probabilities(ranks: npt.NDArray[np.int64], n: int, rotation: float) -> Floats:
    """Return the probability of each draw of a list given the draws before it, as the server logs it.

    `w(rank) / Σ w` of all that was left, with `w = rank^(−1/rotation)`.

    Args:
        ranks: ranks of the listed items before the draw, from 1; int64 (..., k), distinct in a list.
        n: number of items that were drawn from.
        rotation: in [0, 1]; with 0 the order of the ranks is certain.

    Returns:
        float64 (..., k), in [0, 1].
    """
    if rotation == 0:
        return (ranks == np.arange(1, ranks.shape[-1] + 1)).astype(np.float64)
    weight = _weights(n, rotation)
    listed = weight[ranks - 1]
    left = weight.sum() - (np.cumsum(listed, axis=-1) - listed)
    return listed / np.maximum(left, listed)


@lru_cache(maxsize=512)
def slot_probabilities(n: int, k: int, rotation: float) -> Floats:
    """Return the probability that an item of each rank is drawn for each of the first positions.

    An item of weight `w` is drawn at an exponential time of rate `w`; it is at position `j` if `j − 1` others come
    first. The integral over its time of the Poisson-binomial probability of that is a sum over a grid of times.

    Args:
        n: number of items, >= 1.
        k: number of positions, >= 1.
        rotation: in [0, 1]; with 0 the order is certain.

    Returns:
        float64 (min(n, MAX_RANK), k), read-only; of the rows of the matrix for all ranks the first ones.
    """
    n_ranks = min(n, MAX_RANK)
    if rotation == 0:
        certain = np.eye(n_ranks, k)
        certain.flags.writeable = False
        return certain
    weight = _weights(n, rotation)
    latest = 40.0 / weight[min(n, 2 * k + 20) - 1]
    log_time = np.linspace(np.log(1e-6), np.log(latest), TIME_POINTS)
    time = np.exp(log_time)
    earlier = np.zeros((TIME_POINTS, n_ranks, k))
    earlier[:, :, 0] = 1.0
    for other in range(n):
        drawn = np.repeat(-np.expm1(-weight[other] * time)[:, None], n_ranks, axis=1)
        if other < n_ranks:
            drawn[:, other] = 0.0
        moved = earlier * drawn[:, :, None]
        earlier -= moved
        earlier[:, :, 1:] += moved[:, :, :-1]
    density = weight[:n_ranks] * np.exp(-weight[:n_ranks] * time[:, None]) * time[:, None]
    found = np.asarray(np.trapezoid(density[:, :, None] * earlier, log_time, axis=0), np.float64)
    found.flags.writeable = False
    return found


def _weights(n: int, rotation: float) -> Floats:
    return np.arange(1, n + 1, dtype=np.float64) ** (-1 / rotation)
