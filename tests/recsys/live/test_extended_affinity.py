from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.schema import ITEMS
from recsys.data.catalog import read_catalog
from recsys.live.extended_affinity import ExtendedAffinity, JoinedItems
from recsys.models.collaborative.affinity import AffinityConfig, fit_affinity
from tests.recsys.small_shops import CATALOG
from tests.shop import table

CATALOG_ARRAYS = read_catalog(table(CATALOG, ITEMS))
SHARE = np.array([0.1, 0.3, 0.0, 0.2, 0.2, 0.2], np.float32)
BASE = fit_affinity(CATALOG_ARRAYS, SHARE, AffinityConfig())
N_TYPES = len(CATALOG_ARRAYS.type_names)
MOVES = st.lists(st.tuples(st.integers(0, 8), st.integers(-1, N_TYPES + 1), st.sampled_from([0.1, 0.5])), max_size=10)


@given(moves=MOVES, allowed=st.none() | st.lists(st.booleans(), min_size=9, max_size=9))
def test_items_are_found_by_their_current_type(moves: list[tuple[int, int, float]], allowed: list[bool] | None) -> None:
    types = np.concatenate([CATALOG_ARRAYS.item_type, np.full(3, -1, np.int32)])
    joined, has_left, shares = JoinedItems(), np.zeros(9, np.bool_), dict[int, float]()
    for row, type_, share in moves:
        types[row], shares[row] = type_, share
        is_back = row < 6 and type_ == CATALOG_ARRAYS.item_type[row]
        has_left[row] = row < 6 and not is_back
        joined.move(row, -1 if is_back else type_, share)
    model = ExtendedAffinity.over(BASE, types, joined, has_left)
    seed = np.arange(9, dtype=np.int32)
    mask = None if allowed is None else np.array(allowed)
    rows, score = model.score(seed, np.ones(9, np.float32), mask)
    found = dict(zip(rows.tolist(), score.tolist(), strict=True))
    assert len(found) == len(rows)
    n_typed = int((types >= 0).sum())
    for row in range(9):
        is_listed = types[row] >= 0 and (mask is None or mask[row])
        assert (row in found) == bool(is_listed)
        if is_listed:
            weight = (types == types[row]).sum() / n_typed
            is_fitted = row < 6 and types[row] == CATALOG_ARRAYS.item_type[row]
            within = BASE.share[BASE.item_idx == row][0] if is_fitted else shares[row]
            assert found[row] == pytest.approx(weight * within, rel=1e-5)


def test_the_best_of_a_type_include_those_that_joined() -> None:
    types = np.concatenate([CATALOG_ARRAYS.item_type, np.zeros(1, np.int32)])
    joined = JoinedItems()
    joined.move(6, 0, 2.0)
    model = ExtendedAffinity.over(BASE, types, joined, np.zeros(7, np.bool_))
    assert model.top_items(0)[0] == 6
    assert set(BASE.top_items(0).tolist()) < set(model.top_items(0).tolist())
    assert model.top_items(N_TYPES).tolist() == []
