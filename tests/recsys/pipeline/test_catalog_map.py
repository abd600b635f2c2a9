"""The map of the catalog: which items are on it, where, and how their categories are named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recsys.data.catalog import Catalog
from recsys.fitting.engine import Engine
from recsys.pipeline import catalog_map
from recsys.pipeline.catalog_map import CatalogMap, choose_items, name_categories, place, principal_components


def test_items_that_lists_may_contain_are_placed_once(shop_engine: Engine) -> None:
    found = CatalogMap.of(shop_engine)
    assert len(set(found.item_idx.tolist())) == len(found.item_idx) > 0
    listable = shop_engine.listable["all"]
    assert listable is not None
    assert listable[found.item_idx].all()
    assert found.position.shape == (len(found.item_idx), 2)
    assert (found.position.min(), found.position.max()) == (0, 1)
    again = CatalogMap.of(shop_engine)
    np.testing.assert_array_equal(found.position, again.position)


def test_best_sellers_and_others_come_in_turn(shop_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_map, "MAX_PLACED", 6)
    chosen = choose_items(shop_engine)
    assert len(chosen) == 6
    listable = np.flatnonzero(shop_engine.listable["all"])
    by_buyers = listable[np.argsort(-shop_engine.popularity.n_buyers[listable], kind="stable")]
    assert chosen[0::2].tolist() == by_buyers[:3].tolist()
    assert not set(chosen[1::2]) & set(chosen[0::2])


def test_similar_vectors_are_near_each_other() -> None:
    rng = np.random.default_rng(0)
    centers = np.eye(3, 8)
    vectors = np.repeat(centers, 40, axis=0) + rng.normal(0, 0.05, (120, 8))
    position = place((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32))
    group = np.repeat(np.arange(3), 40)
    distance = np.linalg.norm(position[:, None] - position[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (group[distance.argmin(axis=1)] == group).mean() > 0.95


def test_neighbors_are_nearer_than_by_principal_components() -> None:
    rng = np.random.default_rng(1)
    vectors = np.repeat(np.eye(12), 20, axis=0) + rng.normal(0, 0.2, (240, 12))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    group = np.repeat(np.arange(12), 20)

    def share(position: np.ndarray) -> float:
        distance = np.linalg.norm(position[:, None] - position[None], axis=2)
        np.fill_diagonal(distance, np.inf)
        return float((group[distance.argmin(axis=1)] == group).mean())

    assert share(place(vectors)) > max(0.8, share(principal_components(vectors)) + 0.2)


def test_principal_components_are_those_of_the_covariance() -> None:
    vectors = np.array([[3.0, 0.0, 1], [-3.0, 0.0, 1], [0.0, 1.0, 1], [0.0, -1.0, 1]], np.float32)
    np.testing.assert_allclose(principal_components(vectors), vectors[:, :2], atol=1e-6)


@given(arrays(np.float32, st.tuples(st.integers(0, 12), st.integers(1, 5)), elements=st.floats(-1, 1, width=32)))
def test_positions_are_finite_and_in_the_square(vectors: np.ndarray) -> None:
    position = place(vectors)
    assert position.shape == (len(vectors), 2)
    assert np.isfinite(position).all()
    assert ((position >= 0) & (position <= 1)).all()


def catalog_of(paths: list[str | None]) -> Catalog:
    names = sorted({path for path in paths if path is not None})
    types = np.array([-1 if path is None else names.index(path) for path in paths], np.int32)
    n = len(paths)
    return Catalog(
        types,
        np.full(len(names), -1, np.int32),
        tuple(names),
        np.full(n, -1, np.int32),
        np.zeros(n, np.float32),
        np.ones(n, bool),
    )


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["shop > a > x", "shop > a > y", "shop > b > z", "shop > b > z"], ["x", "y", "z", "z"]),
        (["a > x", "a > x", "b > x", None], ["a", "a", "b", None]),
        (["a", None], ["a", None]),
        ([None, None], [None, None]),
        ([], []),
    ],
)
def test_the_level_that_tells_most_names_the_categories(paths: list[str | None], names: list[str | None]) -> None:
    assert name_categories(catalog_of(paths), np.arange(len(paths), dtype=np.int32)) == names


def test_the_most_frequent_categories_are_named() -> None:
    paths: list[str | None] = [f"shop > {'abcdefghij'[n]}" for n in range(10) for _ in range(10 - n)]
    names = name_categories(catalog_of(paths), np.arange(len(paths), dtype=np.int32))
    assert [name for name in dict.fromkeys(names) if name] == list("abcdefgh")
    assert names[-3:] == [None] * 3
