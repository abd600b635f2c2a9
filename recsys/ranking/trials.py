"""Trials of weights: the lists of past requests with any weights of the sources, and the metric of each list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from recsys.core.metrics import discounts, ideal_gains
from recsys.core.placements import PLACEMENTS, Placement
from recsys.fitting.blend import between
from recsys.kernels.mixing import mix_scores, top_gains
from recsys.ranking.questions import SOURCES, Questions
from recsys.ranking.scoring import mix, prior_weights, shares_of_repeats

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
        self.size = np.bincount(np.searchsorted(self.requests, request), minlength=len(self.requests))
        columns = [SOURCES.index(name) for name in self.names]
        self._scores = np.ascontiguousarray(questions.scores[self._rows][:, columns].T)
        self._log_trend, self._log_buyers = questions.log_trend[self._rows], questions.log_buyers[self._rows]
        self._n_items, self._n_relevant = questions.n_items[self.requests], n_relevant[self.requests]
        self.n_trials = 0
        self._taken = taken[self._rows]
        self._gain, self._norm = _gains(KINDS[kind].metric, self._k, self._n_relevant)
        self._factors: dict[tuple[float, float], Vector] = {}

    def __len__(self) -> int:
        return len(self.requests)

    def score(self, weights: Weights) -> Vector:
        """Return the score of each eligible candidate, float64 (n,)."""
        per_request = between(weights.few, weights.many, self._n_items)
        again = self.names.index("repeat") if "repeat" in self.names and len(self.names) > 1 else -1
        shares = shares_of_repeats(self.repeat_share)
        score: Vector = mix_scores(self._scores, per_request, self.size, again, *shares, self._factor(weights))
        return score

    def _factor(self, weights: Weights) -> Vector:
        """Return the factor of each eligible candidate; most trials of a search have the same."""
        key = (weights.trend_power, weights.tail_discount)
        if key not in self._factors:
            self._factors = {key: np.exp(key[0] * self._log_trend - key[1] * self._log_buyers).astype(np.float64)}
        return self._factors[key]

    def values(self, weights: Weights) -> Vector:
        """Return the metric of each request, float64 (n_requests,)."""
        self.n_trials += 1
        return self.values_of(self.score(weights))

    def values_of_all(self, score: Vector) -> Vector:
        """Return the metric of each request for a score of all candidates of the questions."""
        return self.values_of(score[self._rows])

    def values_of(self, score: npt.NDArray[np.floating]) -> Vector:
        """Return the metric of each request for a score of the eligible candidates; ties count against it."""
        gains: Vector = top_gains(np.asarray(score, np.float64), self.size, self._taken, self._gain, TIE)
        return gains / self._norm


def _gains(metric: str, k: int, n_relevant: npt.NDArray[np.int64]) -> tuple[Vector, Vector]:
    """Return what a hit at each position of a list gains, and what the gains of each request are divided by."""
    if metric.startswith("ndcg"):
        return discounts(k), ideal_gains(n_relevant, k)
    return np.ones(k), n_relevant.astype(np.float64)


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
