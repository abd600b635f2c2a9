"""What the models of each hold-out are asked, and the settings that are learned before they are fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from recsys.core.progress import Progress, silent
from recsys.data.history import build_history
from recsys.fitting.blend import Blend, LearnedSettings
from recsys.fitting.engine import Engine, EngineConfig
from recsys.fitting.fit import fit_models, with_similar_of
from recsys.fitting.fit_cache import FitCache
from recsys.fitting.parts import WholeShop
from recsys.ranking.basket_questions import draw_baskets
from recsys.ranking.holdout import Holdout, holdouts, past_requests
from recsys.ranking.item_orders import LISTS, ItemKind, compare_item_lists, draw_next
from recsys.ranking.model_search import PastTasks, learn_settings
from recsys.ranking.pair_orders import PastPairs, ask_pairs
from recsys.ranking.questions import Questions, answer_requests, join_questions
from recsys.ranking.user_sample import sample_users


@dataclass(frozen=True)
class PastQuestions:
    """Questions of the earlier hold-outs and of the latest, and the pairs of each hold-out.

    Attributes:
        every: questions of all hold-outs.
        earlier: those whose answers were complete before the latest; of half of the users where there is one moment.
        latest: those of the latest hold-out; of the other half of the users where there is one moment.
        item_lists: how the orders of lists beside one item compare, by kind.
        pairs: baskets of the latest hold-out, and of those whose answers were complete before it.
        is_cutoff: whether the hold-outs are moments.
        can_rank: whether rankers may learn from the questions.
        repeat_share: share of purchases that repeat an earlier one, before the latest hold-out.
        config: the settings that the models were fitted with.
        settings: how they were learned.
    """

    every: Questions
    earlier: Questions
    latest: Questions
    item_lists: Mapping[ItemKind, Blend]
    pairs: tuple[PastPairs, ...]
    is_cutoff: bool
    can_rank: bool
    repeat_share: float
    config: EngineConfig
    settings: LearnedSettings


def ask_the_past(
    whole: FitCache, config: EngineConfig, rng: np.random.Generator, progress: Progress = silent
) -> PastQuestions | None:
    """Fit the models on each hold-out and answer its requests; None where no hold-out has any.

    Args:
        whole: models of the whole shop; some are begun here, with the settings that are learned.
        config: settings.
        rng: source of the draws.
        progress: called with the name of each stage.
    """
    with ThreadPoolExecutor(1) as pool:
        return _ask_the_past(whole, config, rng, progress, pool)


def _ask_the_past(
    whole: FitCache, config: EngineConfig, rng: np.random.Generator, progress: Progress, pool: Executor
) -> PastQuestions | None:
    cuts = holdouts(whole.dataset, whole.now, config.ranker, config.seed, whole.parts.share)
    parts: list[Questions] = []
    answered: list[Holdout] = []
    pairs: list[PastPairs] = []
    repeat_share = 0.0
    settings = LearnedSettings()
    item_lists: Mapping[ItemKind, Blend] = {}
    caches = [_cache_of(cut, whole, config) for cut in cuts]
    if config.blend.enabled and cuts:
        progress("settings of the models")
        config, settings = _learn_settings(cuts[-1], caches[-1], config, rng)
    for cache in (*caches, whole):
        cache.begin(config, pool)
    for number, cut in enumerate(cuts, 1):
        progress(f"training examples, {number} of {len(cuts)}")
        cache = caches[number - 1]
        engine = fit_models(cut.known, config, now=cut.now, user_lists_only=True, cache=cache)
        questions = answer_requests(engine, past_requests(cut, engine.history, config.ranker, rng))
        if not pairs or _is_complete(cut, cuts[0]):
            baskets = draw_baskets(cut, config.ranker.max_baskets, rng, by_basket=engine.copurchase.by_basket)
            pairs.append(ask_pairs(engine, cache, baskets, config, compares=not pairs))
        if number == 1:
            item_lists = _compare_item_lists(engine, cut, rng)
        repeat_share = repeat_share if parts else engine.repeat.repeat_share
        if questions is not None:
            parts.append(questions)
            answered.append(cut)
        cache.clear()
    if not parts:
        return None
    earlier, latest = _apart(parts, answered)
    # With several draws, a ranker sees most of what each user took, and learns to expect it of that user.
    can_rank = config.ranker.enabled and (len(parts) == 1 or answered[0].is_cutoff)
    every = join_questions(parts)
    return PastQuestions(
        every, earlier, latest, item_lists, tuple(pairs), cuts[0].is_cutoff, can_rank, repeat_share, config, settings
    )


def _cache_of(cut: Holdout, whole: FitCache, config: EngineConfig) -> FitCache:
    """Return the models of a hold-out; where last events are hidden, of the users of the dataset alone."""
    parts = whole.parts.until(cut.known, cut.now) if cut.is_cutoff else None
    return FitCache(cut.known, cut.now, whole.content(config), whole.first, parts)


def _learn_settings(
    cut: Holdout, cache: FitCache, config: EngineConfig, rng: np.random.Generator
) -> tuple[EngineConfig, LearnedSettings]:
    """Learn the settings of the models on the earliest hold-out; on half of the users where it is the only one.

    A large shop learns them from a sample of its users, whose factors its own fits begin with.
    """
    sample = sample_users(cut, rng)
    share = sample.share * cache.parts.share
    if sample.share < 1 or not isinstance(cache.parts, WholeShop):
        cut, cache = sample.cut, FitCache(sample.cut.known, sample.cut.now, cache.content(config), cache.first)
    requests = past_requests(cut, build_history(cut.known, config.history), config.ranker, rng)
    by_basket = cache.copurchase_counts(config).by_basket
    baskets = draw_baskets(cut, config.ranker.max_baskets, rng, by_basket=by_basket)
    if not cut.is_cutoff:
        requests = requests[: len(requests) // 2]
        baskets = baskets.take(np.arange(len(baskets)) % 2 == 0)
    return learn_settings(cache, PastTasks(requests, baskets), config, rng, share)


def _compare_item_lists(engine: Engine, cut: Holdout, rng: np.random.Generator) -> dict[ItemKind, Blend]:
    steps = draw_next(cut, rng)
    if len(steps) < engine.config.blend.min_questions:
        return {}
    full = with_similar_of(engine, steps.seed)
    return {kind: compare_item_lists(kind, full, steps, cut.now, engine.config.blend) for kind in LISTS}


def _is_complete(cut: Holdout, latest: Holdout) -> bool:
    """Return whether the answers of a hold-out were complete before the latest one."""
    return cut.now + cut.horizon <= latest.now


def _apart(parts: Sequence[Questions], cuts: Sequence[Holdout]) -> tuple[Questions, Questions]:
    """Return the earlier questions and the latest; see `PastQuestions`.

    Questions of one moment are split by user: a ranker that has seen some answers of a user may know the others.
    """
    if len(parts) > 1 and cuts[0].is_cutoff:
        older = zip(parts[1:], cuts[1:], strict=True)
        complete = [part for part, cut in older if _is_complete(cut, cuts[0])]
        return join_questions(complete or parts[1:]), parts[0]
    every = join_questions(parts)
    users = np.unique(every.user_idx)
    is_first = every.user_idx < users[len(users) // 2]
    return every.take(is_first), every.take(~is_first)
