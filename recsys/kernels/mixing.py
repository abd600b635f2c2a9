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


def largest_parts_numpy(parts: Parts) -> npt.NDArray[np.int64]:
    """Return the row of the largest part in each column, the first of equal ones, int64 (n,).

    Args:
        parts: float64 (n_sources, n), at least one source where there are columns.
    """
    return parts.argmax(axis=0) if parts.size else np.zeros(parts.shape[1], np.int64)


@compiled("f8::", otherwise=largest_parts_numpy)
def largest_parts(parts: Any) -> Any:
    """Compute `largest_parts_numpy` row by row."""
    n_sources, n = parts.shape
    largest = np.zeros(n, np.int64)
    for source in range(1, n_sources):
        for idx in range(n):
            if parts[source, idx] > parts[largest[idx], idx]:
                largest[idx] = source
    return largest


def mix_scores_numpy(
    scores: npt.NDArray[np.float32],
    weights: Parts,
    size: npt.NDArray[np.int64],
    again: int,
    repeat_share: float,
    mass: float,
    damping: float,
    factor: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return the sum of the parts of `mix_parts_numpy` for each candidate times a factor, float64 (n,).

    Args:
        scores: as there.
        weights: as there.
        size: as there.
        again: as there.
        repeat_share: as there.
        mass: as there.
        damping: as there.
        factor: float64 (n,).
    """
    parts = mix_parts_numpy(scores, weights, size, again, repeat_share, mass, damping)
    return np.asarray(parts.sum(axis=0) * factor)


@compiled("f4:: f8:: i8: i8 f8 f8 f8 f8:", otherwise=mix_scores_numpy)
def mix_scores(
    scores: Any, weights: Any, size: Any, again: Any, repeat_share: Any, mass: Any, damping: Any, factor: Any
) -> Any:
    """Compute `mix_scores_numpy` without a table of parts; sources without a weight are not read."""
    n_sources, n = scores.shape
    taste, begin = np.zeros(n), 0
    for request in range(len(size)):
        end = begin + size[request]
        for source in range(n_sources):
            weight = weights[source, request]
            if source == again or weight == 0:
                continue
            for idx in range(begin, end):
                taste[idx] += weight * scores[source, idx]
        if again >= 0:
            again_total, taste_total = 0.0, 0.0
            for idx in range(begin, end):
                if scores[again, idx] > 0:
                    taste[idx] *= damping
                    again_total += np.float64(scores[again, idx])
                taste_total += taste[idx]
            of_again = mass * weights[again, request] / max(again_total, TINY)
            of_taste = (1 - repeat_share) / max(taste_total, TINY)
            for idx in range(begin, end):
                taste[idx] = taste[idx] * of_taste + scores[again, idx] * of_again
        for idx in range(begin, end):
            taste[idx] *= factor[idx]
        begin = end
    return taste


def top_gains_numpy(
    score: npt.NDArray[np.float64],
    size: npt.NDArray[np.int64],
    is_hit: npt.NDArray[np.bool_],
    gain: npt.NDArray[np.float64],
    tie: float,
) -> npt.NDArray[np.float64]:
    """Return the gains of the hits among the best candidates of each request, float64 (n_requests,).

    Args:
        score: float64 (n,), one request after the other; a candidate of 0 or less is not listed.
        size: int64 (n_requests,), candidates of each request; they sum to n.
        is_hit: bool (n,).
        gain: float64 (k,), of a hit at each position of a list of k.
        tie: part of its score that a hit loses, so that it comes behind the others of an equal score.
    """
    values = np.zeros(len(size))
    for request, begin in enumerate(np.cumsum(size) - size):
        rows = np.arange(begin, begin + size[request])
        rows = rows[score[rows] > 0]
        value = score[rows] * np.where(is_hit[rows], 1 - tie, 1.0)
        best = rows[np.argsort(-value, kind="stable")[: len(gain)]]
        values[request] = gain[: len(best)][is_hit[best]].sum()
    return values


@compiled("f8: i8: bool: f8: f8", otherwise=top_gains_numpy)
def top_gains(score: Any, size: Any, is_hit: Any, gain: Any, tie: Any) -> Any:
    """Compute `top_gains_numpy` with the best candidates of each request in order."""
    k, begin = len(gain), 0
    values = np.zeros(len(size))
    best, hits = np.empty(k), np.empty(k, np.bool_)
    for request in range(len(size)):
        n = 0
        for idx in range(begin, begin + size[request]):
            value = score[idx] * (1 - tie) if is_hit[idx] else score[idx]
            if value <= 0 or (n == k and value <= best[k - 1]):
                continue
            place = min(n, k - 1)
            while place > 0 and best[place - 1] < value:
                best[place], hits[place] = best[place - 1], hits[place - 1]
                place -= 1
            best[place], hits[place] = value, is_hit[idx]
            n = min(n + 1, k)
        for place in range(n):
            if hits[place]:
                values[request] += gain[place]
        begin += size[request]
    return values
