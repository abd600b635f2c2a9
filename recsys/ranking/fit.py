"""Fit of the whole engine: every model, and what orders the lists, learned on the shop's own past."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.progress import Progress, silent
from recsys.data.dataset import Dataset
from recsys.fitting.blend import NO_BLEND, Blend, Blends
from recsys.fitting.compact import compact
from recsys.fitting.engine import Engine, EngineConfig, Rankers
from recsys.fitting.fit import fit_models
from recsys.fitting.fit_cache import FitCache
from recsys.fitting.parts import Parts
from recsys.fitting.ranker import Ranker
from recsys.fitting.ranker_fit import TrainingGroups, boost, calibrate, mean_ndcg
from recsys.ranking.blend_search import learn_blend
from recsys.ranking.features import FEATURES
from recsys.ranking.pair_features import order_pairs
from recsys.ranking.pair_orders import learn_pairs
from recsys.ranking.past_questions import PastQuestions, ask_the_past
from recsys.ranking.questions import Questions
from recsys.ranking.trials import KINDS, Kind, blend_scores, labels

RANKED: Final[tuple[Kind, ...]] = ("next", "new")
"""Kinds of lists that a ranker is trained for."""

RANKER_OF: Final[Mapping[Kind, Kind]] = MappingProxyType({"next": "next", "new": "new", "tail": "new"})
"""By kind of list, the ranker that may order it."""


def fit_engine(
    dataset: Dataset,
    config: EngineConfig,
    now: int | None = None,
    progress: Progress = silent,
    parts: Parts | None = None,
) -> Engine:
    """Fit every model on the shop, and the rankers and the weights of the sources on past requests.

    Args:
        dataset: the shop; cut it with `Dataset.until` to fit on the past.
        config: settings.
        now: moment from which ages count, seconds since 1970; the end of the data if None.
        progress: called with the name of each stage.
        parts: where the events of all users are, if `dataset` has a sample of them.

    Returns:
        The engine; rankers and blends are unfitted where the past has too few requests.
    """
    now = dataset.end if now is None else now
    rankers, blends, learned = Rankers(), Blends(), config
    cache = FitCache(dataset, now, parts=parts)
    if config.ranker.enabled or config.blend.enabled:
        progress("content")
        cache.content(config)
        rankers, blends, learned = fit_orders(cache, config, progress)
    engine = replace(fit_models(dataset, learned, now, progress, cache=cache), config=config)
    progress("order of related items")
    copurchase = order_pairs(engine, rankers.pairs)
    return compact(replace(engine, rankers=rankers, blends=blends, copurchase=copurchase))


def fit_orders(
    whole: FitCache, config: EngineConfig, progress: Progress = silent
) -> tuple[Rankers, Blends, EngineConfig]:
    """Train the rankers and learn the weights of the sources, by models fitted on the past of each hold-out.

    Args:
        whole: models of the whole shop, some of which are fitted meanwhile, with the settings that are returned.
        config: settings.
        progress: called with the name of each stage.

    Returns:
        The rankers and the blends, each unfitted if the past has too few requests for it, and the settings of the
        models.
    """
    rng = np.random.default_rng(config.seed)
    past = ask_the_past(whole, config, rng, progress)
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
