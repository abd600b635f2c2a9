from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.schema import ITEMS
from recsys.data.catalog import read_catalog
from recsys.fitting.engine import Engine
from recsys.models.collaborative.affinity import AffinityConfig, AffinityModel, fit_affinity
from tests.recsys.small_shops import CATALOG
from tests.shop import table

SMALL = read_catalog(table(CATALOG, ITEMS))
SHARE = np.array([0.1, 0.3, 0.0, 0.2, 0.2, 0.2], np.float32)
A, B, C = 0, 2, 4


def _fit(**settings_: int) -> AffinityModel:
    return fit_affinity(SMALL, SHARE, AffinityConfig(**settings_))


def test_hand_computed_scores() -> None:
    """¾ of the weight is on type A, whose second item makes ¾ of its sales; the other ¼ on C, which has one item."""
    rows, score = _fit().score(np.array([A, C, 5], np.int32), np.array([3.0, 1.0, 9.0], np.float32))
    assert dict(zip(rows.tolist(), score.tolist(), strict=True)) == pytest.approx(
        {1: 0.75 * 0.75, 0: 0.75 * 0.25, 4: 0.25}, rel=1e-5
    )


@given(
    st.lists(st.floats(-1, 4, width=16), min_size=6, max_size=6),
    st.lists(st.booleans(), min_size=6, max_size=6),
    st.booleans(),
)
def test_equals_the_formula_item_by_item(weight: list[float], allowed: list[bool], use_allowed: bool) -> None:
    weights, mask = np.array(weight, np.float32), np.array(allowed)
    before = weights.copy()
    rows, score = _fit().score(np.arange(6, dtype=np.int32), weights, mask if use_allowed else None)
    by_type = {
        type_: weights[(SMALL.item_type == type_) & (weights > 0)].astype(np.float64).sum() for type_ in range(3)
    }
    total, found = sum(by_type.values()), dict(zip(rows.tolist(), score.tolist(), strict=True))
    for item in range(6):
        type_ = SMALL.item_type[item]
        offered = type_ >= 0 and by_type[type_] > 0 and not (use_allowed and not allowed[item])
        assert (item in found) == offered
        if offered:
            within = SHARE[item] / max(SHARE[SMALL.item_type == type_].sum(), 1e-12)
            assert found[item] == pytest.approx(by_type[type_] / total * within, rel=1e-4, abs=1e-9)
    assert len(set(rows.tolist())) == len(rows)
    np.testing.assert_array_equal(weights, before)


def test_candidates_are_the_best_sellers_of_the_types_with_the_largest_weight() -> None:
    rows, _ = _fit(items_per_type=1).score(np.array([A, B], np.int32), np.ones(2, np.float32))
    assert sorted(rows.tolist()) == [1, 3]
    rows, _ = _fit(max_types=1).score(np.array([A, B], np.int32), np.array([1.0, 2.0], np.float32))
    assert sorted(rows.tolist()) == [2, 3]


def test_items_of_unknown_type_give_no_candidates() -> None:
    for items, weight in (([], []), ([5], [1.0]), ([A], [-1.0])):
        rows, score = _fit().score(np.array(items, np.int32), np.array(weight, np.float32))
        assert (len(rows), len(score)) == (0, 0)


def test_every_item_of_a_type_is_listed_once_best_seller_first(shop_engine: Engine) -> None:
    model, share = shop_engine.affinity, shop_engine.popularity.share
    for type_ in range(len(shop_engine.catalog.type_names)):
        rows = model.item_idx[model.indptr[type_] : model.indptr[type_ + 1]]
        assert sorted(rows.tolist()) == np.flatnonzero(shop_engine.catalog.item_type == type_).tolist()
        assert (np.diff(share[rows]) <= 0).all()
