from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.core.errors import BundleError
from recsys.fitting.engine import Engine
from recsys.search.vector_index import MIN_RECALL, ExtendedIndex, FlatIndex, _search, nearest

HALF_PRECISION = 2e-3
"""Relative step of a half-precision number, with room for a sum of sixteen."""


def test_the_largest_inner_product_comes_first() -> None:
    index = FlatIndex.build(np.array([[1, 0], [0, 1], [2, 2]], np.float32))
    scores, rows = index.search(np.array([[1, 0.5]], np.float32), 4)
    assert rows.tolist() == [[2, 0, 1, -1]]
    assert rows.dtype == np.int32
    assert scores[0, :3].tolist() == [3.0, 1.0, 0.5]


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(1, 70), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_equals_an_exhaustive_search(n_items: int, k: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n_items, 16)).astype(np.float32)
    queries = rng.standard_normal((3, 16)).astype(np.float32)
    allowed = rng.random(n_items) < share
    scores, rows = FlatIndex.build(vectors).search(queries, k, allowed)
    exact = queries @ vectors.astype(np.float16).astype(np.float32).T
    for query in range(3):
        found = rows[query][rows[query] >= 0]
        assert len(found) == len(set(found.tolist())) == min(k, allowed.sum())
        assert allowed[found].all()
        best = np.sort(exact[query][allowed])[::-1][:k]
        np.testing.assert_allclose(scores[query][: len(found)], best, rtol=HALF_PRECISION, atol=HALF_PRECISION)
        np.testing.assert_allclose(exact[query][found], best, rtol=HALF_PRECISION, atol=HALF_PRECISION)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n_items=st.integers(160, 400),
    k=st.integers(1, 12),
    share=st.sampled_from([None, 0.05, 0.5, 1.0]),
    spread=st.floats(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_search_by_codes_equals_one_of_the_whole_index(
    monkeypatch: pytest.MonkeyPatch, n_items: int, k: int, share: float | None, spread: float, seed: int
) -> None:
    """Up to the rounding of sums; vectors of one length, or a narrow filter, need those without a code."""
    monkeypatch.setattr("recsys.search.vector_index.MIN_CODED", 1)
    monkeypatch.setattr("recsys.search.vector_index.N_CODED", 100)
    monkeypatch.setattr("recsys.search.vector_index.N_DECODED", 33)
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n_items, 8)) * np.exp(spread * rng.standard_normal((n_items, 1)))
    query = rng.standard_normal((1, 8)).astype(np.float32)
    index = FlatIndex.build(vectors.astype(np.float32))
    allowed = None if share is None else rng.random(n_items) < share
    assert len(index.coded.row) == 100
    scores, rows = index.search(query, k, allowed)
    whole_scores, whole_rows = _search(index.faiss_index, query, k, allowed)
    is_found = whole_rows[0] >= 0
    np.testing.assert_array_equal(rows[0] >= 0, is_found)
    size = float(np.abs(whole_scores[0][is_found]).max(initial=0))
    np.testing.assert_allclose(scores[0][is_found], whole_scores[0][is_found], rtol=1e-5, atol=1e-6 * size)
    if (np.diff(-whole_scores[0][is_found]) > 1e-4 * size).all():
        np.testing.assert_array_equal(rows, whole_rows)


def test_an_extended_index_shares_the_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.search.vector_index.MIN_CODED", 1)
    vectors = np.random.default_rng(6).standard_normal((200, 8)).astype(np.float32)
    index = FlatIndex.build(vectors[:190])
    grown = ExtendedIndex.over(index, vectors[190:])
    assert grown.coded is index.coded
    scores, _ = FlatIndex.build(vectors).search(vectors[:1], 9)
    np.testing.assert_allclose(grown.search(vectors[:1], 9)[0], scores, rtol=HALF_PRECISION, atol=HALF_PRECISION)


def test_the_halves_are_those_of_the_index(tmp_path: Path) -> None:
    vectors = np.random.default_rng(8).standard_normal((30, 4)).astype(np.float32)
    path = tmp_path / "index.faiss"
    FlatIndex.build(vectors).write(path)
    for index in (FlatIndex.build(vectors), FlatIndex.read(path)):
        np.testing.assert_array_equal(index.halves.view(np.float16), vectors.astype(np.float16))


def test_many_queries_equal_single_queries(shop_engine: Engine) -> None:
    queries = shop_engine.hybrid.vectors[:9]
    scores, rows = shop_engine.index.search(queries, 7)
    for place, query in enumerate(queries):
        one_score, one_row = shop_engine.index.search(query[None], 7)
        assert one_row[0].tolist() == rows[place].tolist()
        np.testing.assert_allclose(one_score[0], scores[place], rtol=1e-6)


def test_a_written_index_finds_the_same(tmp_path: Path, shop_engine: Engine) -> None:
    path = tmp_path / "index.faiss"
    index = FlatIndex.build(shop_engine.hybrid.vectors)
    index.write(path)
    queries = shop_engine.hybrid.vectors
    for mine, read in zip(index.search(queries, 9), FlatIndex.read(path).search(queries, 9), strict=True):
        np.testing.assert_array_equal(mine, read)


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    path.write_bytes(b"not an index at all")
    with pytest.raises(BundleError, match=r"index\.faiss is not a FAISS index"):
        FlatIndex.read(path)


