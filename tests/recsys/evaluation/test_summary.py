from __future__ import annotations

import numpy as np
import pytest

from recsys.core.metrics import bootstrap
from recsys.evaluation.experiment import QuestionResults
from recsys.evaluation.summary import summarize


@pytest.fixture
def judged() -> QuestionResults:
    """`mine` finds a tenth more than `good` at every query; `bad` finds next to nothing."""
    good = np.random.default_rng(0).uniform(0.2, 0.8, 300)
    values = {
        "mine": {"recall@10": 1.1 * good, "rare": np.full(300, np.nan)},
        "good": {"recall@10": good},
        "bad": {"recall@10": 0.1 * good},
    }
    is_short = np.arange(300) < 100
    segments = {"history": {"short": is_short, "long": ~is_short}}
    totals = {"mine": {"coverage@20": 7.0}}
    return QuestionResults(("mine",), "recall@10", values, totals=totals, segments=segments)


def test_differences_are_paired(judged: QuestionResults) -> None:
    outcome = summarize(judged, np.random.default_rng(0))
    assert outcome.best_baseline() == "good"
    best, other = outcome.comparisons
    assert (best.baseline, best.is_best, other.baseline, other.is_best) == ("good", True, "bad", False)
    # every draw holds the same ratio, however much the means themselves vary
    assert (best.relative.value, best.relative.low, best.relative.high) == pytest.approx((0.1, 0.1, 0.1))
    good = judged.values["good"]["recall@10"]
    assert best.difference.value == pytest.approx(0.1 * good.mean())
    assert best.difference.low < best.difference.value < best.difference.high


def test_intervals_are_those_of_a_plain_bootstrap(judged: QuestionResults) -> None:
    found = summarize(judged, np.random.default_rng(0)).metrics["good"]["recall@10"]
    plain = bootstrap(judged.values["good"]["recall@10"], np.random.default_rng(1))
    assert (found.value, found.low, found.high) == pytest.approx((plain.value, plain.low, plain.high), abs=2e-3)


def test_totals_are_points_and_empty_metrics_are_left_out(judged: QuestionResults) -> None:
    mine = summarize(judged, np.random.default_rng(0)).metrics["mine"]
    assert mine.keys() == {"recall@10", "coverage@20"}
    assert (mine["coverage@20"].low, mine["coverage@20"].value, mine["coverage@20"].high) == (7, 7, 7)


def test_segments_are_means_of_their_own_queries(judged: QuestionResults) -> None:
    outcome = summarize(judged, np.random.default_rng(0))
    found = {(row.method, row.name): row for row in outcome.segments}
    good = judged.values["good"]["recall@10"]
    assert found["good", "short"].interval.value == pytest.approx(good[:100].mean())
    assert found["good", "long"].interval.value == pytest.approx(good[100:].mean())
    assert (found["good", "short"].n_queries, found["mine", "long"].n_queries) == (100, 200)
