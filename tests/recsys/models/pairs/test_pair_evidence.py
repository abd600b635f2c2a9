"""The blend of baskets, users and content, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from recsys.models.pairs.basket_pairs import PairCounts
from recsys.models.pairs.pair_evidence import PairEvidence, weigh_alike
from recsys.models.pairs.related_items import BY_USER_ONLY

PRIOR = np.array([0.0, 0.1, 0.2, 0.4])
FIRST = np.array([0])
SHORTLIST = np.array([0, 3], np.int32)


def counts(row: list[float], own: float) -> PairCounts:
    """Pairs of item 0."""
    weight = sparse.csr_matrix(np.array([row, *[[0.0] * 4] * 3], np.float32))
    count = weight.copy().astype(np.int32)
    share = np.full(4, 0.5)
    return PairCounts(weight, count, np.array([own, 0, 0, 0]), np.ones(4, np.int32), 10, share, 1.0)


def test_baskets_lie_on_users_and_users_on_the_prior() -> None:
    evidence = PairEvidence(counts([0, 2, 0, 0], 4), counts([0, 1, 3, 0], 6), by_basket=True, shrinkage=2.0)
    found = evidence.score(FIRST, PRIOR.__getitem__, SHORTLIST)
    assert found.rows.tolist() == [1, 2, 3], "never the item itself"
    by_user = [(1 + 2 * 0.1) / 8, (3 + 2 * 0.2) / 8, 2 * 0.4 / 8]
    expected = [(2 + 2 * by_user[0]) / 6, 2 * by_user[1] / 6, 2 * by_user[2] / 6]
    assert found.probability.tolist() == pytest.approx(expected)
    assert found.n_together.tolist() == [2, BY_USER_ONLY, 0]
    assert [share.tolist() for share in found.shares] == [pytest.approx(x) for x in ([2 / 4, 0, 0], [1 / 6, 3 / 6, 0])]


def test_users_are_counted_where_baskets_are_not() -> None:
    evidence = PairEvidence(counts([0, 2, 0, 0], 4), counts([0, 1, 3, 0], 6), by_basket=False, shrinkage=2.0)
    assert evidence.score(FIRST, PRIOR.__getitem__, SHORTLIST).n_together.tolist() == [1, 3, 0]


def test_without_evidence_the_prior_is_left() -> None:
    nothing = counts([0, 0, 0, 0], 0)
    evidence = PairEvidence(nothing, nothing, by_basket=True, shrinkage=2.0)
    found = evidence.score(np.array([0, 3]), PRIOR.__getitem__, SHORTLIST)
    assert (found.starts.tolist(), found.rows.tolist()) == ([0, 1, 2], [3, 0])
    assert found.probability.tolist() == pytest.approx([0.4, 0.0])


def test_what_is_alike_is_expected_more() -> None:
    """Item 2 is twice as similar as item 1: eight times the weight, of the two thirds of an item that go with one."""
    users = counts([0, 1, 3, 0], 6)
    alike = weigh_alike(
        users, np.full(4, 0.5), lambda one, other: np.where(other == 2, 0.8, 0.4).astype(np.float32), 0.5
    )
    assert alike.probability.tolist() == pytest.approx([4 / 6 / 9, 4 / 6 * 8 / 9])
    evidence = PairEvidence(counts([0, 0, 0, 0], 0), users, by_basket=False, shrinkage=2.0, alike=alike)
    score = evidence.score(FIRST, PRIOR.__getitem__, SHORTLIST).probability
    expected = [0.5 * 0.1 + 0.5 * 4 / 6 / 9, 0.5 * 0.2 + 0.5 * 4 / 6 * 8 / 9, 0.5 * 0.4]
    assert score.tolist() == pytest.approx([(k + 2 * e) / 8 for k, e in zip([1, 3, 0], expected, strict=True)])
