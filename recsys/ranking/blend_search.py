"""Search for the weights of a blend on past requests, and the comparison that decides what orders a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from recsys.core.metrics import ndcg_of_hits
from recsys.core.placements import PLACEMENTS, Placement
from recsys.fitting.blend import Blend, BlendConfig, between
from recsys.ranking.questions import SOURCES, Questions
from recsys.ranking.scoring import mix, prior_weights

Kind = Literal["next", "new", "tail"]
Vector = npt.NDArray[np.float64]

STEPS: Final = (0.0, 0.25, 0.5, 2.0, 4.0)
"""Factors of a weight that a sweep tries."""

TREND_POWERS: Final = (0.0, 0.15, 0.3, 0.5, 0.75)
TAIL_DISCOUNTS: Final = (0.0, 0.05, 0.15, 0.3)
START_WEIGHT: Final = 0.25
"""Weight that a sweep tries for a source without one."""

MIN_Z: Final = 1.0
"""Standard errors of the paired gain that a change of a weight must win: a search among noise would wander."""

MIN_GAIN: Final = 1e-9

TIE: Final = 1e-6
"""Part of its score that a taken candidate loses, so that it comes behind the others of an equal score."""

N_RESAMPLES: Final = 500


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


def search(trials: Trials, start: Weights, config: BlendConfig, *, tunes_tail: bool) -> Weights:
    """Change one value at a time, and keep each change that raises the metric by more than its standard error.

    The number of trials depends on the number of sources alone.

    Args:
        trials: past requests.
        start: the weights to start from.
        config: settings.
        tunes_tail: whether the tail discount may change.

    Returns:
        The best weights that were tried.
    """
    best, values = start, trials.values(start)
    for _ in range(config.n_sweeps):
        for move in _moves(len(trials.names), tunes_tail=tunes_tail):
            other = move(best)
            found = trials.values(other)
            if _is_better(found - values):
                best, values = other, found
    return best


@dataclass(frozen=True)
class _Move:
    """A change of one value: of a source's weight at one end or both, of the trend or of the tail discount."""

    source: int = -1
    factor: float = 1.0
    few: bool = False
    many: bool = False
    trend_power: float | None = None
    tail_discount: float | None = None

    def __call__(self, weights: Weights) -> Weights:
        return Weights(
            _scaled(weights.few, self.source, self.factor) if self.few else weights.few,
            _scaled(weights.many, self.source, self.factor) if self.many else weights.many,
            weights.trend_power if self.trend_power is None else self.trend_power,
            weights.tail_discount if self.tail_discount is None else self.tail_discount,
        )


def _moves(n_sources: int, *, tunes_tail: bool) -> Iterator[_Move]:
    for source in range(n_sources):
        for factor in STEPS:
            for few, many in ((True, True), (True, False), (False, True)):
                yield _Move(source, factor, few, many)
    for power in TREND_POWERS:
        yield _Move(trend_power=power)
    for discount in TAIL_DISCOUNTS if tunes_tail else ():
        yield _Move(tail_discount=discount)


def _scaled(weights: Vector, source: int, factor: float) -> Vector:
    changed = weights.copy()
    changed[source] = changed[source] * factor if changed[source] else START_WEIGHT * max(factor, 0.0)
    return changed


