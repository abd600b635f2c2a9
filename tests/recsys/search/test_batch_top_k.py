from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import sparse

from recsys.core.errors import DataError
from recsys.search import batch_top_k as module
from recsys.search.batch_top_k import ItemsByLength, batch_top_k

TWO_USERS = np.eye(2, dtype=np.float32)
FOUR_ITEMS = np.array([[1, 0], [3, 1], [2, 5], [0, 4]], np.float32)


def naive(
    users: np.ndarray, items: np.ndarray, k: int, seen: np.ndarray, allowed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A full sort of all scores, by score and then by row."""
    score = (users.astype(np.float64) @ items.astype(np.float64).T).astype(np.float32)
    score[seen | ~allowed] = -np.inf
    order = np.argsort(-score, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(score, order, axis=1)
    room = [(0, 0), (0, k - order.shape[1])]
    rows = np.pad(np.where(np.isneginf(best), -1, order), room, constant_values=-1)
    return rows.astype(np.int32), np.pad(best, room, constant_values=-np.inf)


def test_best_first() -> None:
    rows, scores = batch_top_k(TWO_USERS, FOUR_ITEMS, 2)
    assert rows.tolist() == [[1, 2], [2, 3]]
    assert scores.tolist() == [[3, 2], [5, 4]]
    assert (rows.dtype, scores.dtype) == (np.int32, np.float32)


def test_seen_items_are_left_out_for_any_stored_value() -> None:
    seen = sparse.csr_matrix((np.array([0.0, -1.0]), ([0, 1], [1, 2])), shape=(2, 4))
    assert batch_top_k(TWO_USERS, FOUR_ITEMS, 2, seen)[0].tolist() == [[2, 0], [3, 1]]


def test_only_allowed_items_are_found() -> None:
    allowed = np.array([True, False, True, False])
    assert batch_top_k(TWO_USERS, FOUR_ITEMS, 3, allowed=allowed)[0].tolist() == [[2, 0, -1], [2, 0, -1]]


def test_a_list_is_padded_past_the_last_item() -> None:
    rows, scores = batch_top_k(TWO_USERS, FOUR_ITEMS, 6)
    assert rows.tolist() == [[1, 2, 0, 3, -1, -1], [2, 3, 1, 0, -1, -1]]
    assert np.isneginf(scores[:, 4:]).all()


def test_who_has_seen_everything_gets_nothing() -> None:
    seen = sparse.csr_matrix(np.array([[1, 1, 1, 1], [0, 0, 0, 0]]))
    assert batch_top_k(TWO_USERS, FOUR_ITEMS, 2, seen)[0].tolist() == [[-1, -1], [2, 3]]


@pytest.mark.parametrize(("n_users", "n_items"), [(0, 4), (2, 0)])
def test_no_users_or_no_items(n_users: int, n_items: int) -> None:
    rows, scores = batch_top_k(TWO_USERS[:n_users], FOUR_ITEMS[:n_items], 3)
    assert rows.shape == scores.shape == (n_users, 3)
    assert (rows == -1).all()


def test_equal_scores_go_by_row_and_zeros_of_both_signs_are_equal() -> None:
    items = np.array([[-0.0, 0], [1, 1], [0, 0], [1, 1], [1, 1]], np.float32)
    assert batch_top_k(TWO_USERS[:1], items, 5)[0].tolist() == [[1, 3, 4, 0, 2]]
    assert batch_top_k(TWO_USERS[:1], items, 2)[0].tolist() == [[1, 3]]


def test_negative_scores_are_scores() -> None:
    rows, scores = batch_top_k(-TWO_USERS, FOUR_ITEMS, 4)
    assert rows.tolist() == [[3, 0, 2, 1], [0, 1, 3, 2]]
    assert scores[1].tolist() == [0, -1, -4, -5]


@settings(max_examples=150, deadline=None)
@given(
    n_users=st.integers(0, 30),
    n_items=st.integers(0, 90),
    k=st.integers(1, 20),
    spread=st.sampled_from([0.0, 1.0, 4.0]),
    share_seen=st.sampled_from([0.0, 0.3, 0.95]),
    share_allowed=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
@example(n_users=30, n_items=90, k=5, spread=4.0, share_seen=0.3, share_allowed=1.0, seed=1)
def test_equals_a_full_sort(
    n_users: int, n_items: int, k: int, spread: float, share_seen: float, share_allowed: float, seed: int
) -> None:
    """Small whole numbers have exact scores and many ties; small blocks let all happen that happens between blocks."""
    rng = np.random.default_rng(seed)
    users = rng.integers(-3, 4, (n_users, 5)).astype(np.float32)
    items = rng.integers(-3, 4, (n_items, 5)).astype(np.float32)
    items *= np.round(np.exp2(rng.integers(0, 1 + int(spread), (n_items, 1)))).astype(np.float32)
    seen, allowed = rng.random((n_users, n_items)) < share_seen, rng.random(n_items) < share_allowed
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "USERS_PER_BLOCK", 7)
        patched.setattr(module, "FIRST_ITEMS", 4)
        patched.setattr(module, "MOST_ITEMS", 11)
        found = batch_top_k(users, items, k, sparse.csr_matrix(seen), allowed, n_threads=2)
    rows, scores = naive(users, items, k, seen, allowed)
    np.testing.assert_array_equal(found[0], rows)
    np.testing.assert_array_equal(found[1], scores)


def test_equals_a_full_sort_of_real_numbers_over_several_blocks() -> None:
    rng = np.random.default_rng(3)
    users = rng.standard_normal((600, 24)).astype(np.float32)
    items = (rng.standard_normal((5000, 24)) * rng.gamma(0.5, 1, (5000, 1))).astype(np.float32)
    seen = sparse.random_array((600, 5000), density=0.02, rng=rng, format="csr")
    rows, scores = batch_top_k(users, items, 20, sparse.csr_matrix(seen))
    expected, best = naive(users, items, 20, seen.toarray() != 0, np.ones(5000, np.bool_))
    np.testing.assert_allclose(scores, best, rtol=1e-5, err_msg="single precision against double")
    assert (rows == expected).mean() > 0.999


def test_threads_change_nothing_and_inputs_stay() -> None:
    rng = np.random.default_rng(5)
    users, items = rng.standard_normal((2, 700, 8)).astype(np.float32)
    seen = sparse.csr_matrix(rng.random((700, 700)) < 0.1)
    before = [users.copy(), items.copy(), seen.indices.copy()]
    one, two = (batch_top_k(users, items, 9, seen, n_threads=n) for n in (1, 2))
    for left, right in zip([*one, *before], [*two, users, items, seen.indices], strict=True):
        np.testing.assert_array_equal(left, right)


def test_long_vectors_first_saves_most_products(monkeypatch: pytest.MonkeyPatch) -> None:
    products = []
    hide = module._hide
    monkeypatch.setattr(module, "_hide", lambda score, *rest: (products.append(score.size), hide(score, *rest))[1])
    rng = np.random.default_rng(7)
    users = rng.standard_normal((100, 16)).astype(np.float32)
    items = (rng.standard_normal((20000, 16)) * rng.gamma(0.2, 1, (20000, 1))).astype(np.float32)
    batch_top_k(users, items, 10, sparse.csr_matrix((100, 20000)))
    assert 0 < sum(products) < 0.4 * 100 * 20000


@pytest.mark.parametrize("share", [1.0, 0.3, 0.0])
def test_ordered_items_serve_many_blocks(share: float) -> None:
    rng = np.random.default_rng(9)
    users, items = rng.standard_normal((40, 6)).astype(np.float32), rng.standard_normal((900, 6)).astype(np.float32)
    allowed = rng.random(900) < share
    ordered = ItemsByLength.of(items, allowed)
    expected = batch_top_k(users, items, 12, allowed=allowed)
    for start in range(0, 40, 8):
        found = ordered.search(users[start : start + 8], 12)
        for left, right in zip(found, expected, strict=True):
            np.testing.assert_array_equal(left, right[start : start + 8])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user_vectors": np.ones((2, 3), np.float32)}, r"\(2, 3\) and \(4, 2\)"),
        ({"item_vectors": np.ones(2, np.float32)}, "give two matrices"),
        ({"item_vectors": np.where(FOUR_ITEMS == 5, np.nan, FOUR_ITEMS)}, "row 2 of item_vectors is not finite"),
        ({"user_vectors": np.full((2, 2), np.inf, np.float32)}, "row 0 of user_vectors is not finite"),
        ({"k": 0}, "k is 0"),
        ({"seen": sparse.csr_matrix((2, 3))}, r"seen is \(2, 3\).*\(2, 4\)"),
        ({"allowed": np.ones(3, np.bool_)}, r"allowed is bool \(3,\)"),
        ({"allowed": np.ones(4)}, r"allowed is float64 \(4,\)"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    given = {"user_vectors": TWO_USERS, "item_vectors": FOUR_ITEMS, "k": 2} | change
    with pytest.raises(DataError, match=message):
        batch_top_k(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(("n_users", "n_items", "share"), [(0, 3, None), (2, 0, None), (2, 3, 0.0), (2, 0, 0.0)])
def test_without_users_or_allowed_items_every_list_is_empty(n_users: int, n_items: int, share: float | None) -> None:
    users, items = np.ones((n_users, 4), np.float32), np.ones((n_items, 4), np.float32)
    allowed = None if share is None else np.full(n_items, bool(share))
    rows, scores = batch_top_k(users, items, 2, allowed=allowed)
    assert rows.tolist() == [[-1, -1]] * n_users
    assert np.isneginf(scores).all()
