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
    """An item without buyers counts as half a buyer."""
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


def test_the_bootstrap_is_as_wide_as_in_theory() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(3, 2, 2000)
    found = metrics.bootstrap(np.append(values, np.nan), rng, 4000)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found.value == pytest.approx(values.mean())
    assert (found.value - found.low, found.high - found.value) == pytest.approx((half, half), rel=0.1)


def test_the_queries_of_a_user_are_drawn_together() -> None:
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


def test_without_values_the_interval_is_nan() -> None:
    found = metrics.bootstrap(np.array([np.nan]), np.random.default_rng(0))
    assert np.isnan([found.value, found.low, found.high]).all()
    assert np.isnan(metrics.resampled_means(np.empty((0, 2)), np.random.default_rng(0))).all()


# By hand: of six items, the first list holds two of three relevant ones, the second is short and holds none, the third
# is empty, and to the fourth nothing is relevant.
BY_HAND = np.array([[3, 1, 0], [2, 5, -1], [-1, -1, -1], [4, 0, 3]], np.int32)
RELEVANT = sparse.csr_matrix(
    np.array([[1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]], np.float32)
)
SECOND, THIRD = 1 / np.log2(3), 1 / 2
TAIL = np.array([False, True, False, True, True, False])


def values(found: Values) -> object:
    return pytest.approx(found, abs=TOLERANCE, nan_ok=True)


def test_hits_by_hand() -> None:
    found = metrics.find_hits(BY_HAND, RELEVANT)
    assert found.dtype == np.bool_
    assert found.tolist() == [[False, True, True], *[[False] * 3] * 3]
    assert metrics.find_hits(BY_HAND[2:3], RELEVANT[2:3]).tolist() == [[False] * 3]


@pytest.mark.parametrize(
    ("metric", "k", "expected"),
    [
        (metrics.recall_at_k, 3, [2 / 3, 0, 0, 0]),
        (metrics.recall_at_k, 2, [1 / 3, 0, 0, 0]),
        (metrics.precision_at_k, 2, [1 / 2, 0, 0, 0]),
        (metrics.precision_at_k, 8, [2 / 8, 0, 0, 0]),
        (metrics.hit_rate_at_k, 1, [0, 0, 0, 0]),
        (metrics.hit_rate_at_k, 2, [1, 0, 0, 0]),
        (metrics.ndcg_at_k, 2, [SECOND / (1 + SECOND), 0, 0, 0]),
        (metrics.ndcg_at_k, 8, [(SECOND + THIRD) / (1 + SECOND + THIRD), 0, 0, 0]),
        (metrics.average_precision_at_k, 2, [1 / 2 / 2, 0, 0, 0]),
        (metrics.average_precision_at_k, 8, [(1 / 2 + 2 / 3) / 3, 0, 0, 0]),
    ],
)
def test_accuracy_by_hand(
    metric: Callable[[Lists, sparse.csr_matrix, int], Values], k: int, expected: list[float]
) -> None:
    found = metric(BY_HAND, RELEVANT, k)
    assert found.dtype == np.float64
    assert found.tolist() == values(expected)


EIGHT_TO_TWENTY = np.array([8, 4, 2, 1, 0, 20], np.int32)
"""Buyers of each item; of eight users, 0, 1, 2, 3, 4 and no less than 0 bits."""


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (lambda: metrics.long_tail_recall_at_k(BY_HAND, RELEVANT, 3, TAIL), [1, np.nan, np.nan, np.nan]),
        (lambda: metrics.long_tail_recall_at_k(BY_HAND, RELEVANT, 1, TAIL), [0, np.nan, np.nan, np.nan]),
        (lambda: metrics.head_share_at_k(BY_HAND, 3, TAIL), [1 / 3, 1, np.nan, 1 / 3]),
        (lambda: metrics.head_share_at_k(BY_HAND, 2, TAIL), [0, 1, np.nan, 1 / 2]),
        (lambda: metrics.novelty_at_k(BY_HAND, 3, EIGHT_TO_TWENTY, 8), [4 / 3, 1, np.nan, 7 / 3]),
        (lambda: metrics.novelty_at_k(BY_HAND, 1, EIGHT_TO_TWENTY, 8), [3, 2, np.nan, 4]),
        (lambda: metrics.novelty_at_k(BY_HAND, 3, np.zeros(6, np.int32), 0), [1, 1, np.nan, 1]),
    ],
)
def test_exposure_by_hand(measure: Callable[[], Values], expected: list[float]) -> None:
    assert measure().tolist() == values(expected)


def test_diversity_by_hand() -> None:
    """Items 0, 1 and 4 point one way, 2 and 5 another, 3 between them; one item alone has no pair."""
    embedding = np.array([[1, 0], [1, 0], [0, 1], [0.6, 0.8], [1, 0], [0, 1]], np.float32)
    pairs = [(0.4 + 0.4 + 0) / 3, 0, np.nan, (0 + 0.4 + 0.4) / 3]
    assert metrics.diversity_at_k(BY_HAND, 3, embedding).tolist() == values(pairs)
    assert metrics.diversity_at_k(BY_HAND, 2, embedding).tolist() == values([0.4, 0, np.nan, 0])
    assert metrics.diversity_at_k(BY_HAND[:, 1:], 2, embedding).tolist() == values([0, np.nan, np.nan, 0.4])