def gain_interval(gain: Vector, confidence: float, rng: np.random.Generator) -> tuple[float, float]:
    """Return the interval of a mean gain by bootstrap over requests.

    Args:
        gain: float64 (n,), gain on each request.
        confidence: such as .9, in (0, 1).
        rng: source of the resamples.
    """
    if not len(gain):
        return 0.0, 0.0
    means = [float(gain[rng.integers(0, len(gain), len(gain))].mean()) for _ in range(N_RESAMPLES)]
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def learn_blend(
    kind: Kind,
    earlier: Questions,
    latest: Questions,
    repeat_share: float,
    config: BlendConfig,
    rng: np.random.Generator,
    ranker_score: Vector | None = None,
) -> Blend:
    """Learn the weights on earlier requests, and let what is best on the latest order the list.

    The learned weights replace those of the placement where they gain on the latest requests for certain. The ranker
    serves where it beats the blend there. Whatever serves is at least as good there as popularity, as its best single
    source, and as the plain sum of its two best sources: the best of them serves otherwise.

    Args:
        kind: which list.
        earlier: requests that the search learns from.
        latest: later requests, which it does not see.
        repeat_share: share of purchases that repeat an earlier one, in [0, 1].
        config: settings.
        rng: source of the resamples.
        ranker_score: float64, log-odds of every candidate of `latest` by a ranker that has not seen them; None
            without.

    Returns:
        The blend; not fitted with fewer than `min_questions` requests in either part.
    """
    known = Trials(kind, _drawn(earlier, config.max_questions, rng), repeat_share)
    held_out = Trials(kind, latest, repeat_share)
    if min(len(known), len(held_out)) < config.min_questions:
        return Blend()
    start = prior(kind, known.names)
    found = search(known, _best_start(known, start), config, tunes_tail=KINDS[kind].tunes_tail)
    before, after = held_out.values(start), held_out.values(found)
    gain = after - before
    low, high = gain_interval(gain, config.confidence, rng)
    is_learned = low > 0
    chosen, order = (found, "learned weights") if is_learned else (start, "placement weights")
    values = {order: float((after if is_learned else before).mean())}
    if ranker_score is not None:
        odds = np.exp(ranker_score - chosen.tail_discount * latest.log_buyers)
        values["ranker"] = float(held_out.values_of_all(odds).mean())
    if "ranker" in values and values["ranker"] > values[order]:
        order = "ranker"
    floors = _floors(held_out)
    for name, (weights, value) in floors.items():
        values[name] = value
        if value > values[order]:
            order, chosen = name, weights
    return Blend(
        sources=known.names,
        few=tuple(chosen.few.tolist()),
        many=tuple(chosen.many.tolist()),
        trend_power=chosen.trend_power,
        tail_discount=chosen.tail_discount,
        is_learned=is_learned,
        uses_ranker=order == "ranker",
        metric=KINDS[kind].metric,
        order=order,
        n_trials=known.n_trials,
        n_questions=len(known),
        n_held_out=len(held_out),
        orders=tuple(values),
        values=tuple(values.values()),
        gain=float(gain.mean()),
        gain_low=low,
        gain_high=high,
    )


def _drawn(questions: Questions, n: int, rng: np.random.Generator) -> Questions:
    if len(questions) <= n:
        return questions
    chosen = np.zeros(len(questions), np.bool_)
    chosen[rng.permutation(len(questions))[:n]] = True
    return questions.take(chosen)


def _alone(names: tuple[str, ...], *chosen: int) -> Weights:
    weights = np.zeros(len(names))
    weights[list(chosen)] = 1.0
    return Weights(weights, weights)


def _best_sources(trials: Trials) -> tuple[list[int], Vector]:
    """Return the positions of the sources, the best first, and the mean of the metric of each."""
    value = np.array([float(trials.values(_alone(trials.names, n)).mean()) for n in range(len(trials.names))])
    return np.argsort(-value, kind="stable").tolist(), value


def _best_start(trials: Trials, prior_weights: Weights) -> Weights:
    """Return where the search starts: the plain sum of the best two sources, or what is clearly better.

    Two sources that are about as good as each other and differ are better together on requests to come.
    """
    order, _ = _best_sources(trials)
    best, *others = (_alone(trials.names, *order[:n]) for n in (2, 3, 1))
    values = trials.values(best)
    for other in (*others, prior_weights):
        found = trials.values(other)
        if _is_better(found - values):
            best, values = other, found
    return best


def _is_better(gain: Vector) -> bool:
    return bool(gain.mean() > max(MIN_Z * gain.std() / np.sqrt(len(gain)), MIN_GAIN))


def _floors(trials: Trials) -> dict[str, tuple[Weights, float]]:
    """Return what a list must not lose to, by name: the weights and the mean of the metric."""
    order, value = _best_sources(trials)
    first, second = (trials.names[n] for n in order[:2])
    both = _alone(trials.names, *order[:2])
    floors = {
        "popularity": trials.names.index("popular"),
        f"the source {first}": order[0],
    }
    found = {name: (_alone(trials.names, n), float(value[n])) for name, n in floors.items()}
    found[f"the sum of {first} and {second}"] = (both, float(trials.values(both).mean()))
    return found
