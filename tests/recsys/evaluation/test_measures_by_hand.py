"""The metrics of each kind of question, by hand, on the queries of `test_experiment_by_hand`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.core import metrics
from recsys.core.metrics import Values
from recsys.evaluation.experiment import by_hour
from recsys.evaluation.measures import accuracy, accuracy_and_exposure, accuracy_by_hour, completion
from recsys.evaluation.measures import completion_by_other_types as completion_by_types
from tests.recsys.evaluation.test_experiment_by_hand import ENGINE, EXPERIMENT, LISTS, TASK, task_of

TOLERANCE = 1e-6


def close(values: Values) -> object:
    return pytest.approx(values, abs=TOLERANCE, nan_ok=True)


def test_accuracy_is_the_metrics_at_ten_and_twenty() -> None:
    found = accuracy(EXPERIMENT, TASK, LISTS)
    assert found.keys() == {
        *(f"{m}@{k}" for m in ("recall", "ndcg", "hit_rate") for k in (10, 20)),
        "precision@10",
        "map@10",
    }
    assert found["precision@10"].tolist() == close([0.1, 0, 0.1])
    assert found["map@10"].tolist() == close([0.5, 0, 1])
    assert found["ndcg@20"].tolist() == close([1 / (1 + 1 / np.log2(3)), 0, 1])
    wide = np.full((1, 20), -1, np.int32)
    wide[0, 15] = 3
    asked = task_of((0, -1, 9, [3]))
    at_the_end = accuracy(EXPERIMENT, asked, wide)
    assert (at_the_end["hit_rate@10"][0], at_the_end["hit_rate@20"][0]) == (0, 1)
    assert (at_the_end["recall@10"][0], at_the_end["recall@20"][0]) == (0, 1)


def test_exposure_is_that_of_the_engine_s_head_and_sales() -> None:
    """Items 0 and 1 are the head; of as many users, eight bought item 3 and none item 6."""
    engine = replace(ENGINE, users_table=ENGINE.users_table.clear(32))
    found = accuracy_and_exposure(replace(EXPERIMENT, engine=engine), TASK, LISTS)
    assert found["head_share@20"].tolist() == close([0.5, 0.5, 0])
    assert found["long_tail_recall@20"].tolist() == close([1, np.nan, 1])
    assert found["novelty@20"].tolist() == close([(2 - np.log2(30 / 32)) / 2, (1 - np.log2(20 / 32)) / 2, 5])
    expected = metrics.diversity_at_k(LISTS, 20, ENGINE.content.embedding)
    assert found["diversity@20"].tolist() == close(expected.tolist())


def test_parts_of_the_day_have_their_own_queries() -> None:
    assert [name for name, _ in by_hour(ENGINE, TASK)] == ["00-11h", "12-23h"]
    found = accuracy_by_hour(EXPERIMENT, TASK, LISTS)
    assert found["recall@10_00-11h"].tolist() == close([0.5, np.nan, np.nan])
    assert found["recall@10_12-23h"].tolist() == close([np.nan, 0, np.nan])


def test_completion_tells_seeds_of_the_tail_apart() -> None:
    found = completion(EXPERIMENT, TASK, LISTS)
    assert found["hit_rate@10"].tolist() == [1, 0, 1]
    assert found["tail_hit_rate@10"].tolist() == close([1, np.nan, 1])
    by_types = completion_by_types(EXPERIMENT, TASK, LISTS)
    assert by_types.keys() == {
        *("acc_hit_rate@10", "acc_ndcg@10", "tail_acc_hit_rate@10"),
        *("ips_recall@10", "tail_target_hit_rate@10"),
    }
    assert by_types["acc_ndcg@10"].tolist() == found["ndcg@10"].tolist()


def test_lists_of_nothing_are_no_hits() -> None:
    empty = np.full((3, 2), -1, np.int32)
    assert accuracy(EXPERIMENT, TASK, empty)["hit_rate@20"].tolist() == [0, 0, 0]
