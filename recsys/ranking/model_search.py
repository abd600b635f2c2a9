"""Choice of model settings that differ between shops, each by the lists of one model alone on past requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from recsys.core.topk import top_k
from recsys.data.history import UserHistory
from recsys.fitting.blend import LearnedSettings
from recsys.fitting.engine import EngineConfig
from recsys.fitting.fit_cache import FitCache
from recsys.ranking.basket_questions import BasketQuestions
from recsys.ranking.blend_search import gain_interval
from recsys.ranking.holdout import PastRequest
from recsys.ranking.pair_orders import together_of

K: Final = 20
MAX_REQUESTS: Final = 400
MAX_BASKETS: Final = 2000
"""Past tasks of each kind that the settings are measured on."""

MIN_TASKS: Final = 100

LONG_DAYS: Final = 3650.0
"""A half-life without decay, in days."""

BLOCK_REQUESTS: Final = 32
"""Requests that are scored at once: bounds the memory, and reads the factors of all items once for each block."""

Scores = Callable[[Sequence[UserHistory]], npt.NDArray[np.float32]]
"""Returns the score of every item for some histories, float32 (n, n_items)."""


@dataclass(frozen=True)
class PastTasks:
    """What models of a hold-out are asked.

    Attributes:
        requests: of users.
        baskets: for the other items of a basket.
    """

    requests: Sequence[PastRequest]
    baskets: BasketQuestions


Measure = Callable[[FitCache, PastTasks, EngineConfig], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Setting:
    """A setting, and how a model with it is made into lists.

    Attributes:
        path: table and key, as in the file of settings.
        metric: name of the metric.
        measure: returns the metric of each past task, float64 (n,), of a model with a configuration.
        factors: other values than the configured one, as factors of it.
        values: other values, as they are.
        grows: whether it is weighed against counts, so that it stands for less where there are fewer users.
    """

    path: tuple[str, str]
    metric: str
    measure: Measure
    factors: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    grows: bool = False

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
    models: FitCache, tasks: PastTasks, config: EngineConfig, rng: np.random.Generator, share: float = 1.0
) -> tuple[EngineConfig, LearnedSettings]:
    """Try other values of some settings, and keep those whose interval of the gain is above 0.

    Args:
        models: of a hold-out.
        tasks: what they are asked; at most `MAX_REQUESTS` and `MAX_BASKETS` count.
        config: the configured settings.
        rng: source of the draws.
        share: share of the shop's users that the hold-out has.

    Returns:
        The settings, and what was tried and gained; a setting with fewer than `MIN_TASKS` tasks stays.
    """
    requests = [tasks.requests[n] for n in _drawn(len(tasks.requests), MAX_REQUESTS, rng).tolist()]
    tasks = PastTasks(requests, tasks.baskets.take(_drawn(len(tasks.baskets), MAX_BASKETS, rng)))
    rows: list[tuple[str, float, float, str, float, float, float]] = []
    for setting in SETTINGS:
        before, name = setting.value(config), ".".join(setting.path)
        best, best_gain, best_range = before, 0.0, (0.0, 0.0)
        base = setting.measure(models, tasks, _for_share(config, share))
        if len(base) < MIN_TASKS:
            continue
        for value in setting.others(config):
            gain = setting.measure(models, tasks, _for_share(setting.put(config, value), share)) - base
            low, high = gain_interval(gain, config.blend.confidence, rng)
            if low > 0 and float(gain.mean()) > best_gain:
                best, best_gain, best_range = value, float(gain.mean()), (low, high)
        config = setting.put(config, best)
        rows.append((name, before, best, setting.metric, best_gain, *best_range))
    if not rows:
        return config, LearnedSettings()
    names, configured, chosen, metrics, gains, lows, highs = zip(*rows, strict=True)
    return config, LearnedSettings(names, configured, chosen, metrics, gains, lows, highs, len(tasks.requests))


def _for_share(config: EngineConfig, share: float) -> EngineConfig:
    """Return the settings that stand for the same among a share of the users."""
    for setting in SETTINGS:
        if setting.grows and share < 1:
            config = setting.put(config, setting.value(config) * share)
    return config


def _drawn(n: int, n_drawn: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    return np.sort(rng.permutation(n)[:n_drawn])


def ndcg_of(scores_of: Callable[[FitCache, EngineConfig], Scores], *, lists_known: bool = False) -> Measure:
    """Return a function that measures the nDCG@K of the lists of one model for past requests.

    Args:
        scores_of: returns the scores of a model with a configuration.
        lists_known: whether items that the user had before may be listed.
    """

    def measure(models: FitCache, tasks: PastTasks, config: EngineConfig) -> npt.NDArray[np.float64]:
        if len(tasks.requests) < MIN_TASKS:
            return np.zeros(0)
        scores, found = scores_of(models, config), list[float]()
        for start in range(0, len(tasks.requests), BLOCK_REQUESTS):
            asked = tasks.requests[start : start + BLOCK_REQUESTS]
            table = scores([each.history for each in asked])
            found += [_ndcg(score, each, lists_known=lists_known) for score, each in zip(table, asked, strict=True)]
        return np.array(found)

    return measure


def _ndcg(score: npt.NDArray[np.float32], request: PastRequest, *, lists_known: bool) -> float:
    known = request.known_history.item_idx
    relevant = request.later if lists_known else np.setdiff1d(request.later, known)
    if not len(relevant):
        return 0.0
    if not lists_known:
        score = score.copy()
        score[known] = -np.inf
    positive = np.flatnonzero(score > 0)
    hits = np.isin(positive[top_k(score[positive], K)], relevant)
    discount = 1 / np.log2(np.arange(2, K + 2))
    return float(discount[: len(hits)][hits].sum() / discount[: min(K, len(relevant))].sum())


def _hits_together(models: FitCache, tasks: PastTasks, config: EngineConfig) -> npt.NDArray[np.float64]:
    """Return whether the list of `bought_together` holds another item of each basket, float64 (n_baskets,)."""
    return tasks.baskets.hits(together_of(models, tasks.baskets.seed, config)) if len(tasks.baskets) else np.zeros(0)


def _als_scores(models: FitCache, config: EngineConfig) -> Scores:
    model = models.als(config)

    def factors(history: UserHistory) -> npt.NDArray[np.float32]:
        age_s = history.timestamp[-1:].max(initial=0) - history.timestamp
        return model.fold_in(*model.weights_of(history.item_idx, history.event_type, age_s, history.rating_weight))

    return lambda histories: np.stack([factors(each) for each in histories]) @ model.item_factors.T


def _ease_scores(models: FitCache, config: EngineConfig) -> Scores:
    model, known = models.ease(config), models.dataset

    def scores(histories: Sequence[UserHistory]) -> npt.NDArray[np.float32]:
        everything = np.zeros((len(histories), len(known.items)), np.float32)
        for row, history in zip(everything, histories, strict=True):
            rows, times = np.unique(history.of_type(known.target_event).item_idx, return_counts=True)
            found, row_score = model.score(rows, times)
            row[found] = row_score
        return everything

    return scores


def _popular_scores(models: FitCache, config: EngineConfig) -> Scores:
    share = models.popularity(config).share
    return lambda histories: np.broadcast_to(share, (len(histories), len(share)))


SETTINGS: Final = (
    Setting(("als", "regularization"), "ndcg@20", ndcg_of(_als_scores), factors=(3.0,)),
    Setting(("als", "half_life_days"), "ndcg@20", ndcg_of(_als_scores), values=(LONG_DAYS,)),
    Setting(("ease", "content_weight"), "ndcg@20", ndcg_of(_ease_scores), values=(0.0, 1.0)),
    Setting(("ease", "regularization"), "ndcg@20", ndcg_of(_ease_scores), factors=(2.5, 0.4), grows=True),
    Setting(
        ("popularity", "half_life_days"),
        "ndcg@20",
        ndcg_of(_popular_scores, lists_known=True),
        factors=(4.0,),
        values=(LONG_DAYS,),
    ),
    Setting(("copurchase", "item_shrinkage"), "hit_rate@10", _hits_together, factors=(0.1, 0.3, 3.0), grows=True),
    Setting(("copurchase", "momentum_power"), "hit_rate@10", _hits_together, values=(0.0,)),
)
"""The settings that are learned, in order."""
