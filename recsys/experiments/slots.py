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
    drawn = -np.expm1(-weight * time[:, None])
    of_first = np.repeat(drawn[:, None, :n_ranks], n_ranks, axis=1)
    of_first[:, np.arange(n_ranks), np.arange(n_ranks)] = 0.0  # an item does not come before itself
    earlier = _joined(_counts(of_first, k), _counts(drawn[:, None, n_ranks:], k))
    density = weight[:n_ranks] * np.exp(-weight[:n_ranks] * time[:, None]) * time[:, None]
    found = np.asarray(np.trapezoid(density[:, :, None] * earlier, log_time, axis=0), np.float64)
    found.flags.writeable = False
    return found


def _counts(drawn: Floats, k: int) -> Floats:
    """Return the probabilities that 0 to `k − 1` of some items are drawn, (..., k), from those of each, (..., n)."""
    counts = np.zeros((*drawn.shape[:-1], k))
    counts[..., 0] = 1.0
    for item in range(drawn.shape[-1]):
        moved = counts * drawn[..., item, None]
        counts -= moved
        counts[..., 1:] += moved[..., :-1]
    return counts


def _joined(one: Floats, other: Floats) -> Floats:
    """Return the probabilities of the sum of two counts, cut to their length."""
    both = np.zeros(np.broadcast_shapes(one.shape, other.shape))
    for n in range(one.shape[-1]):
        both[..., n:] += one[..., n, None] * other[..., : one.shape[-1] - n]
    return both


def _weights(n: int, rotation: float) -> Floats:
    return np.arange(1, n + 1, dtype=np.float64) ** (-1 / rotation)