def test_coverage_and_gini_by_hand() -> None:
    """Item 0 and 3 are shown twice, 1, 2, 4 and 5 once; of the first places, three items once and three never."""
    assert metrics.coverage_at_k(BY_HAND, 3) == 6
    assert metrics.coverage_at_k(BY_HAND, 1) == 3
    assert metrics.coverage_at_k(BY_HAND[:1], 3) == 3
    assert metrics.coverage_at_k(BY_HAND[2:3], 3) == 0
    assert metrics.exposure_gini_at_k(BY_HAND, 3, 6) == pytest.approx((-5 - 3 - 1 + 1 + 2 * 3 + 2 * 5) / (6 * 8))
    assert metrics.exposure_gini_at_k(BY_HAND, 1, 6) == pytest.approx((1 + 3 + 5) / (6 * 3))
    assert metrics.exposure_gini_at_k(BY_HAND, 1, 8) == pytest.approx((3 + 5 + 7) / (8 * 3))
    assert metrics.exposure_gini_at_k(BY_HAND[2:3], 3, 6) == 0


def test_a_rare_item_counts_more_than_a_common_one() -> None:
    """Items 0, 1 and 2 are relevant to the first list, in 1/2, 1/10 and none of the baskets."""
    share = np.array([0.5, 0.1, 0, 0.2, 0.2, 0.2])
    assert metrics.ips_recall_at_k(BY_HAND, RELEVANT, 3, share).tolist() == values([1, 0, 0, np.nan])
    assert metrics.ips_recall_at_k(BY_HAND, RELEVANT, 2, share).tolist() == values([10 / 12, 0, 0, np.nan])
    assert np.isnan(metrics.ips_recall_at_k(BY_HAND[:1], RELEVANT[:1], 3, np.zeros(6))).all()


def test_weighted_by_equal_shares_it_is_recall() -> None:
    equal = metrics.ips_recall_at_k(BY_HAND, RELEVANT, 2, np.full(6, 0.3))
    assert equal[:3].tolist() == values(metrics.recall_at_k(BY_HAND, RELEVANT, 2)[:3])


def test_hits_of_the_tail_by_hand() -> None:
    """Of the items relevant to the first list, only item 1 belongs to the tail; to the others, none does."""
    assert metrics.tail_hit_rate_at_k(BY_HAND, RELEVANT, 2, TAIL).tolist() == values([1, *[np.nan] * 3])
    assert metrics.tail_hit_rate_at_k(BY_HAND, RELEVANT, 1, TAIL).tolist() == values([0, *[np.nan] * 3])


def test_the_largest_exposure_by_hand() -> None:
    """Items 0 and 3 are in two of four lists, and no item twice in the first places."""
    assert metrics.largest_exposure_at_k(BY_HAND, 3, 6) == 0.5
    assert metrics.largest_exposure_at_k(BY_HAND, 1, 6) == 0.25
    assert metrics.largest_exposure_at_k(BY_HAND[:0], 3, 6) == 0


def test_auc_by_hand() -> None:
    """Of six pairs four are right and one is even."""
    assert metrics.auc(np.array([3.0, 1.0]), np.array([2.0, 1.0, 0.0])) == pytest.approx(4.5 / 6)
    assert np.isnan(metrics.auc(np.array([1.0]), np.array([])))
    assert np.isnan(metrics.auc(np.array([]), np.array([1.0])))


@pytest.mark.parametrize("unit", [None, [7, 7, 2, 5, 2, 9]])
def test_resampling_is_that_of_a_loop(unit: list[int] | None) -> None:
    """The same draws, one at a time: 120 of them are two full blocks and a part of one."""
    table = np.random.default_rng(0).normal(size=(6, 2))
    table[[0, 3], 1] = np.nan
    labels = np.arange(6) if unit is None else np.unique(unit, return_inverse=True)[1]
    n_units = int(labels.max()) + 1
    found = metrics.resampled_means(
        table, np.random.default_rng(1), None if unit is None else np.array(unit), n_resamples=120
    )
    rng, expected = np.random.default_rng(1), []
    for n_draws in (50, 50, 20):
        for drawn in rng.integers(n_units, size=(n_draws, n_units)):
            rows = np.concatenate([table[labels == each] for each in drawn])
            with_value = ~np.isnan(rows)
            total = np.where(with_value, rows, 0).sum(axis=0)
            n = with_value.sum(axis=0)
            expected.append(np.where(n > 0, total / np.maximum(n, 1), np.nan))
    assert found.shape == (120, 2)
    np.testing.assert_allclose(found, expected)


def test_a_draw_without_a_value_is_nan() -> None:
    means = metrics.resampled_means(np.array([[1.0], [np.nan]]), np.random.default_rng(0), n_resamples=60)
    assert set(np.nan_to_num(means.ravel(), nan=-1).tolist()) == {1.0, -1.0}
    assert metrics.resampled_means(np.ones((2, 1)), np.random.default_rng(0)).shape == (metrics.N_RESAMPLES, 1)


def test_an_interval_covers_95_percent() -> None:
    resampled = np.random.default_rng(0).permutation(np.append(np.arange(0.0, 1001.0), [np.nan, np.nan]))
    assert metrics.interval_of(7.0, resampled) == metrics.Interval(7.0, 25.0, 975.0)
    nothing = metrics.interval_of(7.0, np.array([np.nan]))
    assert nothing.value == 7.0
    assert np.isnan([nothing.low, nothing.high]).all()


def test_a_bootstrap_is_the_mean_and_the_interval_of_its_draws() -> None:
    sample = np.random.default_rng(0).normal(size=30)
    found = metrics.bootstrap(np.append(sample, np.nan), np.random.default_rng(1), 200)
    means = metrics.resampled_means(sample[:, None], np.random.default_rng(1), n_resamples=200)[:, 0]
    assert found == metrics.interval_of(float(sample.mean()), means)
    one = metrics.bootstrap(sample[:1], np.random.default_rng(1))
    assert (one.value, one.low, one.high) == (sample[0], sample[0], sample[0])
