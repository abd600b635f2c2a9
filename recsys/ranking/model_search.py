"""Choice of model settings that differ between shops, each by the lists of one model alone on past requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from recsys.core.topk import top_k
from recsys.data.history import UserHistory
from recsys.fitting.blend import LearnedSettings
from recsys.fitting.engine import EngineConfig
from recsys.fitting.fit import count_target_events, fit_user_factors
from recsys.models.collaborative.als import ALSModel
from recsys.models.collaborative.ease import EASEModel, fit_ease
from recsys.models.temporal.popularity import PopularityModel, fit_popularity
from recsys.ranking.blend_search import gain_interval
from recsys.ranking.holdout import Holdout, PastRequest

K: Final = 20
MAX_REQUESTS: Final = 400
"""Past requests that the settings are measured on."""

MIN_REQUESTS: Final = 100

LONG_DAYS: Final = 3650.0
"""A half-life without decay, in days."""

T = TypeVar("T")
Scores = Callable[[UserHistory], npt.NDArray[np.float32]]
"""Returns the score of every item for a history, float32 (n_items,)."""


class PastModels:
    """Models of a hold-out, each fitted once per configuration.

    Args:
        holdout: what the models may know.
    """

    def __init__(self, holdout: Holdout) -> None:
        self.holdout = holdout
        self._fitted: dict[Any, Any] = {}

    def als(self, config: EngineConfig) -> ALSModel:
        """Return the factors."""
        return self._once(
            config.als, lambda: fit_user_factors(self.holdout.known, config.als, np.random.default_rng(config.seed))
        )

    def ease(self, config: EngineConfig) -> EASEModel:
        """Return the linear model."""
        return self._once(config.ease, lambda: fit_ease(count_target_events(self.holdout.known), config.ease))

    def popularity(self, config: EngineConfig) -> PopularityModel:
        """Return the sales of all items."""
        return self._once(
            config.popularity, lambda: fit_popularity(self.holdout.known, config.popularity, self.holdout.now)
        )

    def _once(self, config: Any, fit: Callable[[], T]) -> T:
        if config not in self._fitted:
            self._fitted[config] = fit()
        found: T = self._fitted[config]
        return found


@dataclass(frozen=True)
class Setting:
    """A setting, and how a model with it is made into lists.

    Attributes:
        path: table and key, as in the file of settings.
        factors: other values than the configured one, as factors of it.
        values: other values, as they are.
        fit: returns the scores of a model with a configuration.
        lists_known: whether items that the user had before may be listed.
    """

    path: tuple[str, str]
    fit: Callable[[PastModels, EngineConfig], Scores]
    factors: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    lists_known: bool = False

    def value(self, config: EngineConfig) -> float:
        """Return the value in a configuration."""
        return float(getattr(getattr(config, self.path[0]), self.path[1]))

    def others(self, config: EngineConfig) -> tuple[float, ...]:
        """Return the values to try beside the configured one."""
        own = self.value(config)
        return tuple(value for value in (*(own * factor for factor in self.factors), *self.values) if value != own)

    def put(self, config: EngineConfig, value: float) -> EngineConfig:
        """Return the configuration with another value."""
        table, key = self.path
        changes: dict[str, Any] = {table: replace(getattr(config, table), **{key: value})}
        return replace(config, **changes)


def learn_settings(
    models: PastModels, requests: Sequence[PastRequest], config: EngineConfig, rng: np.random.Generator
) -> tuple[EngineConfig, LearnedSettings]:
    """Try other values of some settings, and keep those whose interval of the gain is above 0.

    Args:
        models: of a hold-out.
        requests: requests of the hold-out.
        config: the configured settings.
        rng: source of the draws.

    Returns:
        The settings, and what was tried and gained; the configured settings with fewer than `MIN_REQUESTS` requests.
    """
    chosen = rng.permutation(len(requests))[:MAX_REQUESTS]
    asked = [requests[n] for n in np.sort(chosen).tolist()]
    if len(asked) < MIN_REQUESTS:
        return config, LearnedSettings()
    rows: list[tuple[str, float, float, float, float, float]] = []
    for setting in SETTINGS:
        before, name = setting.value(config), ".".join(setting.path)
        base = _measure(setting, models, asked, config)
        best, best_gain, best_range = before, 0.0, (0.0, 0.0)
        for value in setting.others(config):
            gain = _measure(setting, models, asked, setting.put(config, value)) - base
            low, high = gain_interval(gain, config.blend.confidence, rng)
            if low > 0 and float(gain.mean()) > best_gain:
                best, best_gain, best_range = value, float(gain.mean()), (low, high)
        config = setting.put(config, best)
        rows.append((name, before, best, best_gain, *best_range))
    names, prior, values, gains, lows, highs = zip(*rows, strict=True)
    return config, LearnedSettings(names, prior, values, gains, lows, highs, len(asked))


def _measure(
    setting: Setting, models: PastModels, requests: Sequence[PastRequest], config: EngineConfig
) -> npt.NDArray[np.float64]:
    """Return the nDCG@K of the lists of one model, float64 (n_requests,)."""
    scores = setting.fit(models, config)
    discount = 1 / np.log2(np.arange(2, K + 2))
    values = np.zeros(len(requests))
    for number, request in enumerate(requests):
        known = request.known_history.item_idx
        relevant = request.later if setting.lists_known else np.setdiff1d(request.later, known)
        if not len(relevant):
            continue
        score = scores(request.history)
        if not setting.lists_known:
            score = score.copy()
            score[known] = -np.inf
        best = top_k(score, K)
        hits = np.isin(best[score[best] > 0], relevant)
        values[number] = discount[: len(hits)][hits].sum() / discount[: min(K, len(relevant))].sum()
    return values


def _als_scores(models: PastModels, config: EngineConfig) -> Scores:
    model = models.als(config)

    def scores(history: UserHistory) -> npt.NDArray[np.float32]:
        age_s = history.timestamp[-1:].max(initial=0) - history.timestamp
        rows, weight = model.weights_of(history.item_idx, history.event_type, age_s, history.rating_weight)
        return np.asarray(model.item_factors @ model.fold_in(rows, weight), np.float32)

    return scores


def _ease_scores(models: PastModels, config: EngineConfig) -> Scores:
    model, known = models.ease(config), models.holdout.known

    def scores(history: UserHistory) -> npt.NDArray[np.float32]:
        rows, times = np.unique(history.of_type(known.target_event).item_idx, return_counts=True)
        found, score = model.score(rows, times)
        everything = np.zeros(len(known.items), np.float32)
        everything[found] = score
        return everything

    return scores


def _popular_scores(models: PastModels, config: EngineConfig) -> Scores:
    share = models.popularity(config).share
    return lambda history: share


SETTINGS: Final = (
    Setting(("als", "regularization"), _als_scores, factors=(3.0,)),
    Setting(("als", "half_life_days"), _als_scores, values=(LONG_DAYS,)),
    Setting(("ease", "regularization"), _ease_scores, factors=(0.4,)),
    Setting(("popularity", "half_life_days"), _popular_scores, factors=(4.0,), values=(LONG_DAYS,), lists_known=True),
)
"""The settings that are learned, in order."""
