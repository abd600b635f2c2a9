"""The whole engine of one shop: every model, and the rankers that its own past can teach."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from recsys.data.dataset import Dataset
from recsys.fitting.engine import Engine, EngineConfig, Progress, Rankers
from recsys.fitting.fit import fit_models
from recsys.fitting.ranker import fit_ranker
from recsys.ranking.features import FEATURES
from recsys.ranking.pair_features import PAIR_FEATURES, order_pairs
from recsys.ranking.training_examples import TrainingRequests, cutoffs, training_requests


def fit_engine(
    dataset: Dataset, config: EngineConfig, now: int | None = None, progress: Progress = lambda stage: None
) -> Engine:
    """Fit every model on what is known of a shop, and the rankers on how its past went on.

    Args:
        dataset: the shop; cut it with `Dataset.until` to look at the past.
        config: settings.
        now: seconds since 1970 that ages count from; the end of the data if not given.
        progress: told the stages.
    """
    now = dataset.end if now is None else now
    rankers = fit_rankers(dataset, config, now, progress) if config.ranker.enabled else Rankers()
    engine = fit_models(dataset, config, now, progress)
    progress("order of related items")
    return replace(engine, rankers=rankers, copurchase=order_pairs(engine, rankers.pairs))


def fit_rankers(dataset: Dataset, config: EngineConfig, now: int, progress: Progress = lambda stage: None) -> Rankers:
    """Learn from rolling cut-offs: models of then, asked then, judged by what came after.

    Args:
        dataset: the shop up to `now`.
        config: settings.
        now: seconds since 1970.
        progress: told the stages.

    Returns:
        Rankers of which none, some or all are fitted: as much as the past can teach.
    """
    rng = np.random.default_rng(config.seed)
    moments = cutoffs(dataset, now, config.ranker)
    past: list[TrainingRequests] = []
    for place, cutoff in enumerate(moments, 1):
        progress(f"examples of the past, {place} of {len(moments)}")
        found = training_requests(dataset, config, cutoff, rng)
        past.extend([found] if found else [])
    progress("learned ranking")
    if not past:
        return Rankers()
    questions = (
        ([requests.next for requests in past], FEATURES, config.ranker.trees),
        ([requests.new for requests in past], FEATURES, config.ranker.trees),
        ([requests.pairs for requests in past], PAIR_FEATURES, config.ranker.pair_trees),
    )
    with ThreadPoolExecutor(len(questions)) as pool:
        tasks = [
            pool.submit(fit_ranker, examples, names, config.ranker, trees, own)
            for (examples, names, trees), own in zip(questions, rng.spawn(len(questions)), strict=True)
        ]
        return Rankers(*(task.result() for task in tasks))
