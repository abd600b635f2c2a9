"""The weighted parts of the sources in the scores of candidates; see `recsys.ranking.scoring.mix`."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from recsys.kernels.compiled import compiled

TINY: Final = 1e-12

Parts = npt.NDArray[np.float64]


def mix_parts_numpy(
    scores: npt.NDArray[np.float32],
    weights: Parts,
    size: npt.NDArray[np.int64],
    again: int,
    repeat_share: float,
    mass: float,
    damping: float,
) -> Parts:
    """Return the part of each source in the score of each candidate of some requests, float64 (n_sources, n).

    Args:
        scores: float32 (n_sources, n), one request after the other.
        weights: float64 (n_sources, n_requests).
        size: int64 (n_requests,), candidates of each request; they sum to n.
        again: the source of bought items; -1 where the parts are the weighted scores.
        repeat_share: share of purchases that repeat an earlier one, in [0, 1].
        mass: sum of the parts of bought items, for a weight of 1.
        damping: factor of the other sources for items that the user bought.
    """
    parts = np.asarray(scores * np.repeat(weights, size, axis=1), np.float64)
    if again < 0 or not parts.shape[1]:
        return parts
    is_taste = np.arange(len(scores)) != again
    parts[is_taste] *= np.where(scores[again] > 0, damping, 1.0)
    starts, filled = np.cumsum(size) - size, size > 0

    def per_request(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        total = np.full(len(size), TINY)
        total[filled] = np.maximum(np.add.reduceat(values, starts[filled]), TINY)
        return np.repeat(total, size)

    parts[again] = scores[again] / per_request(scores[again].astype(np.float64)) * mass
    parts[again] *= np.repeat(weights[again], size)
    parts[is_taste] *= (1 - repeat_share) / per_request(parts[is_taste].sum(axis=0))
    return parts


@compiled("f4:: f8:: i8: i8 f8 f8 f8", otherwise=mix_parts_numpy)
def mix_parts(scores: Any, weights: Any, size: Any, again: Any, repeat_share: Any, mass: Any, damping: Any) -> Any:
    """Compute `mix_parts_numpy` request by request."""
    n_sources, n = scores.shape
    parts, begin = np.empty((n_sources, n)), 0
    for request in range(len(size)):
        end = begin + size[request]
        again_total, taste_total = 0.0, 0.0
        for source in range(n_sources):
            for idx in range(begin, end):
                part = np.float64(scores[source, idx])
                if source == again:
                    again_total += part
                else:
                    part *= weights[source, request]
                    if again >= 0 and scores[again, idx] > 0:
                        part *= damping
                    taste_total += part
                parts[source, idx] = part
        if again >= 0:
            of_again = mass * weights[again, request] / max(again_total, TINY)
            of_taste = (1 - repeat_share) / max(taste_total, TINY)
            for source in range(n_sources):
                factor = of_again if source == again else of_taste
                for idx in range(begin, end):
                    parts[source, idx] *= factor
        begin = end
    return parts
