"""The protocols: which question each placement must answer well, against whom, and how it is scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys import metrics
from recsys.dataset import Dataset
from recsys.engine import Engine, EngineConfig, fit_engine
from recsys.evaluation import tasks
from recsys.evaluation.association import ASSOCIATIONS, associated_lists, count_baskets
from recsys.evaluation.baselines import PERSONAL, Past, Scorer
from recsys.evaluation.methods import Track, served_lists, untracked
from recsys.evaluation.tasks import Task
from recsys.evaluation.windows import Window
from recsys.history import build_history
from recsys.metrics import Lists, Values

N_LISTED = 20
BLOCK = 256
NO_ITEM = -1


@dataclass(frozen=True)
class Bench:
    """What every protocol works on: a shop cut at a window, and the models fitted on the past.

    Attributes:
        dataset: the whole shop, future included; only tasks may look at it.
        window: the judged span.
        engine: fitted on what came before the window.
        past: the same for baselines.
        track: shows progress.
    """

    dataset: Dataset
    window: Window
    engine: Engine
    past: Past
    track: Track = untracked

    @classmethod
    def cut(cls, dataset: Dataset, window: Window, config: EngineConfig, track: Track = untracked) -> Bench:
        """Fit on the past of a window."""
        known = dataset.until(window.start)
        engine = fit_engine(known, config, now=window.start)
        return cls(dataset, window, engine, Past(known, window.start), track)


@dataclass(frozen=True)
class Judged:
    """A protocol's outcome.

    Attributes:
        task: the queries.
        lists: by method, int32 (n_queries, k).
        values: by method and metric, one value a query, NaN where the query has none.
        totals: by method and metric, figures of all lists together.
    """

    task: Task
    lists: Mapping[str, Lists]
    values: Mapping[str, Mapping[str, Values]]
    totals: Mapping[str, Mapping[str, float]]


def judge_next_basket(bench: Bench) -> Judged:
    """`for_you` against each shopper's first basket in the window."""
    task = tasks.next_basket(bench.dataset, bench.window)
    names = [name for name in PERSONAL if name != "user_knn"]
    lists = {"for_you": served_lists(bench.engine, task, "for_you", N_LISTED, bench.track)}
    lists |= _baseline_lists(bench, task, names)
    return _judged(bench, task, lists, _accuracy)


def judge_rolling(bench: Bench) -> Judged:
    """`for_you` against every basket, with the history up to it."""
    task = tasks.rolling(bench.dataset, bench.window)
    history = build_history(bench.dataset, bench.engine.config.history)
    engine = replace(bench.engine, history=history)
    return _judged(bench, task, {"for_you": served_lists(engine, task, "for_you", N_LISTED, bench.track)}, _accuracy)


def judge_discovery(bench: Bench) -> Judged:
    """`discover` and `long_tail` against what shoppers took for the first time."""
    task = tasks.discovery(bench.dataset, bench.window)
    lists = {name: served_lists(bench.engine, task, name, N_LISTED, bench.track) for name in ("discover", "long_tail")}
    names = ("popularity", "user_knn", "up_cf", "als", "bpr", "item_bm25", "item_cosine", "ease")
    return _judged(bench, task, lists | _baseline_lists(bench, task, names, only_new=True), _exposure)


def judge_bought_together(bench: Bench) -> Judged:
    """`bought_together`: the rest of a basket from one of its items."""
    task = tasks.completion(bench.dataset, bench.window, np.random.default_rng(0))
    lists = {"bought_together": served_lists(bench.engine, task, "bought_together", N_LISTED, bench.track)}
    return _judged(bench, task, lists | _associations(bench, task, of_other_types=False), _completion)


def judge_complementary(bench: Bench) -> Judged:
    """`complementary`: what of other types lies in a basket, from one of its items."""
    every = tasks.completion(bench.dataset, bench.window, np.random.default_rng(0))
    task = tasks.of_other_types(every, bench.engine.catalog.item_type)
    lists = {"complementary": served_lists(bench.engine, task, "complementary", N_LISTED, bench.track)}
    return _judged(bench, task, lists | _associations(bench, task, of_other_types=True), _other_types)


PROTOCOLS: Final[Mapping[str, tuple[Callable[[Bench], Judged], ...]]] = MappingProxyType(
    {
        "next_basket": (judge_next_basket,),
        "rolling": (judge_rolling,),
        "discovery": (judge_discovery,),
        "complements": (judge_bought_together, judge_complementary),
    }
)


