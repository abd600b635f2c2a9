from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from recsys.core.ids import NO_ITEM
from recsys.core.schema import ITEMS
from recsys.data.catalog import Catalog, read_catalog
from recsys.fitting.engine import Engine
from recsys.models.content import similarity as module
from recsys.models.content.hybrid import HybridConfig
from recsys.models.content.similarity import FAN_POWER, TIE, UNKNOWN_GATE, Similarity, list_similar
from tests.shop import NEVER_BOUGHT, SHELVES, table

Shop = tuple[Similarity, Catalog]


def _catalog(types: list[str | None]) -> Catalog:
    rows = [{"item_id": str(n), "category": ["C", name] if name else None} for n, name in enumerate(types)]
    return read_catalog(table(rows, ITEMS))


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 0, length, 1)).astype(np.float32)


def _shop(seed: int, n_items: int, config: HybridConfig) -> Shop:
    """Random tags, some of them shared by many items, and buyers; some items have no tags, some no buyers."""
    rng = np.random.default_rng(seed)
    features = _unit((rng.random((n_items, 6)) < 0.3) * rng.uniform(0.2, 2, 6))
    bought = (rng.random((15, n_items)) < rng.uniform(0, 0.5, n_items)).astype(np.float32)
    types = [None if draw == 3 else f"t{draw}" for draw in rng.integers(0, 4, n_items)]
    catalog = _catalog(types)
    found = Similarity(sparse.csr_matrix(features), sparse.csr_matrix(bought), catalog.item_type, config)
    return found, catalog


def _reference(similarity: Similarity, i: int) -> dict[int, float]:
    """The documented formula, item by item and user by user."""
    config = similarity.config
    features, bought = similarity.features.toarray(), similarity.user_items.toarray()
    n_users, n_items = bought.shape
    n = bought.sum(axis=0)
    demand = np.log1p(n) / max(np.log1p(n).max(), 1e-12)
    cosine = np.clip(features @ features[i], 0, 1)
    rarity = 1 / np.sqrt(n + config.common_buyers_shrinkage)
    own = np.array([(bought[:, i] * bought[:, j]).sum() * rarity[j] for j in range(n_items)])
    near = {r: cosine[r] + TIE * demand[r] for r in range(n_items) if r != i and n[r] and cosine[r] > 1e-6}
    relatives = sorted(near, key=lambda r: -near[r])[: config.n_relatives]
    fans = np.zeros(n_users)
    for r in relatives:
        fans += near[r] ** config.relative_power * bought[:, r] * rarity[r] ** (1 / FAN_POWER)
    lent = ((fans / max(fans.max(), 1e-30)) ** FAN_POWER) @ bought * rarity
    own, lent = own / max(own.max(), 1e-30), lent / max(lent.max(), 1e-30)
    common = (n[i] * own + config.warm_buyers * lent) / (n[i] + config.warm_buyers)
    scores = {}
    for j in range(n_items):
        if j == i or (cosine[j] <= 1e-6 and common[j] <= 1e-6):
            continue
        gate = np.sqrt(cosine[j]) if features[i].any() and features[j].any() else UNKNOWN_GATE
        w, delta = config.common_weight, config.demand_weight
        scores[j] = (cosine[j] + w * gate * (common[j] + delta * demand[j])) / (1 + w * (1 + delta))
    return scores


@given(st.integers(0, 10_000), st.integers(2, 20))
def test_scores_equal_the_formula(seed: int, n_items: int) -> None:
    similarity, _ = _shop(seed, n_items, HybridConfig())
    everything = np.arange(n_items)
    scores = similarity.scores(similarity.pool(everything), everything)
    assert (scores >= 0).all()
    assert (scores <= 1 + 1e-6).all()
    for i in range(n_items):
        expected = _reference(similarity, i)
        for j in range(n_items):
            assert scores[i, j] == pytest.approx(expected.get(j, 0.0), abs=1e-4)


@given(st.integers(0, 10_000), st.integers(2, 20))
def test_lists_are_a_full_sort_of_the_scores_with_the_weight_of_the_type(seed: int, n_items: int) -> None:
    config = HybridConfig(n_similar=30)
    similarity, catalog = _shop(seed, n_items, config)
    embedding = _unit(np.random.default_rng(seed).standard_normal((n_items, 3)))
    idx, score = list_similar(similarity, embedding, catalog)
    scores, types = similarity.scores(similarity.pool(np.arange(n_items)), np.arange(n_items)), catalog.item_type
    for i in range(n_items):
        same = (types == types[i]) & (types[i] >= 0)
        blended = (1 - config.same_type_share) * scores[i] + config.same_type_share * same
        expected = {j: blended[j] for j in range(n_items) if scores[i, j] > 0}
        listed = idx[i] != NO_ITEM
        found = dict(zip(idx[i][listed].tolist(), score[i][listed].tolist(), strict=True))
        assert found == pytest.approx(expected, abs=1e-5)
        assert (np.diff(score[i]) <= 0).all()


