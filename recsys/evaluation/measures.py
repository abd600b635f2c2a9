"""Metrics of each kind of question, one value per query."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from recsys.core import metrics
from recsys.core.metrics import Lists, Values
from recsys.evaluation.experiment import N_LISTED, Experiment, by_hour
from recsys.evaluation.tasks import Task


def accuracy(experiment: Experiment, task: Task, lists: Lists) -> dict[str, Values]:
    """Compute how well the lists predict the purchases."""
    values = {}
    for k in (10, 20):
        values[f"recall@{k}"] = metrics.recall_at_k(lists, task.relevant, k)
        values[f"ndcg@{k}"] = metrics.ndcg_at_k(lists, task.relevant, k)
        values[f"hit_rate@{k}"] = metrics.hit_rate_at_k(lists, task.relevant, k)
    values["precision@10"] = metrics.precision_at_k(lists, task.relevant, 10)
    values["map@10"] = metrics.average_precision_at_k(lists, task.relevant, 10)
    return values


def accuracy_and_exposure(experiment: Experiment, task: Task, lists: Lists) -> dict[str, Values]:
    """Compute accuracy, and how the lists cover the catalog."""
    engine, k = experiment.engine, N_LISTED
    values = accuracy(experiment, task, lists)
    values[f"long_tail_recall@{k}"] = metrics.long_tail_recall_at_k(lists, task.relevant, k, engine.is_tail)
    values[f"head_share@{k}"] = metrics.head_share_at_k(lists, k, engine.is_tail)
    values[f"novelty@{k}"] = metrics.novelty_at_k(lists, k, engine.popularity.n_buyers, len(engine.users))
    values[f"diversity@{k}"] = metrics.diversity_at_k(lists, k, engine.content.embedding)
    return values


def accuracy_by_hour(experiment: Experiment, task: Task, lists: Lists) -> dict[str, Values]:
    """Compute accuracy, and recall in each part of the day."""
    values = accuracy(experiment, task, lists)
    for name, mask in by_hour(experiment.engine, task):
        values[f"recall@10_{name}"] = np.where(mask, values["recall@10"], np.nan)
    return values


def completion(experiment: Experiment, task: Task, lists: Lists) -> dict[str, Values]:
    """Compute whether and at which position the rest of a basket is found; seeds in the tail also on their own."""
    hit = metrics.hit_rate_at_k(lists, task.relevant, 10)
    return {
        "hit_rate@10": hit,
        "ndcg@10": metrics.ndcg_at_k(lists, task.relevant, 10),
        "tail_hit_rate@10": np.where(experiment.engine.is_tail[task.seed], hit, np.nan),
    }


def next_item(experiment: Experiment, task: Task, lists: Lists) -> dict[str, Values]:
    """Compute whether and at which position the one next item is found."""
    return {
        "recall@20": metrics.recall_at_k(lists, task.relevant, 20),
        "mrr@20": metrics.average_precision_at_k(lists, task.relevant, 20),
        "recall@5": metrics.recall_at_k(lists, task.relevant, 5),
    }


BEST_SELLERS: Final = 1000
FIRST_PLACES: Final = 5
"""The lists of the best sellers are the ones that a shop's people look at, and their first places above all."""

OF_OTHER_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {"hit_rate@10": "acc_hit_rate@10", "ndcg@10": "acc_ndcg@10", "tail_hit_rate@10": "tail_acc_hit_rate@10"}
)


def completion_by_other_types(experiment: Experiment, task: Task, lists: Lists) -> dict[str, Values]:
    """Compute the same for items of other product types, under names of their own, and how far rare items are found."""
    engine = experiment.engine
    return {OF_OTHER_TYPES[name]: value for name, value in completion(experiment, task, lists).items()} | {
        "ips_recall@10": metrics.ips_recall_at_k(lists, task.relevant, 10, experiment.past.basket_share),
        "tail_target_hit_rate@10": metrics.tail_hit_rate_at_k(lists, task.relevant, 10, engine.is_tail),
    }


def exposure_among_best_sellers(lists: Lists, n_items: int) -> dict[str, float]:
    """Compute how often one item returns in the first places of the lists of the best sellers.

    Args:
        lists: int32 (n_best_sellers, k), one list per best seller.
        n_items: number of items of the catalog.

    Returns:
        By name: the largest share of the lists that hold one item among the first, and the number of distinct items.
    """
    return {
        f"best_seller_exposure@{FIRST_PLACES}": metrics.largest_exposure_at_k(lists, FIRST_PLACES, n_items),
        f"best_seller_coverage@{FIRST_PLACES}": float(metrics.coverage_at_k(lists, FIRST_PLACES)),
    }