def test_many_queries_find_what_a_matrix_product_finds() -> None:
    rng = np.random.default_rng(3)
    vectors, queries = rng.normal(size=(500, 8)).astype(np.float32), rng.normal(size=(40, 8)).astype(np.float32)
    scores, rows = nearest(vectors, queries, 7)
    product = queries @ vectors.T
    np.testing.assert_array_equal(rows, np.argsort(-product, axis=1)[:, :7])
    np.testing.assert_allclose(scores, -np.sort(-product, axis=1)[:, :7], rtol=1e-5)


def test_inverted_lists_pass_the_recall_gate() -> None:
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(3000, 8)).astype(np.float32)
    _, exact = nearest(vectors, vectors, 10)
    _, found = nearest(vectors, vectors, 10, max_exact_pairs=0)
    recall = np.mean([np.isin(one, other).mean() for one, other in zip(exact, found, strict=True)])
    assert recall >= MIN_RECALL - 0.02  # the gate sees a sample of the queries


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(0, 9), st.integers(1, 50), st.booleans(), st.integers(0, 2**32 - 1))
def test_an_extended_index_equals_one_over_all_vectors(
    n_items: int, n_extra: int, k: int, some: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n_items + n_extra, 8)).astype(np.float32)
    queries = rng.standard_normal((2, 8)).astype(np.float32)
    allowed = rng.random(len(vectors)) < 0.5 if some else None
    grown = ExtendedIndex.over(FlatIndex.build(vectors[:n_items]), vectors[n_items:])
    scores, rows = grown.search(queries, k, allowed)
    whole, _ = FlatIndex.build(vectors).search(queries, k, allowed)
    width = min(k, len(vectors) if allowed is None else int(allowed.sum()))
    assert (rows[:, :width] >= 0).all()
    assert (rows[:, width:] == -1).all()
    np.testing.assert_allclose(scores[:, :width], whole[:, :width], rtol=HALF_PRECISION, atol=2 * HALF_PRECISION)
    np.testing.assert_allclose(np.einsum("qf,qkf->qk", queries, vectors[rows[:, :width]]), scores[:, :width], atol=0.02)


@pytest.mark.parametrize("n_queries", [0, 1, 3])
@pytest.mark.parametrize("k", [0, 1, 5])
@pytest.mark.parametrize("n_items", [0, 4, 200])
@pytest.mark.parametrize("share", [None, 0.0, 1.0])
@pytest.mark.parametrize("n_extra", [None, 0, 2])
def test_a_search_that_can_find_nothing_is_empty(
    monkeypatch: pytest.MonkeyPatch, n_queries: int, k: int, n_items: int, share: float | None, n_extra: int | None
) -> None:
    monkeypatch.setattr("recsys.search.vector_index.MIN_CODED", 1)
    rng = np.random.default_rng(7)
    vectors = rng.standard_normal((n_items + (n_extra or 0), 8)).astype(np.float32)
    queries = rng.standard_normal((n_queries, 8)).astype(np.float32)
    index = FlatIndex.build(vectors[:n_items])
    index = index if n_extra is None else ExtendedIndex.over(index, vectors[n_items:])
    allowed = None if share is None else np.full(len(vectors), bool(share))
    scores, rows = index.search(queries, k, allowed)
    assert scores.shape == rows.shape
    assert (rows.dtype, scores.dtype) == (np.int32, np.float32)
    n_found = min(k, 0 if share == 0 else len(vectors))
    assert (rows >= 0).sum(axis=1).tolist() == [n_found] * n_queries


@pytest.mark.parametrize(("n", "m", "k"), [(0, 2, 0), (0, 2, 3), (4, 0, 2), (4, 2, 0), (2, 2, 5)])
def test_nearest_of_nothing_is_empty(n: int, m: int, k: int) -> None:
    rng = np.random.default_rng(8)
    vectors, queries = (rng.standard_normal((count, 8)).astype(np.float32) for count in (n, m))
    scores, rows = nearest(vectors, queries, k)
    assert scores.shape == rows.shape == (m, k)
    assert (rows >= 0).sum() == m * min(k, n)


def test_equal_queries_have_equal_neighbors() -> None:
    rng = np.random.default_rng(9)
    vectors, queries = (rng.standard_normal((n, 8)).astype(np.float32) for n in (50, 6))
    place = np.array([3, 0, 3, 5, 1, 1, 2, 4, 0])
    scores, rows = nearest(vectors, queries[place], 4)
    expected_scores, expected_rows = nearest(vectors, queries, 4)
    np.testing.assert_array_equal(rows, expected_rows[place])
    np.testing.assert_allclose(scores, expected_scores[place], rtol=1e-6)


@pytest.mark.parametrize("n_extra", [0, 7])
def test_decoded_vectors_have_the_products_of_the_search(n_extra: int) -> None:
    rng = np.random.default_rng(11)
    vectors = rng.standard_normal((200, 8)).astype(np.float32)
    base = FlatIndex.build(vectors[: 200 - n_extra])
    index = ExtendedIndex.over(base, vectors[200 - n_extra :]) if n_extra else base
    query = rng.standard_normal((1, 8)).astype(np.float32)
    scores, rows = index.search(query, 50)
    np.testing.assert_allclose((index.vectors() @ query[0])[rows[0]], scores[0], rtol=1e-5)
