"""Fit of the whole engine: every model, and the rankers trained on the shop's own past."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from recsys.core.progress import Progress, silent
from recsys.data.dataset import Dataset
from recsys.fitting.engine import Engine, EngineConfig, Rankers
from recsys.fitting.fit import fit_models
from recsys.fitting.ranker_fit import fit_ranker
from recsys.ranking.features import FEATURES
from recsys.ranking.pair_features import PAIR_FEATURES, order_pairs
from recsys.ranking.training_examples import TrainingRequests, cutoffs, training_requests


def fit_engine(dataset: Dataset, config: EngineConfig, now: int | None = None, progress: Progress = silent) -> Engine:
    """Fit every model on the shop, and the rankers on past requests.

    Args:
        dataset: the shop; cut it with `Dataset.until` to fit on the past.
        config: settings.
        now: moment from which ages count, seconds since 1970; the end of the data if None.
        progress: called with the name of each stage.

    Returns:
        The engine; rankers are unfitted where the past has too few requests.
    """
    now = dataset.end if now is None else now
    rankers = fit_rankers(dataset, config, now, progress) if config.ranker.enabled else Rankers()
    engine = fit_models(dataset, config, now, progress)
    progress("order of related items")
    return replace(engine, rankers=rankers, copurchase=order_pairs(engine, rankers.pairs))


def fit_rankers(dataset: Dataset, config: EngineConfig, now: int, progress: Progress = silent) -> Rankers:
    """Train the rankers on rolling cut-offs: models fitted up to each cut-off, labeled by the purchases after it.

    Args:
        dataset: the shop up to `now`.
        config: settings.
        now: seconds since 1970.
        progress: called with the name of each stage.

    Returns:
        The rankers; each is unfitted if the past has too few requests for it.
    """
    rng = np.random.default_rng(config.seed)
    moments = cutoffs(dataset, now, config.ranker)
    past: list[TrainingRequests] = []
    for number, cutoff in enumerate(moments, 1):
        progress(f"training examples, {number} of {len(moments)}")
        found = training_requests(dataset, config, cutoff, rng)
        past.extend([found] if found else [])
    progress("learned ranking")
    if not past:
        return Rankers()
    problems = (
        ([requests.next for requests in past], FEATURES, config.ranker.trees),
        ([requests.new for requests in past], FEATURES, config.ranker.trees),
        ([requests.pairs for requests in past], PAIR_FEATURES, config.ranker.pair_trees),
    )
    with ThreadPoolExecutor(len(problems)) as pool:
        tasks = [
            pool.submit(fit_ranker, examples, names, config.ranker, trees, own)
            for (examples, names, trees), own in zip(problems, rng.spawn(len(problems)), strict=True)
        ]
        return Rankers(*(task.result() for task in tasks))
