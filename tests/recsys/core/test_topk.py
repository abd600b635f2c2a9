from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recsys.core.topk import is_among, top_k

scores = hnp.arrays(np.float64, st.integers(0, 40), elements=st.sampled_from([-2.0, -0.5, 0.0, 1.0, 1.5, 7.0]))


@pytest.mark.parametrize(
    ("k", "expected"), [(0, []), (-1, []), (1, [1]), (2, [1, 2]), (3, [1, 2, 4]), (9, [1, 2, 4, 3, 0])]
)
def test_best_first_and_ties_by_index(k: int, expected: list[int]) -> None:
    assert top_k(np.array([0.0, 3.0, 3.0, 1.0, 2.0]), k).tolist() == expected


def test_ties_go_by_the_given_order() -> None:
    assert top_k(np.array([5.0, 5.0, 5.0]), 2, np.array([30, 10, 20])).tolist() == [1, 2]


@given(scores, st.integers(0, 45), st.randoms(use_true_random=False))
def test_equals_the_head_of_a_full_sort(score: np.ndarray, k: int, random: object) -> None:
    tie = np.arange(len(score))
    random.shuffle(tie)  # type: ignore[attr-defined]
    before = score.copy()
    full = sorted(range(len(score)), key=lambda place: (-score[place], tie[place]))
    assert top_k(score, k, tie).tolist() == full[:k]
    assert (score == before).all()


@given(scores, st.integers(0, 20), st.integers(0, 20))
def test_a_longer_list_extends_a_shorter_one(score: np.ndarray, k: int, more: int) -> None:
    assert top_k(score, k + more).tolist()[:k] == top_k(score, k).tolist()


def test_infinite_scores_are_scores() -> None:
    assert top_k(np.array([-np.inf, 1.0, np.inf]), 3).tolist() == [2, 1, 0]


rows_of_items = hnp.arrays(np.int32, st.integers(0, 30), elements=st.integers(0, 19))
sets_of_rows = st.sets(st.integers(0, 19)).map(lambda rows: np.array(sorted(rows), np.int32))


@given(rows_of_items, sets_of_rows)
def test_membership_equals_that_of_a_search(rows: np.ndarray, ascending: np.ndarray) -> None:
    assert is_among(rows, ascending).tolist() == [row in ascending for row in rows.tolist()]
