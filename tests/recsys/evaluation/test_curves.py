from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from recsys.core import metrics
from recsys.core.placements import PLACEMENTS
from recsys.data.dataset import Dataset
from recsys.evaluation import curves, tasks
from recsys.evaluation.curves import calibration_bins, sweep_tail_discount
from recsys.evaluation.experiment import N_LISTED, Experiment, QuestionResults
from recsys.evaluation.methods import served_lists, served_rankings
from recsys.evaluation.protocols import PROTOCOLS
from recsys.evaluation.splits import find_window
from tests.shop import small_config


@pytest.fixture(scope="module")
def experiment(shop_dataset: Dataset) -> Experiment:
    return Experiment.cut(shop_dataset, find_window(shop_dataset, "report", 28), small_config())


@pytest.fixture(scope="module")
def judged(experiment: Experiment) -> QuestionResults:
    (found,) = PROTOCOLS["discovery"](experiment)
    return found


def test_the_served_setting_has_the_values_of_the_protocol(experiment: Experiment, judged: QuestionResults) -> None:
    """All queries fit into the sample here, so that the figures are the protocol's own."""
    points = sweep_tail_discount(experiment, judged)
    served = [point for point in points if point.is_served]
    assert [point.method for point in served] == ["discover", "long_tail"]
    assert {point.method for point in points} == judged.lists.keys()
    for point in points:
        if point.is_served or point.tail_discount is None:
            values = judged.values[point.method]
            assert point.ndcg.value == pytest.approx(values["ndcg@20"].mean(), abs=1e-12)
            assert point.tail_share.value == pytest.approx(1 - np.nanmean(values["head_share@20"]), abs=1e-12)
            assert point.long_tail_recall.value == pytest.approx(np.nanmean(values["long_tail_recall@20"]), abs=1e-12)
            assert point.coverage == judged.totals[point.method]["coverage@20"]
            assert point.ndcg.low <= point.ndcg.value <= point.ndcg.high


def test_a_higher_discount_lists_more_of_the_tail(experiment: Experiment, judged: QuestionResults) -> None:
    turned = [point for point in sweep_tail_discount(experiment, judged, (0.0, 2.0)) if point.tail_discount is not None]
    assert [point.tail_discount for point in turned] == [0, PLACEMENTS["discover"].tail_discount, 2]
    share = [point.tail_share.value for point in turned]
    assert share == sorted(share)
    assert share[-1] > share[0]


def test_all_methods_answer_the_same_sample(
    experiment: Experiment, judged: QuestionResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "MAX_SWEEP_QUERIES", 7)
    chosen = curves._sample(judged.n_queries, 7)
    assert (np.diff(chosen) > 0).all()
    for point in sweep_tail_discount(experiment, judged):
        if point.is_served:
            assert point.ndcg.value == pytest.approx(judged.values[point.method]["ndcg@20"][chosen].mean(), abs=1e-12)


def test_score_bins_contain_each_listed_item_once(experiment: Experiment) -> None:
    task = tasks.next_basket(experiment.dataset, experiment.window)
    lists = experiment.served(task, "for_you")
    bins = calibration_bins(experiment, task)
    assert len(bins) == curves.N_SCORE_BINS
    assert sum(found.n_items for found in bins) == (lists >= 0).sum()
    assert max(found.n_items for found in bins) < 1.1 * min(found.n_items for found in bins) + 10
    hits = sum(found.n_items * found.precision.value for found in bins)
    assert hits == pytest.approx(metrics.find_hits(lists, task.relevant).sum())
    for lower, upper in pairwise(bins):
        assert lower.low <= lower.high < upper.low <= upper.high
    for found in bins:
        assert 0 <= found.precision.low <= found.precision.value <= found.precision.high <= 1
    assert bins[-1].precision.low > bins[0].precision.high, "a shop of habits has scores that say something"


def test_fallback_lists_and_empty_tasks_have_no_score_bins(experiment: Experiment) -> None:
    """Strangers get the fallback, whose scores are another matter."""
    task = tasks.next_basket(experiment.dataset, experiment.window)
    nobody = replace(task, user_idx=np.full(len(task), tasks.ANONYMOUS, np.int32))
    assert calibration_bins(experiment, nobody) == []
    assert calibration_bins(experiment, task.take(np.arange(0))) == []


def test_a_placement_may_be_given_as_a_definition(experiment: Experiment) -> None:
    task = tasks.next_basket(experiment.dataset, experiment.window)
    by_name = served_lists(experiment.engine, task, "discover", N_LISTED)
    np.testing.assert_array_equal(by_name, served_lists(experiment.engine, task, PLACEMENTS["discover"], N_LISTED))
    again = [found.item_idx for found in served_rankings(experiment.engine, task, "discover", N_LISTED)]
    np.testing.assert_array_equal(by_name[by_name >= 0], np.concatenate(again))
