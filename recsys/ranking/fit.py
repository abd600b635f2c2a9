"""Fit of the whole engine: every model, and what orders the lists, learned on the shop's own past."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.progress import Progress, silent
from recsys.data.dataset import Dataset
from recsys.data.history import build_history
from recsys.fitting.blend import NO_BLEND, Blend, Blends, LearnedSettings
from recsys.fitting.engine import Engine, EngineConfig, Rankers
from recsys.fitting.fit import fit_models, with_similar_of
from recsys.fitting.fit_cache import FitCache
from recsys.fitting.ranker import Ranker
from recsys.fitting.ranker_fit import TrainingGroups, boost, calibrate, mean_ndcg
from recsys.models.content.content import ContentModel, fit_content
from recsys.ranking.basket_questions import draw_baskets
from recsys.ranking.blend_search import learn_blend
from recsys.ranking.features import FEATURES
from recsys.ranking.holdout import Holdout, holdouts, past_requests
from recsys.ranking.item_orders import LISTS, ItemKind, compare_item_lists, draw_next
from recsys.ranking.model_search import PastTasks, learn_settings
from recsys.ranking.pair_features import order_pairs
from recsys.ranking.pair_orders import PastPairs, ask_pairs, learn_pairs
from recsys.ranking.questions import Questions, answer_requests, join_questions
from recsys.ranking.trials import KINDS, Kind, blend_scores, labels

RANKED: Final[tuple[Kind, ...]] = ("next", "new")
"""Kinds of lists that a ranker is trained for."""

RANKER_OF: Final[Mapping[Kind, Kind]] = MappingProxyType({"next": "next", "new": "new", "tail": "new"})
"""By kind of list, the ranker that may order it."""


def fit_engine(dataset: Dataset, config: EngineConfig, now: int | None = None, progress: Progress = silent) -> Engine:
    """Fit every model on the shop, and the rankers and the weights of the sources on past requests.

    Args:
        dataset: the shop; cut it with `Dataset.until` to fit on the past.
        config: settings.
        now: moment from which ages count, seconds since 1970; the end of the data if None.
        progress: called with the name of each stage.

    Returns:
        The engine; rankers and blends are unfitted where the past has too few requests.
    """
    now = dataset.end if now is None else now
    rankers, blends, learned = Rankers(), Blends(), config
    content: ContentModel | None = None
    if config.ranker.enabled or config.blend.enabled:
        progress("content")
        content = fit_content(dataset.catalog, config.content, np.random.default_rng(config.seed))
        rankers, blends, learned = fit_orders(dataset, config, now, progress, content)
    engine = replace(fit_models(dataset, learned, now, progress, cache=FitCache(dataset, now, content)), config=config)
    progress("order of related items")
    return replace(engine, rankers=rankers, blends=blends, copurchase=order_pairs(engine, rankers.pairs))


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


def fit_orders(
    dataset: Dataset,
    config: EngineConfig,
    now: int,
    progress: Progress = silent,
    content: ContentModel | None = None,
) -> tuple[Rankers, Blends, EngineConfig]:
    """Train the rankers and learn the weights of the sources, by models fitted on the past of each hold-out.

    Args:
        dataset: the shop up to `now`.
        config: settings.
        now: seconds since 1970.
        progress: called with the name of each stage.
        content: the content of the catalog; fitted anew if not given.

    Returns:
        The rankers and the blends, each unfitted if the past has too few requests for it, and the settings of the
        models.
    """
    rng = np.random.default_rng(config.seed)
    past = ask_the_past(dataset, config, now, rng, progress, content)
    if past is None:
        return Rankers(), Blends(), config
    progress("learned ranking")
    seeds = rng.spawn(2 * len(RANKED) + len(KINDS) + 1)
    with ThreadPoolExecutor(len(RANKED) + 1) as pool:
        pairs = pool.submit(learn_pairs, past.pairs, past.config, seeds.pop(), is_cutoff=past.is_cutoff)
        tried = [pool.submit(_try_ranker, kind, past, config, seeds.pop()) for kind in RANKED]
        trials = dict(zip(RANKED, (task.result() for task in tried), strict=True))
        progress("weights of the sources")
        blends = {kind: _learn(kind, past, trials[RANKER_OF[kind]], config, seeds.pop()) for kind in KINDS}
        used = {RANKER_OF[kind] for kind, blend in blends.items() if blend.uses_ranker}
        final = [
            pool.submit(_fit_final, kind, past, trials[kind], config, seeds.pop(), serves=kind in used)
            for kind in RANKED
        ]
        pair_ranker, together, order = pairs.result()
        of_next, of_new = (task.result() for task in final)
        rankers = Rankers(of_next, of_new, pair_ranker)
    learned = replace(past.config, copurchase=replace(past.config.copurchase, order=order))
    learned_blends: dict[str, Blend] = {str(kind): blend for kind, blend in (*blends.items(), *past.item_lists.items())}
    return rankers, Blends(past.settings, **learned_blends, together=together), learned


def ask_the_past(
    dataset: Dataset,
    config: EngineConfig,
    now: int,
    rng: np.random.Generator,
    progress: Progress = silent,
    content: ContentModel | None = None,
) -> PastQuestions | None:
    """Fit the models on each hold-out and answer its requests; None where no hold-out has any."""
    cuts = holdouts(dataset, now, config.ranker, config.seed)
    parts: list[Questions] = []
    answered: list[Holdout] = []
    pairs: list[PastPairs] = []
    repeat_share = 0.0
    settings = LearnedSettings()
    item_lists: Mapping[ItemKind, Blend] = {}
    caches = [FitCache(cut.known, cut.now, content) for cut in cuts]
    if config.blend.enabled and cuts:
        progress("settings of the models")
        config, settings = _learn_settings(cuts[-1], caches[-1], config, rng)
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


def _learn_settings(
    cut: Holdout, cache: FitCache, config: EngineConfig, rng: np.random.Generator
) -> tuple[EngineConfig, LearnedSettings]:
    """Learn the settings of the models on the earliest hold-out; on half of the users where it is the only one."""
    requests = past_requests(cut, build_history(cut.known, config.history), config.ranker, rng)
    by_basket = cache.copurchase_counts(config).by_basket
    baskets = draw_baskets(cut, config.ranker.max_baskets, rng, by_basket=by_basket)
    if not cut.is_cutoff:
        requests = requests[: len(requests) // 2]
        baskets = baskets.take(np.arange(len(baskets)) % 2 == 0)
    return learn_settings(cache, PastTasks(requests, baskets), config, rng)


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


@dataclass(frozen=True)
class Trial:
    """A ranker that was trained on the earlier questions, and its scores of the latest ones.

    Attributes:
        ranker: its calibration and its metrics; without trees.
        score: float64, log-odds of every candidate of the latest questions; None where no ranker was trained.
    """

    ranker: Ranker
    score: npt.NDArray[np.float64] | None


def _try_ranker(kind: Kind, past: PastQuestions, config: EngineConfig, rng: np.random.Generator) -> Trial:
    earlier, latest = (_groups(kind, part, past, config, rng) for part in (past.earlier, past.latest))
    n_requests = len(earlier.size) + len(latest.size)
    if not past.can_rank or n_requests < config.ranker.min_queries or not min(len(earlier.size), len(latest.size)):
        return Trial(Ranker("", n_requests=n_requests), None)
    trial = boost(earlier, FEATURES, config.ranker.trees, config.seed)
    raw = np.asarray(trial.predict(latest.features, num_threads=1), np.float64)
    line = calibrate(raw, latest.log_lift, latest.taken, 1 / config.ranker.negative_share)
    score = np.asarray(trial.predict(past.latest.features, num_threads=1), np.float64)
    ndcg, of_blend = mean_ndcg(raw, latest), mean_ndcg(latest.blend, latest)
    return Trial(Ranker("", *line, n_requests, ndcg, of_blend), line[0] * score + line[1])


def _learn(kind: Kind, past: PastQuestions, trial: Trial, config: EngineConfig, rng: np.random.Generator) -> Blend:
    """Return the blend of one kind of list; where none is learned, the ranker serves if it beats the placement."""
    score, ranker = trial.score, trial.ranker
    blend = NO_BLEND
    if config.blend.enabled:
        blend = learn_blend(kind, past.earlier, past.latest, past.repeat_share, config.blend, rng, score)
    if blend.is_fitted:
        return blend
    return replace(NO_BLEND, uses_ranker=score is not None and ranker.ndcg > ranker.ndcg_of_blend)


def _fit_final(
    kind: Kind, past: PastQuestions, trial: Trial, config: EngineConfig, rng: np.random.Generator, *, serves: bool
) -> Ranker:
    """Train the ranker that serves on all questions."""
    if trial.score is None or not serves:
        return trial.ranker
    booster = boost(_groups(kind, past.every, past, config, rng), FEATURES, config.ranker.trees, config.seed)
    return replace(trial.ranker, trees=booster.model_to_string(importance_type="gain"))


def _groups(
    kind: Kind, questions: Questions, past: PastQuestions, config: EngineConfig, rng: np.random.Generator
) -> TrainingGroups:
    """Return the requests with an answer among their candidates, with a share of the negative candidates."""
    _, eligible, taken = labels(kind, questions)
    kept = eligible & (taken | (rng.random(len(taken)) < config.ranker.negative_share))
    blend = blend_scores(kind, questions, past.repeat_share)
    return TrainingGroups(
        features=questions.features[kept],
        taken=taken[kept].astype(np.int8),
        blend=blend[kept].astype(np.float32),
        log_lift=questions.log_lift[kept],
        size=np.bincount(questions.request[kept], minlength=len(questions)),
    ).with_answer()
