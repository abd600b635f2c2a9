from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from recsys.fitting.engine import Engine
from recsys.live import item_pools
from recsys.live.item_pools import ItemPools
from recsys.models.content.similarity import pools


def no_features(engine: Engine) -> sparse.csr_matrix:
    return sparse.csr_matrix((1, engine.content.features.shape[1]), dtype=np.float32)


@given(moves=st.dictionaries(st.integers(0, 90), st.integers(-1, 9), min_size=1, max_size=8))
def test_pools_are_those_of_a_whole_catalog(shop_engine: Engine, moves: dict[int, int]) -> None:
    """One item at a time gives the pools that training makes from all categories at once."""
    catalog, n = shop_engine.catalog, len(shop_engine.items)
    moves = {row: category for row, category in moves.items() if row < n + 2}
    if not moves:
        return
    n_items, found = n + 2, ItemPools(shop_engine)
    category = np.append(catalog.item_category, [-1, -1]).astype(np.int32)
    for row, code in moves.items():
        found.set(row, code, no_features(shop_engine))
        category[row] = code
    for row in range(n, n_items):
        if row not in moves:
            found.set(row, -1, no_features(shop_engine))
    # As types with one category each, so that the reference reads these categories.
    types = category.copy()
    whole = replace(catalog, item_type=types, type_category=np.arange(category.max() + 1, dtype=np.int32))
    rows = np.array(sorted(moves), np.int64)
    mine = {row: pool for group, pool in found.groups(rows, n_items, 5) for row in group.tolist()}
    for group, pool in pools(whole, 5, rows):
        for row in group.tolist():
            assert sorted(mine[row].tolist()) == sorted(pool.tolist())
            assert (np.diff(mine[row]) > 0).all()


def test_a_large_pool_is_narrowed_to_what_shares_the_rarest_features(
    shop_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_pools, "MAX_POOL", 5)
    found, features = ItemPools(shop_engine), shop_engine.content.features
    for row in range(0, len(shop_engine.items), 7):
        found.set(row, -1, features[row : row + 1])
        ((_, pool),) = found.groups(np.array([row]), len(shop_engine.items), 5)
        assert len(pool) <= 5
        if features[row].nnz:
            assert row in pool
            shared = (features[pool] @ features[row : row + 1].T).toarray()
            assert (shared > 0).all()


def test_the_work_for_one_item_is_bounded(shop_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_pools, "MAX_POOL", 20)
    monkeypatch.setattr(item_pools, "MAX_POSTINGS", 30)
    found, features = ItemPools(shop_engine), shop_engine.content.features
    for row in range(len(shop_engine.items), len(shop_engine.items) + 100):
        found.set(row, -1, features[0:1])
    ((_, pool),) = found.groups(np.array([len(shop_engine.items)]), len(shop_engine.items) + 100, 5)
    assert 0 < len(pool) <= 20
