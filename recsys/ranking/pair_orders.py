"""What orders the lists of items bought together: a ranker, the probabilities, or a plainer order that beats both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, get_args

import numpy as np
import numpy.typing as npt

from recsys.fitting.blend import NO_COMPARISON, Comparison
from recsys.fitting.engine import Engine, EngineConfig
from recsys.fitting.fit_cache import FitCache
from recsys.fitting.ranker import NO_RANKER, Ranker, RankerConfig
from recsys.fitting.ranker_fit import TrainingGroups, boost, calibrate, first_hits, joined, mean_ndcg
from recsys.models.pairs.copurchase import list_together
from recsys.models.pairs.together_lists import TogetherOrder
from recsys.ranking.basket_questions import BasketQuestions, K
from recsys.ranking.pair_features import PAIR_FEATURES, past_pairs

METRIC: Final = "hit_rate@10"
RANKER: Final = "ranker"

NAMES: Final[Mapping[TogetherOrder, str]] = {
    "probability": "co-purchase",
    "baskets": "the source baskets",
    "users": "the source users",
    "sum": "the sum of baskets and users",
    "popularity": "popularity",
}
"""Names of the orders in reports."""


@dataclass(frozen=True)
class PastPairs:
    """Baskets after a moment, and the lists of their items at that moment.

    Attributes:
        groups: the first partners of each basket's item, one group per basket.
        hits: by order of the lists, whether each basket has an item among the first ten; empty unless asked for.
    """

    groups: TrainingGroups
    hits: Mapping[TogetherOrder, npt.NDArray[np.float64]]

    def take(self, chosen: npt.NDArray[np.bool_]) -> PastPairs:
        """Return some of the baskets, bool (n,)."""
        hits = {order: values[chosen] for order, values in self.hits.items()}
        return PastPairs(self.groups.take_groups(chosen), hits)


def ask_pairs(
    engine: Engine, cache: FitCache, questions: BasketQuestions, config: EngineConfig, *, compares: bool
) -> PastPairs:
    """List the partners of each basket's item, and whether each order hits.

    Args:
        engine: models of the hold-out.
        cache: the same, as parts.
        questions: the baskets.
        config: the settings of the models.
        compares: whether the orders are asked: plain ones only where the weights of lists are learned too.
    """
    hits: dict[TogetherOrder, npt.NDArray[np.float64]] = {}
    for order in _orders(cache, config) if compares else ():
        changed = replace(config, copurchase=replace(config.copurchase, order=order))
        hits[order] = questions.hits(together_of(cache, questions.seed, changed))
    return PastPairs(past_pairs(engine, questions), hits)


def _orders(cache: FitCache, config: EngineConfig) -> Iterator[TogetherOrder]:
    has_users = cache.copurchase_counts(config).users.weight.nnz > 0
    for order in get_args(TogetherOrder) if config.blend.enabled else (config.copurchase.order,):
        if has_users or order not in ("users", "sum"):
            yield order


def together_of(cache: FitCache, seeds: npt.NDArray[np.int32], config: EngineConfig) -> npt.NDArray[np.int32]:
    """Return the first items that are bought together with others, int32 (n, K).

    Args:
        cache: models of the shop.
        seeds: int32 (n,), the others.
        config: settings.
    """
    short = replace(config.copurchase, list_length=K)
    counts = cache.copurchase_counts(config)
    momentum = cache.popularity(config).weekly_momentum
    lists = list_together(counts, momentum, cache.catalog, short, np.unique(seeds))
    return lists.item_idx[seeds]


def learn_pairs(
    past: Sequence[PastPairs], config: EngineConfig, rng: np.random.Generator, *, is_cutoff: bool
) -> tuple[Ranker, Comparison, TogetherOrder]:
    """Train a ranker of pairs on earlier baskets, and let what is best on the latest order the lists.

    Args:
        past: baskets of each hold-out whose answers are complete before the latest, which comes first.
        config: settings; with fewer baskets than `blend.min_questions`, plainer orders do not count.
        rng: source of the draws and of the trees' seed.
        is_cutoff: whether the hold-outs are moments, so that the latest is not among the earlier ones; else, and with
            one hold-out, the baskets are split into halves.

    Returns:
        The ranker, fitted only if it is the best; what was compared; and the order of the lists before the ranker.
    """
    own, settings = config.copurchase.order, config.ranker
    if not past:
        return NO_RANKER, NO_COMPARISON, own
    earlier, latest = _apart(past, is_cutoff=is_cutoff)
    if not len(latest.groups.size):
        return NO_RANKER, NO_COMPARISON, own
    is_enough = len(latest.groups.size) >= config.blend.min_questions
    value = {NAMES[order]: float(hits.mean()) for order, hits in latest.hits.items() if is_enough or order == own}
    seed = int(rng.integers(2**31))
    trial, hits = _try_ranker(earlier, latest.groups, settings, seed, rng)
    if hits is not None:
        value = {RANKER: float(hits.mean())} | value
    best = max(value, key=lambda name: value[name])
    found = NO_COMPARISON
    if is_enough:
        found = Comparison(METRIC, best, len(latest.groups.size), tuple(value), tuple(value.values()))
    if best != RANKER:
        return trial, found, next(order for order, name in NAMES.items() if name == best)
    every = _sampled(joined([each.groups for each in past]), settings, rng).with_answer()
    booster = boost(every, PAIR_FEATURES, settings.pair_trees, seed)
    return replace(trial, trees=booster.model_to_string(importance_type="gain")), found, own


def _try_ranker(
    earlier: TrainingGroups, latest: TrainingGroups, config: RankerConfig, seed: int, rng: np.random.Generator
) -> tuple[Ranker, npt.NDArray[np.float64] | None]:
    """Train on the earlier baskets; return the calibration and whether each later basket is hit."""
    known, unseen = _sampled(earlier, config, rng).with_answer(), latest.with_answer()
    n_requests = len(known.size) + len(unseen.size)
    if not config.enabled or n_requests < config.min_queries or not min(len(known.size), len(unseen.size)):
        return Ranker("", n_requests=n_requests), None
    trial = boost(known, PAIR_FEATURES, config.pair_trees, seed)
    raw = np.asarray(trial.predict(latest.features, num_threads=1), np.float64)
    line = calibrate(raw, latest.log_lift, latest.taken)
    of_unseen = latest.has_answer[latest.request]
    ndcg, of_list = mean_ndcg(raw[of_unseen], unseen), mean_ndcg(unseen.blend, unseen)
    return Ranker("", *line, n_requests, ndcg, of_list), first_hits(raw, latest, K)


def _sampled(groups: TrainingGroups, config: RankerConfig, rng: np.random.Generator) -> TrainingGroups:
    """Keep the positives and a share of the negatives."""
    return groups.take((groups.taken > 0) | (rng.random(len(groups.taken)) < config.negative_share))


def _apart(past: Sequence[PastPairs], *, is_cutoff: bool) -> tuple[TrainingGroups, PastPairs]:
    if len(past) > 1 and is_cutoff:
        return joined([each.groups for each in past[1:]]), past[0]
    is_first = np.arange(len(past[0].groups.size)) % 2 == 0
    return past[0].take(is_first).groups, past[0].take(~is_first)
