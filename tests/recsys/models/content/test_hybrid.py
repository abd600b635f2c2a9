from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.ids import NO_ITEM
from recsys.core.schema import ITEMS
from recsys.data.catalog import Catalog, read_catalog
from recsys.fitting.engine import Engine
from recsys.models.content.hybrid import HybridConfig, HybridModel, fit_hybrid, impute_factors
from tests.shop import NEVER_BOUGHT, SHELVES, table

HALF_PRECISION = 3e-3


def _catalog(types: list[str | None]) -> Catalog:
    rows = [{"item_id": str(n), "category": ["C", name] if name else None} for n, name in enumerate(types)]
    return read_catalog(table(rows, ITEMS))


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 0, length, 1)).astype(np.float32)


def test_a_cold_item_gets_the_factors_of_similar_items() -> None:
    """Cosines 1 and ½ to the fourth power: the cold third item's factors are `(1·f₀ + f₁/16) / (1 + 1/16)`."""
    content = np.array([[1, 0], [0.5, np.sqrt(0.75)], [1, 0]], np.float32)
    factors = np.array([[1, 0], [0, 1], [0, 0]], np.float32)
    n_buyers = np.array([1000, 1000, 0], np.int32)
    model = fit_hybrid(factors, content, n_buyers, _catalog([None] * 3), HybridConfig(n_similar=2))
    np.testing.assert_allclose(model.vectors[2, :2], np.array([16, 1]) / 17, atol=HALF_PRECISION)
    np.testing.assert_array_equal(model.vectors[:2, :2], factors[:2])


def _random(seed: int, n_items: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, Catalog]:
    rng = np.random.default_rng(seed)
    content = _unit(rng.standard_normal((n_items, 5)) * (rng.random((n_items, 1)) > 0.1))
    n_buyers = rng.integers(0, 30, n_items).astype(np.int32)
    factors = rng.standard_normal((n_items, 4)).astype(np.float32)
    factors[n_buyers == 0] = 0
    types = [None if draw == 3 else f"t{draw}" for draw in rng.integers(0, 4, n_items)]
    return factors, content, n_buyers, _catalog(types)


@given(st.integers(0, 10_000), st.integers(1, 25))
def test_factors_equal_the_formula_item_by_item(seed: int, n_items: int) -> None:
    factors, content, n_buyers, catalog = _random(seed, n_items)
    config = HybridConfig(n_neighbors=n_items, n_similar=4)
    before = factors.copy(), content.copy(), n_buyers.copy()
    model = fit_hybrid(factors, content, n_buyers, catalog, config)
    k, warm = config.warm_buyers, [j for j in range(n_items) if n_buyers[j] >= config.warm_buyers]
    for i in range(n_items):
        expected = factors[i].astype(np.float64)
        if n_buyers[i] < 4 * k and content[i].any() and warm:
            weight = {j: max(float(content[i] @ content[j]), 0.0) ** config.similarity_power for j in warm if j != i}
            total = max(sum(weight.values()), 1e-9)
            lent = sum((w * factors[j].astype(np.float64) for j, w in weight.items()), np.zeros(4)) / total
            expected = (n_buyers[i] * expected + k * lent) / (n_buyers[i] + k)
        np.testing.assert_allclose(model.vectors[i, :4], expected, atol=2e-2)
    for old, new in zip(before, (factors, content, n_buyers), strict=True):
        np.testing.assert_array_equal(old, new)


@given(st.integers(0, 10_000), st.integers(1, 25))
def test_similar_items_equal_an_exhaustive_comparison(seed: int, n_items: int) -> None:
    """No neighbours lend anything here, so that the factors are the given ones."""
    factors, content, _, catalog = _random(seed, n_items)
    config = HybridConfig(n_similar=30)
    model = fit_hybrid(factors, content, np.full(n_items, 1000, np.int32), catalog, config)
    joint = np.hstack([np.sqrt(1 - config.content_share) * _unit(factors), np.sqrt(config.content_share) * content])
    cosine = joint @ joint.T
    for i in range(n_items):
        types = catalog.item_type
        same = (types == types[i]) & (types[i] >= 0)
        score = (1 - config.same_type_share) * cosine[i] + config.same_type_share * same
        expected = {j: score[j] for j in range(n_items) if j != i and cosine[i, j] > HALF_PRECISION}
        found = _as_dict(model, i)
        assert expected.keys() <= found.keys()
        assert i not in found
        for j, value in found.items():
            assert value == pytest.approx(score[j], abs=HALF_PRECISION)
        kept = model.similar_score[i][model.similar_idx[i] != NO_ITEM]
        assert (np.diff(kept) <= 0).all()


def _as_dict(model: HybridModel, row: int) -> dict[int, float]:
    entries = zip(model.similar_idx[row].tolist(), model.similar_score[row].tolist(), strict=True)
    return {item: score for item, score in entries if item != NO_ITEM}


def test_large_categories_are_searched_within() -> None:
    factors, content, n_buyers, catalog = _random(5, 60)
    model = fit_hybrid(factors, content, n_buyers, catalog, HybridConfig(n_similar=10))
    category = catalog.item_category
    assert (category >= 0).sum() > 10
    for i in np.flatnonzero(category >= 0):
        found = model.similar_idx[i][model.similar_idx[i] != NO_ITEM]
        assert (category[found] == category[i]).all()


def test_items_similar_to_an_unsold_item_are_of_its_category(shop_engine: Engine) -> None:
    for item_id in NEVER_BOUGHT:
        row = shop_engine.items.row(item_id)
        shelf = next(shelf.ids for shelf in SHELVES.values() if item_id in shelf.ids)
        nearest = shop_engine.hybrid.similar_idx[row, : len(shelf) - 1]
        assert {shop_engine.items.ids[other] for other in nearest} == set(shelf) - {item_id}
        assert shop_engine.hybrid.vectors[row].any()


@given(st.integers(0, 10_000), st.integers(1, 25))
def test_a_new_item_gets_the_vector_of_one_without_buyers(seed: int, n_items: int) -> None:
    factors, content, n_buyers, catalog = _random(seed, n_items)
    config = HybridConfig(n_neighbors=5, n_similar=4)
    fitted = fit_hybrid(factors, content, n_buyers, catalog, config).vectors
    cold = np.flatnonzero((n_buyers == 0) & (np.linalg.norm(content, axis=1) > 0))
    lent = impute_factors(factors, content, n_buyers, content[cold], config)
    assert lent.shape == (len(cold), factors.shape[1])
    np.testing.assert_allclose(lent, fitted[cold], atol=1e-6)