Measure = Callable[[Bench, Task, Lists], dict[str, Values]]


def _judged(bench: Bench, task: Task, lists: Mapping[str, Lists], measure: Measure) -> Judged:
    n_items = len(bench.dataset.items)
    totals = {
        name: {
            f"coverage@{N_LISTED}": float(metrics.coverage_at_k(rows, N_LISTED)),
            f"gini@{N_LISTED}": metrics.exposure_gini_at_k(rows, N_LISTED, n_items),
        }
        for name, rows in lists.items()
    }
    return Judged(task, lists, {name: measure(bench, task, rows) for name, rows in lists.items()}, totals)


def _accuracy(bench: Bench, task: Task, lists: Lists) -> dict[str, Values]:
    values = {}
    for k in (10, 20):
        values[f"recall@{k}"] = metrics.recall_at_k(lists, task.relevant, k)
        values[f"ndcg@{k}"] = metrics.ndcg_at_k(lists, task.relevant, k)
        values[f"hit_rate@{k}"] = metrics.hit_rate_at_k(lists, task.relevant, k)
    values["precision@10"] = metrics.precision_at_k(lists, task.relevant, 10)
    values["map@10"] = metrics.average_precision_at_k(lists, task.relevant, 10)
    return values


def _exposure(bench: Bench, task: Task, lists: Lists) -> dict[str, Values]:
    engine, k = bench.engine, N_LISTED
    values = _accuracy(bench, task, lists)
    values[f"long_tail_recall@{k}"] = metrics.long_tail_recall_at_k(lists, task.relevant, k, engine.is_tail)
    values[f"head_share@{k}"] = metrics.head_share_at_k(lists, k, engine.is_tail)
    values[f"novelty@{k}"] = metrics.novelty_at_k(lists, k, engine.popularity.n_buyers, len(engine.users))
    values[f"diversity@{k}"] = metrics.diversity_at_k(lists, k, engine.content.embedding)
    return values


def _completion(bench: Bench, task: Task, lists: Lists) -> dict[str, Values]:
    hit = metrics.hit_rate_at_k(lists, task.relevant, 10)
    is_tail = bench.engine.is_tail[task.seed]
    return {
        "hit_rate@10": hit,
        "ndcg@10": metrics.ndcg_at_k(lists, task.relevant, 10),
        "tail_hit_rate@10": np.where(is_tail, hit, np.nan),
    }


def _other_types(bench: Bench, task: Task, lists: Lists) -> dict[str, Values]:
    values = _completion(bench, task, lists)
    renamed = {"hit_rate@10": "acc_hit_rate@10", "ndcg@10": "acc_ndcg@10", "tail_hit_rate@10": "tail_acc_hit_rate@10"}
    return {renamed[name]: value for name, value in values.items()}


def _associations(bench: Bench, task: Task, *, of_other_types: bool) -> dict[str, Lists]:
    counts = count_baskets(bench.past.dataset)
    types = bench.engine.catalog.item_type if of_other_types else None
    return {
        name: associated_lists(counts, association, task.seed, N_LISTED, types)
        for name, association in ASSOCIATIONS.items()
    }


def _baseline_lists(
    bench: Bench, task: Task, names: tuple[str, ...] | list[str], *, only_new: bool = False
) -> dict[str, Lists]:
    lists = {}
    for name in names:
        scorer = PERSONAL[name](bench.past)
        lists[name] = _best(scorer, bench.past, task, name, bench.track, only_new=only_new)
    return lists


def _best(scorer: Scorer, past: Past, task: Task, name: str, track: Track, *, only_new: bool) -> Lists:
    lists = np.full((len(task), N_LISTED), NO_ITEM, np.int32)
    for start in track(range(0, len(task), BLOCK), name):
        users = task.user_idx[start : start + BLOCK]
        scores = np.array(scorer(users), np.float32)
        if only_new:
            scores[past.counts[users].nonzero()] = -np.inf
        lists[start : start + BLOCK] = _top_of_rows(scores)
    return lists


def _top_of_rows(scores: npt.NDArray[np.float32]) -> Lists:
    k = min(N_LISTED, scores.shape[1])
    best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    value = np.take_along_axis(scores, best, axis=1)
    order = np.lexsort((best, -value), axis=1)
    lists = np.full((len(scores), N_LISTED), NO_ITEM, np.int32)
    lists[:, :k] = np.take_along_axis(best, order, axis=1)
    return lists