def test_a_pool_that_is_too_large_is_narrowed_by_the_embedding(monkeypatch: pytest.MonkeyPatch) -> None:
    """With candidates for every place and an exact embedding, the lists are those of the whole pool."""
    similarity, catalog = _shop(3, 60, HybridConfig(n_similar=15, common_weight=0.0))
    catalog = _catalog([None] * 60)
    embedding = similarity.features.toarray()
    whole = list_similar(similarity, embedding, catalog)
    monkeypatch.setattr(module, "MAX_POOL", 10)
    monkeypatch.setattr(module, "BLOCK_SIZE", 32)
    monkeypatch.setattr(module, "FEW", 4)
    narrowed = list_similar(similarity, embedding, catalog)
    np.testing.assert_allclose(narrowed[1], whole[1], atol=1e-5)


@pytest.mark.parametrize("n_alike", [5, 300])
def test_among_equally_alike_items_those_in_demand_come_first(n_alike: int) -> None:
    """With any number of items of the same tags, in any rows."""
    rng = np.random.default_rng(0)
    n_buyers = rng.integers(0, 40, n_alike)
    bought = np.zeros((n_buyers.sum(), n_alike + 1), np.float32)
    bought[np.arange(n_buyers.sum()), np.repeat(np.arange(n_alike), n_buyers)] = 1
    features = sparse.csr_matrix(np.ones((n_alike + 1, 1), np.float32))
    catalog = _catalog([None] * (n_alike + 1))
    similarity = Similarity(features, sparse.csr_matrix(bought), catalog.item_type, HybridConfig())
    idx, _ = list_similar(similarity, np.ones((n_alike + 1, 1), np.float32), catalog)
    best = idx[n_alike, :5]
    assert (n_buyers[best] >= np.sort(n_buyers)[-5]).all()


def test_an_unsold_item_is_next_to_what_the_fans_of_its_tag_buy() -> None:
    """Items 0-3 have the tag; 0 and 1 share buyers with item 4 of a related tag, which nobody else buys."""
    tags = np.array([[1, 0], [1, 0], [1, 0], [1, 0], [1, 3], [1, 3]], np.float32)
    bought = np.zeros((6, 6), np.float32)
    bought[:4, [0, 1, 4]] = 1
    bought[4:, 5] = 1
    catalog = _catalog([None] * 6)
    similarity = Similarity(
        sparse.csr_matrix(_unit(tags)), sparse.csr_matrix(bought), catalog.item_type, HybridConfig()
    )
    order = list_similar(similarity, _unit(tags), catalog)[0][3].tolist()
    assert order.index(4) < order.index(5)
    assert set(order[:2]) == {0, 1}


def test_an_item_without_content_is_compared_by_buyers_alone() -> None:
    bought = np.zeros((9, 4), np.float32)
    bought[:5, [0, 1]] = 1
    bought[5:, 2] = 1
    bought[:3, 3] = 1
    catalog = _catalog([None] * 4)
    similarity = Similarity(
        sparse.csr_matrix((4, 1), dtype=np.float32), sparse.csr_matrix(bought), catalog.item_type, HybridConfig()
    )
    idx, _ = list_similar(similarity, np.zeros((4, 1), np.float32), catalog)
    assert idx[0, :2].tolist() == [1, 3]
    assert 2 not in idx[0]


@pytest.mark.parametrize("limit", [2, 7])
def test_the_buyers_of_popular_items_are_sampled_evenly(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SOURCES", limit)
    bought = (np.arange(20)[:, None] < [20, 3, 0, limit]).astype(np.float32)
    similarity = Similarity(
        sparse.csr_matrix(np.ones((4, 1), np.float32)),
        sparse.csr_matrix(bought),
        np.full(4, -1, np.int32),
        HybridConfig(),
    )
    counts = np.diff(similarity._sources.indptr)
    assert counts.tolist() == [limit, min(3, limit), 0, limit]
    kept = similarity._sources[0].indices
    assert np.diff(kept).max() - np.diff(kept).min() <= 1
    assert np.isfinite(similarity.scores(similarity.pool(np.arange(4)), np.arange(4))).all()


def test_large_categories_are_searched_within() -> None:
    similarity, catalog = _shop(5, 60, HybridConfig(n_similar=10))
    idx, _ = list_similar(similarity, np.zeros((60, 1), np.float32), catalog)
    category = catalog.item_category
    assert (category >= 0).sum() > 10
    for i in np.flatnonzero(category >= 0):
        found = idx[i][idx[i] != NO_ITEM]
        assert (category[found] == category[i]).all()


def test_items_similar_to_an_unsold_item_are_of_its_category(shop_engine: Engine) -> None:
    for item_id in NEVER_BOUGHT:
        row = shop_engine.items.row(item_id)
        shelf = next(shelf.ids for shelf in SHELVES.values() if item_id in shelf.ids)
        nearest = shop_engine.hybrid.similar_idx[row, : len(shelf) - 1]
        assert {shop_engine.items.ids[other] for other in nearest} == set(shelf) - {item_id}
        assert shop_engine.hybrid.vectors[row].any()
