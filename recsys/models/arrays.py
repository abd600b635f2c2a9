"""Array functions that several models use."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

MIN_LENGTH: Final = 1e-6
"""Vectors of at most this length have no direction."""


def normalize_rows(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Scale every row to length 1; a row that is almost zero becomes zero.

    Args:
        vectors: float32 (n, n_dimensions).

    Returns:
        float32 (n, n_dimensions).

    >>> normalize_rows(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(length > MIN_LENGTH, vectors / np.maximum(length, MIN_LENGTH), 0).astype(np.float32)


def shrink(count: Any, total: Any, prior: Any, pseudo_count: float) -> npt.NDArray[np.float64]:
    """Estimate a rate from few observations: `(count + κ·prior) / (total + κ)`.

    The estimate is the posterior mean of a share whose prior mean is `prior` and whose prior is worth `κ` observations.

    Args:
        count: numbers or arrays of any shape, how often it happened (or the sum of what was measured).
        total: how often it was observed, broadcast against `count`, >= 0.
        prior: the rate expected without observations, broadcast against `count`.
        pseudo_count: κ, observations that the prior is worth, > 0.

    Returns:
        float64 of the broadcast shape.

    >>> shrink(np.array([0, 3]), np.array([0, 6]), 0.25, 2.0)
    array([0.25  , 0.4375])
    """
    return (count + pseudo_count * prior) / (total + pseudo_count)


def count_distinct_users(
    user_idx: npt.NDArray[np.integer], item_idx: npt.NDArray[np.int32], n_items: int
) -> npt.NDArray[np.int64]:
    """Count the distinct users of each item.

    Args:
        user_idx: integer (n,), any number per user.
        item_idx: int32 (n,), the item of each entry.
        n_items: number of items, >= 0.

    Returns:
        int64 (n_items,), zero for items without entries.

    >>> count_distinct_users(np.array([7, 7, 8]), np.array([0, 0, 0], np.int32), 2)
    array([2, 0])
    """
    pairs = np.unique(user_idx.astype(np.int64) * max(n_items, 1) + item_idx)
    return np.bincount(pairs % max(n_items, 1), minlength=n_items)
