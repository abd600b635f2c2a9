from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from recsys.core.schema import ITEMS
from recsys.data.catalog import read_catalog
from recsys.models.pairs.backoff import fit_backoff
from tests.recsys.small_shops import CATALOG
from tests.shop import table

SMALL = read_catalog(table(CATALOG, ITEMS))
S2, S3 = 4.0, 9.0
EVERY_ITEM = np.arange(6)
TYPE_A, TYPE_B, TYPE_C = (int(SMALL.item_type[row]) for row in (0, 2, 4))


def _pairs(upper: list[float]) -> np.ndarray:
    dense = np.zeros((6, 6))
    dense[np.triu_indices(6, 1)] = upper
    return dense + dense.T


def test_hand_computed_probabilities() -> None:
    """One basket of weight 2 holds a1 and c1: category 食品 is A and B together, C has none of its own."""
    dense = np.zeros((6, 6))
    dense[0, 4] = dense[4, 0] = 2
    weight = np.array([2, 0, 0, 0, 2, 0], np.float64)
    backoff = fit_backoff(sparse.csr_matrix(dense), weight, weight / 10, SMALL, (S2, S3))
    share = 0.2
    in_category = (2 + S3 * share) / (2 + S3)
    assert backoff.given_type(TYPE_A, np.array([4]))[0] == pytest.approx((2 + S2 * in_category) / (2 + S2))
    assert backoff.given_type(TYPE_B, np.array([4]))[0] == pytest.approx(in_category)
    assert backoff.given_type(TYPE_C, np.array([0]))[0] == pytest.approx((2 + S2 * share) / (2 + S2))
    np.testing.assert_allclose(backoff.given_type(-1, EVERY_ITEM), weight / 10)


@given(
    st.lists(st.sampled_from([0.0, 0.5, 2.0]), min_size=15, max_size=15),
    st.lists(st.floats(4, 20), min_size=6, max_size=6),
)
def test_equals_the_formulas_pair_by_pair(upper: list[float], weight: list[float]) -> None:
    dense, weights = _pairs(upper), np.array(weight)
    total = weights.sum() + 1
    backoff = fit_backoff(sparse.csr_matrix(dense), weights, weights / total, SMALL, (S2, S3))
    for type_ in range(len(SMALL.type_names)):
        members = np.flatnonzero(SMALL.item_type == type_)
        category = SMALL.type_category[type_]
        in_category = np.flatnonzero((SMALL.item_category == category) & (category >= 0))
        for item in range(6):
            probability = weights[item] / total
            if category >= 0:
                probability = (dense[in_category, item].sum() + S3 * probability) / (weights[in_category].sum() + S3)
            probability = (dense[members, item].sum() + S2 * probability) / (weights[members].sum() + S2)
            assert backoff.given_type(type_, np.array([item]))[0] == pytest.approx(probability, rel=1e-5)


def test_queries_do_not_change_the_model() -> None:
    backoff = fit_backoff(sparse.csr_matrix(_pairs([1.0] * 15)), np.full(6, 5.0), np.full(6, 5 / 9), SMALL, (S2, S3))
    before = backoff.share.copy()
    first = backoff.given_type(TYPE_A, EVERY_ITEM)
    np.testing.assert_array_equal(first, backoff.given_type(TYPE_A, EVERY_ITEM))
    np.testing.assert_array_equal(backoff.share, before)
