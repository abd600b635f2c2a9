"""Search for the weights of a blend on past requests, and the comparison that decides what orders a list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from recsys.fitting.blend import Blend, BlendConfig
from recsys.ranking.questions import Questions
from recsys.ranking.trials import KINDS, Kind, Trials, Vector, Weights, prior

STEPS: Final = (0.0, 0.25, 0.5, 2.0, 4.0)
"""Factors of a weight that a sweep tries."""

TREND_POWERS: Final = (0.0, 0.15, 0.3, 0.5, 0.75)
TAIL_DISCOUNTS: Final = (0.0, 0.05, 0.15, 0.3)
START_WEIGHT: Final = 0.25
"""Weight that a sweep tries for a source without one."""

MIN_Z: Final = 1.0
"""Standard errors of the paired gain that a change of a weight must win: a search among noise would wander."""

MIN_GAIN: Final = 1e-9

N_RESAMPLES: Final = 500


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

    The learned weights replace those of the placement where the interval of their gain on the latest requests is above
    0. The ranker serves where it is better there. Where popularity, the best single source or the plain sum of the two
    best sources is better than both, it serves instead.

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
    gain = held_out.values(found) - held_out.values(start)
    low, high = gain_interval(gain, config.confidence, rng)
    own = ("learned weights", found) if low > 0 else ("placement weights", start)
    order, chosen, values = _compare(*own, held_out, latest, ranker_score)
    return Blend(
        sources=known.names,
        few=tuple(chosen.few.tolist()),
        many=tuple(chosen.many.tolist()),
        trend_power=chosen.trend_power,
        tail_discount=chosen.tail_discount,
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


def _compare(
    order: str, chosen: Weights, held_out: Trials, latest: Questions, ranker_score: Vector | None
) -> tuple[str, Weights, dict[str, float]]:
    """Return the best order of the latest requests, its weights, and the mean of the metric of every order.

    A ranker has the weights that it is compared with, as they choose its tail discount.
    """
    own, values = order, {order: float(held_out.values(chosen).mean())}
    if ranker_score is not None:
        odds = np.exp(ranker_score - chosen.tail_discount * latest.log_buyers)
        values["ranker"] = float(held_out.values_of_all(odds).mean())
        order = "ranker" if values["ranker"] > values[own] else own
    for name, (weights, value) in _floors(held_out).items():
        values[name] = value
        if value > values[order]:
            order, chosen = name, weights
    return order, chosen, values


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
