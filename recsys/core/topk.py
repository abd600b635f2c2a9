"""The best of an array of scores, with one rule for ties everywhere: by score, then by index."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def top_k(score: npt.NDArray[np.floating], k: int, tie: npt.NDArray[np.integer] | None = None) -> npt.NDArray[np.int64]:
    """Places of the `k` highest scores, best first; equal scores by `tie`, ascending.

    >>> top_k(np.array([1.0, 3.0, 3.0, 2.0]), 3)
    array([1, 2, 3])

    Args:
        score: (n,), no NaN.
        k: how many, >= 0; all of them if fewer.
        tie: (n,), distinct; the place in `score` if not given.

    Returns:
        int64 (min(k, n),).
    """
    n = len(score)
    if k <= 0:
        return np.empty(0, np.int64)
    places = np.arange(n)
    if k < n:
        threshold = np.partition(score, n - k)[n - k]
        places = np.flatnonzero(score >= threshold)
    order = np.lexsort((places if tie is None else tie[places], -score[places]))
    return places[order[:k]]
