"""Metrics of each kind of question, by hand on two queries."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from scipy import sparse

from recsys.evaluation import measures
from recsys.evaluation.tasks import Task
from tests.recsys.tiny_engine import N_ITEMS, tiny_engine

PAST = SimpleNamespace(basket_share=np.full(N_ITEMS, 0.1))
EXPERIMENT = cast(Any, SimpleNamespace(engine=tiny_engine(), past=PAST))
LISTS = np.array([[2, 0, 1], [3, -1, -1]], np.int32)


def task(hours: tuple[int, int] = (8, 20), seeds: tuple[int, int] = (0, 2)) -> Task:
    """Two queries: items 0 and 4 are relevant to the first, item 5 to the second."""
    relevant = sparse.csr_matrix((np.ones(3, np.float32), ([0, 0, 1], [0, 4, 5])), shape=(2, N_ITEMS))
    return Task(
        user_idx=np.array([0, 1], np.int32),
        as_of=np.zeros(2, np.int64),
        seed=np.array(seeds, np.int32),
        relevant=relevant,
        hour=np.array(hours, np.int8),
    )


def test_accuracy_by_hand() -> None:
    """The only hit is at the second position of the first list."""
    found = measures.accuracy(EXPERIMENT, task(), LISTS)
    assert found["recall@10"].tolist() == [0.5, 0]
    assert found["precision@10"].tolist() == [0.1, 0]
    assert found["hit_rate@10"].tolist() == [1, 0]
    ndcg = (1 / np.log2(3)) / (1 + 1 / np.log2(3))
    assert found["ndcg@10"].tolist() == pytest.approx([ndcg, 0])
    assert found["map@10"].tolist() == [0.25, 0]


def test_exposure_has_values_of_the_lists_alone() -> None:
    """Items 0 and 1 make the head."""
    found = measures.accuracy_and_exposure(EXPERIMENT, task(), LISTS)
    assert found["head_share@20"].tolist() == pytest.approx([2 / 3, 0])
    assert found["long_tail_recall@20"].tolist() == [0, 0]
    assert found.keys() > measures.accuracy(EXPERIMENT, task(), LISTS).keys()


def test_recall_by_hour_covers_each_query_once() -> None:
    found = measures.accuracy_by_hour(EXPERIMENT, task(), LISTS)
    by_hour = np.column_stack([value for name, value in found.items() if name.startswith("recall@10_")])
    assert (~np.isnan(by_hour)).sum(axis=1).tolist() == [1, 1]
    assert np.nansum(by_hour, axis=1).tolist() == found["recall@10"].tolist()


def test_completion_counts_seeds_of_the_tail_apart() -> None:
    found = measures.completion(EXPERIMENT, task(), LISTS)
    assert found["hit_rate@10"].tolist() == [1, 0]
    np.testing.assert_array_equal(found["tail_hit_rate@10"], [np.nan, 0])


def test_completion_by_other_types_has_names_of_its_own() -> None:
    plain, other = (
        measure(EXPERIMENT, task(), LISTS) for measure in (measures.completion, measures.completion_by_other_types)
    )
    assert not plain.keys() & other.keys()
    for one, two in zip(plain.values(), other.values(), strict=False):
        np.testing.assert_array_equal(one, two)


def test_rare_items_of_other_types_are_found() -> None:
    """The only hit of the first list belongs to the head; its other relevant item, of the tail, is not listed."""
    rare = np.full(N_ITEMS, 0.1)
    rare[4] = 0.01
    experiment = cast(Any, SimpleNamespace(engine=tiny_engine(), past=SimpleNamespace(basket_share=rare)))
    found = measures.completion_by_other_types(experiment, task(), LISTS)
    assert found["ips_recall@10"].tolist() == pytest.approx([10 / 110, 0])
    assert found["tail_target_hit_rate@10"].tolist() == [0, 0]


def test_exposure_among_best_sellers_is_that_of_the_first_places() -> None:
    lists = np.array([[0, 1, 2, 3, 4, 5], [5, 0, 2, 3, 1, 4], [5, 4, -1, -1, -1, -1]], np.int32)
    found = measures.exposure_among_best_sellers(lists, N_ITEMS)
    assert found == {"best_seller_exposure@5": pytest.approx(2 / 3), "best_seller_coverage@5": 6}
