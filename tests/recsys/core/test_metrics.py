"""Every metric against an independent implementation: `pytrec_eval` where it has one, else the definition in loops."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, product

import numpy as np
import numpy.typing as npt
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from recsys.core import metrics
from recsys.core.metrics import Lists, Values

N_ITEMS = 12
TOLERANCE = 1e-6  # the issue's; both sides are float64
CUTS = (1, 3, 5, 8)

Case = tuple[Lists, sparse.csr_matrix]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Lists of distinct items, short ones and empty ones among them, and at least one relevant item a query."""
    queries = st.tuples(
        st.lists(st.integers(0, N_ITEMS - 1), unique=True, max_size=8),
        st.sets(st.integers(0, N_ITEMS - 1), min_size=1),
    )
    drawn = draw(st.lists(queries, min_size=1, max_size=6))
    lists = np.full((len(drawn), 8), -1, np.int32)
    relevant = np.zeros((len(drawn), N_ITEMS), np.float32)
    for row, (listed, taken) in enumerate(drawn):
        lists[row, : len(listed)] = listed
        relevant[row, list(taken)] = 1
    return lists, sparse.csr_matrix(relevant)


def by_trec(case: Case, measure: str, k: int) -> Values:
    lists, relevant = case
    taken = {f"q{row}": {f"i{item}": 1 for item in relevant[row].indices} for row in range(len(lists))}
    run = {
        f"q{row}": {f"i{item}": 100.0 - place for place, item in enumerate(listed.tolist()) if item >= 0}
        for row, listed in enumerate(lists)
    }
    found = pytrec_eval.RelevanceEvaluator(taken, {f"{measure}.{k}"}).evaluate(run)
    return np.array([found.get(query, {}).get(f"{measure}_{k}", 0.0) for query in taken])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (metrics.recall_at_k, "recall"),
        (metrics.precision_at_k, "P"),
        (metrics.hit_rate_at_k, "success"),
        (metrics.ndcg_at_k, "ndcg_cut"),
    ],
)
@given(case=cases(), k=st.sampled_from(CUTS))
def test_accuracy_is_trec_evals(
    ours: Callable[[Lists, sparse.csr_matrix, int], Values], theirs: str, case: Case, k: int
) -> None:
    np.testing.assert_allclose(ours(*case, k), by_trec(case, theirs, k), atol=TOLERANCE)


@given(cases(), st.sampled_from(CUTS))
def test_average_precision_is_trec_evals_but_for_the_denominator(case: Case, k: int) -> None:
    """`trec_eval` divides by all relevant items, so that a short list can never reach 1."""
    n_relevant = np.diff(case[1].indptr)
    theirs = by_trec(case, "map_cut", k) * n_relevant / np.minimum(n_relevant, k)
    np.testing.assert_allclose(metrics.average_precision_at_k(*case, k), theirs, atol=TOLERANCE)


def test_ndcg_by_hand() -> None:
    lists = np.array([[3, 1, 0]], np.int32)
    relevant = sparse.csr_matrix(np.array([[1, 1, 1, 0, 1]], np.float32))
    gain, ideal = 1 / np.log2(3) + 1 / 2, 1 + 1 / np.log2(3) + 1 / 2
    assert metrics.ndcg_at_k(lists, relevant, 3)[0] == pytest.approx(gain / ideal)


@given(cases(), st.lists(st.booleans(), min_size=N_ITEMS, max_size=N_ITEMS), st.sampled_from(CUTS))
def test_tail_and_head_by_definition(case: Case, tail: list[bool], k: int) -> None:
    lists, relevant = case
    is_tail = np.array(tail)
    recall = metrics.long_tail_recall_at_k(lists, relevant, k, is_tail)
    share = metrics.head_share_at_k(lists, k, is_tail)
    for row, listed in enumerate(lists):
        shown = {item for item in listed[:k].tolist() if item >= 0}
        wanted = {item for item in relevant[row].indices.tolist() if tail[item]}
        expected = len(shown & wanted) / len(wanted) if wanted else np.nan
        assert recall[row] == pytest.approx(expected, abs=TOLERANCE, nan_ok=True)
        expected = sum(not tail[item] for item in shown) / len(shown) if shown else np.nan
        assert share[row] == pytest.approx(expected, abs=TOLERANCE, nan_ok=True)


@given(cases(), st.lists(st.integers(0, 9), min_size=N_ITEMS, max_size=N_ITEMS), st.sampled_from(CUTS))
def test_novelty_by_definition(case: Case, buyers: list[int], k: int) -> None:
    """An item that nobody bought counts as half a buyer."""
    lists = case[0]
    novelty = metrics.novelty_at_k(lists, k, np.array(buyers, np.int32), 9)
    for row, listed in enumerate(lists):
        told = [-np.log2(max(buyers[item], 0.5) / 9) for item in listed[:k].tolist() if item >= 0]
        assert novelty[row] == pytest.approx(np.mean(told) if told else np.nan, abs=TOLERANCE, nan_ok=True)


