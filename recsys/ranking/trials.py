"""Trials of weights: the lists of past requests with any weights of the sources, and the metric of each list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from recsys.core.metrics import ndcg_of_hits
from recsys.core.placements import PLACEMENTS, Placement
from recsys.fitting.blend import between
from recsys.ranking.questions import SOURCES, Questions
from recsys.ranking.scoring import mix, prior_weights

Kind = Literal["next", "new", "tail"]
Vector = npt.NDArray[np.float64]

TIE: Final = 1e-6
"""Part of its score that a taken candidate loses, so that it comes behind the others of an equal score."""


@dataclass(frozen=True)
class BlendKind:
    """One kind of list for which a blend is learned.

    Attributes:
        placement: the list whose weights are the prior.
        metric: name of the metric.
        k: length of the list that is measured.
        tunes_tail: whether the tail discount is learned.
    """

    placement: Placement
    metric: str
    k: int
    tunes_tail: bool


KINDS: Final[Mapping[Kind, BlendKind]] = MappingProxyType(
    {
        "next": BlendKind(PLACEMENTS["for_you"], "recall@10", 10, tunes_tail=False),
        "new": BlendKind(PLACEMENTS["discover"], "ndcg@20", 20, tunes_tail=True),
        "tail": BlendKind(PLACEMENTS["long_tail"], "recall@20", 20, tunes_tail=False),
    }
)


@dataclass(frozen=True)
class Weights:
    """One point of the search.

    Attributes:
        few, many: float64 (n_sources,), as in `Blend`.
        trend_power, tail_discount: as in `Blend`.
    """

    few: Vector
    many: Vector
    trend_power: float = 0.0
    tail_discount: float = 0.0


class Trials:
    """The metric of one kind of list on past requests, for any weights.

    Args:
        kind: which list.
        questions: the requests; those without an answer do not count.
        repeat_share: share of purchases that repeat an earlier one, in [0, 1].
    """

    def __init__(self, kind: Kind, questions: Questions, repeat_share: float) -> None:
        self._kind, self._k, self.repeat_share = kind, KINDS[kind].k, repeat_share
        self.names = tuple(name for name in SOURCES if name in KINDS[kind].placement.sources)
        n_relevant, eligible, taken = labels(kind, questions)
        self._rows = np.flatnonzero(eligible & (n_relevant > 0)[questions.request])
        request = questions.request[self._rows]
        self.requests = np.flatnonzero(n_relevant > 0)
        position = np.searchsorted(self.requests, request)
        self.size = np.bincount(position, minlength=len(self.requests))
        columns = [SOURCES.index(name) for name in self.names]
        self._scores = np.ascontiguousarray(questions.scores[self._rows][:, columns].T)
        self._log_trend, self._log_buyers = questions.log_trend[self._rows], questions.log_buyers[self._rows]
        self._n_items, self._n_relevant = questions.n_items[self.requests], n_relevant[self.requests]
        self.n_trials = 0
        start = np.cumsum(self.size) - self.size
        self._request = position
        self._column = np.arange(len(position)) - np.repeat(start, self.size)
        self._taken = taken[self._rows]
        self._table = np.full((len(self.requests), int(self.size.max(initial=0))), -np.inf, np.float32)
        self._is_taken = np.zeros(self._table.shape, np.bool_)
        self._is_taken[position, self._column] = self._taken

    def __len__(self) -> int:
        return len(self.requests)

    def score(self, weights: Weights) -> Vector:
        """Return the score of each eligible candidate, float64 (n,)."""
        per_request = between(weights.few, weights.many, self._n_items)
        counts = per_request.any(axis=1) | (np.array(self.names) == "repeat")
        names = tuple(name for name, counted in zip(self.names, counts.tolist(), strict=True) if counted)
        parts = mix(self._scores[counts], per_request[counts], self.size, names, self.repeat_share)
        log_factor = weights.trend_power * self._log_trend - weights.tail_discount * self._log_buyers
        score: Vector = parts.sum(axis=0) * np.exp(log_factor)
        return score

    def values(self, weights: Weights) -> Vector:
        """Return the metric of each request, float64 (n_requests,)."""
        self.n_trials += 1
        return self.values_of(self.score(weights))

    def values_of_all(self, score: Vector) -> Vector:
        """Return the metric of each request for a score of all candidates of the questions."""
        return self.values_of(score[self._rows])

    def values_of(self, score: npt.NDArray[np.floating]) -> Vector:
        """Return the metric of each request for a score of the eligible candidates; ties count against it."""
        if not len(self):
            return np.zeros(0)
        is_listed = score > 0
        behind = np.where(self._taken, score * np.float32(TIE), 0)
        self._table[self._request, self._column] = np.where(is_listed, score - behind, -np.inf)
        k = min(self._k, self._table.shape[1])
        best = np.argpartition(-self._table, k - 1, axis=1)[:, :k]
        value = np.take_along_axis(self._table, best, axis=1)
        best = np.take_along_axis(best, np.argsort(-value, axis=1, kind="stable"), axis=1)
        hits = np.take_along_axis(self._is_taken, best, axis=1)
        hits &= np.isfinite(np.take_along_axis(self._table, best, axis=1))
        if KINDS[self._kind].metric.startswith("ndcg"):
            return ndcg_of_hits(hits, self._n_relevant, self._k)
        return np.asarray(hits.sum(axis=1) / self._n_relevant)


def labels(
    kind: Kind, questions: Questions
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the number of relevant items of each request, the candidates that may be listed, and those taken."""
    everything = np.ones(len(questions.is_known), np.bool_)
    if kind == "next":
        return questions.n_next, everything, questions.taken_next
    if kind == "new":
        return questions.n_new, ~questions.is_known, questions.taken_later
    return questions.n_tail, ~questions.is_known & questions.is_tail, questions.taken_later


def blend_scores(kind: Kind, questions: Questions, repeat_share: float) -> Vector:
    """Return the score of every candidate by the weights of the placement, float64 (n,)."""
    names = tuple(name for name in SOURCES if name in KINDS[kind].placement.sources)
    weights = prior(kind, names)
    columns = questions.scores[:, [SOURCES.index(name) for name in names]].T
    per_request = between(weights.few, weights.many, questions.n_items)
    parts = mix(columns, per_request, questions.size, names, repeat_share)
    return np.asarray(parts.sum(axis=0) * np.exp(weights.trend_power * questions.log_trend))


def prior(kind: Kind, names: tuple[str, ...]) -> Weights:
    """Return the weights of the placement's definition."""
    placement = KINDS[kind].placement
    return Weights(*prior_weights(placement, names), placement.trend_power, placement.tail_discount)