@given(cases(), st.integers(0, 99), st.sampled_from(CUTS))
def test_diversity_by_definition(case: Case, seed: int, k: int) -> None:
    embedding = np.random.default_rng(seed).normal(size=(N_ITEMS, 4))
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    embedding[0] = 0
    diversity = metrics.diversity_at_k(case[0], k, embedding.astype(np.float32))
    for row, listed in enumerate(case[0]):
        shown = [item for item in listed[:k].tolist() if item >= 0]
        pairs = [1 - embedding[one] @ embedding[other] for one, other in combinations(shown, 2)]
        # the vectors are float32, so that sums of eight products differ in the seventh digit
        assert diversity[row] == pytest.approx(np.mean(pairs) if pairs else np.nan, abs=2e-6, nan_ok=True)


@given(cases(), st.sampled_from(CUTS))
def test_coverage_and_gini_by_definition(case: Case, k: int) -> None:
    lists = case[0]
    shown = [item for item in lists[:, :k].ravel().tolist() if item >= 0]
    counts = np.bincount(shown, minlength=N_ITEMS) if shown else np.zeros(N_ITEMS, np.int64)
    apart = sum(abs(int(one) - int(other)) for one, other in product(counts, counts))
    expected = apart / (2 * N_ITEMS * counts.sum()) if shown else 0.0
    assert metrics.coverage_at_k(lists, k) == len(set(shown))
    assert metrics.exposure_gini_at_k(lists, k, N_ITEMS) == pytest.approx(expected, abs=TOLERANCE)


@given(st.lists(st.integers(0, 5), max_size=8), st.lists(st.integers(0, 5), max_size=8))
def test_auc_by_definition(positive: list[int], negative: list[int]) -> None:
    pairs = [(one > other) + (one == other) / 2 for one, other in product(positive, negative)]
    found = metrics.auc(np.array(positive, float), np.array(negative, float))
    assert found == pytest.approx(np.mean(pairs) if pairs else np.nan, abs=TOLERANCE, nan_ok=True)


@given(cases(), st.lists(st.booleans(), min_size=N_ITEMS, max_size=N_ITEMS))
def test_metrics_are_shares_and_recall_and_hits_grow_with_k(case: Case, tail: list[bool]) -> None:
    lists, relevant = case
    is_tail = np.array(tail)
    previous = np.zeros((2, len(lists)))
    for k in CUTS:
        growing = np.array([metrics.recall_at_k(*case, k), metrics.hit_rate_at_k(*case, k)])
        assert (growing >= previous).all()
        previous = growing
        others = [
            metrics.precision_at_k(*case, k),
            metrics.ndcg_at_k(*case, k),
            metrics.average_precision_at_k(*case, k),
            np.nan_to_num(metrics.long_tail_recall_at_k(lists, relevant, k, is_tail)),
            np.nan_to_num(metrics.head_share_at_k(lists, k, is_tail)),
            np.array([metrics.exposure_gini_at_k(lists, k, N_ITEMS)]),
        ]
        for values in (growing.ravel(), *others):
            assert ((values >= 0) & (values <= 1 + 1e-12)).all()


def test_an_ideal_list_scores_one() -> None:
    lists, relevant = np.array([[4, 2, -1]], np.int32), sparse.csr_matrix(([1.0, 1.0], ([0, 0], [2, 4])), shape=(1, 6))
    for metric in (metrics.recall_at_k, metrics.ndcg_at_k, metrics.average_precision_at_k, metrics.hit_rate_at_k):
        assert metric(lists, relevant, 3)[0] == 1


def test_no_queries_give_no_values() -> None:
    lists, relevant = np.empty((0, 3), np.int32), sparse.csr_matrix((0, 6), dtype=np.float32)
    for metric in (metrics.recall_at_k, metrics.ndcg_at_k, metrics.average_precision_at_k, metrics.precision_at_k):
        assert metric(lists, relevant, 3).shape == (0,)


def test_the_bootstrap_is_as_wide_as_theory_says() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(3, 2, 2000)
    found = metrics.bootstrap(np.append(values, np.nan), rng, 4000)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found.value == pytest.approx(values.mean())
    assert (found.value - found.low, found.high - found.value) == pytest.approx((half, half), rel=0.1)


def test_a_shoppers_queries_are_drawn_together() -> None:
    """Ten copies of every query tell nothing new: the interval stays as wide as that of one copy."""
    values = np.random.default_rng(1).normal(size=(150, 1))
    once = metrics.resampled_means(values, np.random.default_rng(2))
    unit = np.repeat(np.arange(150), 10)
    copies = metrics.resampled_means(values[unit], np.random.default_rng(2), unit)
    np.testing.assert_allclose(copies, once)
    alone = metrics.resampled_means(values[unit], np.random.default_rng(2))
    assert alone.std() < 0.5 * once.std()


def test_columns_are_resampled_in_pairs_and_gaps_are_left_out() -> None:
    values = np.random.default_rng(3).normal(size=(60, 1))
    with_gap: npt.NDArray[np.float64] = np.where(np.arange(60)[:, None] < 30, np.nan, 7.0)
    means = metrics.resampled_means(np.hstack([values, values + 1, with_gap]), np.random.default_rng(4))
    np.testing.assert_allclose(means[:, 1] - means[:, 0], 1)
    np.testing.assert_allclose(means[:, 2], 7)


def test_nothing_to_draw_from_is_no_interval() -> None:
    found = metrics.bootstrap(np.array([np.nan]), np.random.default_rng(0))
    assert np.isnan([found.value, found.low, found.high]).all()
    assert np.isnan(metrics.resampled_means(np.empty((0, 2)), np.random.default_rng(0))).all()
