from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_limits

from recsys.core.schema import EVENT_NAMES
from recsys.data.dataset import PURCHASE, Dataset
from recsys.fitting.engine import Engine
from recsys.models.collaborative.als import ALSConfig, ALSModel, fit_als, weigh_events
from tests.recsys.small_shops import shops
from tests.shop import LEATHER, LEATHER_FANS, USERS_WITH_HISTORY

CART = EVENT_NAMES.index("add_to_cart")
REFUND = EVENT_NAMES.index("refund")
VIEW = EVENT_NAMES.index("view_item")

CHECKERBOARD = np.fromfunction(lambda user, item: (user + item) % 2 == 0, (12, 10)).astype(np.float32)
CONFIG = ALSConfig(n_factors=6, regularization=0.1, alpha=2.0, n_iterations=20)
TOLERANCE = 1e-5


def _fit(dense: np.ndarray, config: ALSConfig = CONFIG, seed: int = 0) -> ALSModel:
    return fit_als(sparse.csr_matrix(dense), config, np.random.default_rng(seed))


def _solved(model: ALSModel, items: np.ndarray, weight: np.ndarray, regularization: float) -> np.ndarray:
    """The dense normal equations in double precision, over every item."""
    factors = model.item_factors.astype(np.float64)
    confidence, preference = np.ones(len(factors)), np.zeros(len(factors))
    confidence[items] += model.alpha * np.abs(weight)
    preference[items] = weight > 0
    normal = factors.T @ (confidence[:, None] * factors) + regularization * np.eye(factors.shape[1])
    return np.linalg.solve(normal, factors.T @ (confidence * preference))


def test_a_checkerboard_is_learned_exactly() -> None:
    """Each shopper likes every other item: the answer is known, and every score is near the one or the nought."""
    model = _fit(CHECKERBOARD)
    for user, liked in enumerate(CHECKERBOARD):
        known = np.flatnonzero(liked)[:-1].astype(np.int32)
        score = model.item_factors @ model.fold_in(known, np.ones(len(known), np.float32))
        assert set(np.argsort(-score)[: int(liked.sum())]) == set(np.flatnonzero(liked)), user
        assert score[liked > 0].min() > 0.8
        assert np.abs(score[liked == 0]).max() < 0.1


def test_hand_computed_fold_in() -> None:
    """One factor, items 1 and 2, λ = 1: `x = Σ c·p·y / (Σ y² + λ + Σ α|w|·y²)` with α = 2, w = ½ on the second."""
    model = ALSModel(np.array([[1], [2]], np.float32), np.asfortranarray([[6.0]], np.float32), 2.0, 90.0, np.ones(9))
    found = model.fold_in(np.array([1], np.int32), np.array([0.5], np.float32))
    np.testing.assert_allclose(found, 2 * 2 / (6 + 4), rtol=1e-6)
    assert model.fold_in(np.array([1], np.int32), np.array([-0.5], np.float32)).tolist() == [0.0]


@given(st.lists(st.floats(-2, 3, width=32), min_size=1, max_size=10), st.integers(0, 1000))
def test_fold_in_solves_the_normal_equations(weight: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = _MODEL
    items = rng.choice(10, len(weight), replace=False).astype(np.int32)
    weights = np.array(weight, np.float32)
    before = (items.copy(), weights.copy(), model.gram.copy())
    found = model.fold_in(items, weights)
    kept = weights != 0
    expected = _solved(model, items[kept], weights[kept], CONFIG.regularization)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=1e-3)
    for old, new in zip(before, (items, weights, model.gram), strict=True):
        np.testing.assert_array_equal(old, new)


_MODEL = _fit(CHECKERBOARD)


def _signed(weight: sparse.csr_matrix, alpha: float) -> sparse.csr_matrix:
    """`sign(w)·(1 + α|w|)`, the confidences that implicit expects."""
    signed = weight.copy()
    signed.data = np.sign(weight.data) * (1 + alpha * np.abs(weight.data))
    return signed


def test_fold_in_equals_implicits_own(shop_dataset: Dataset) -> None:
    config = ALSConfig(n_factors=16)
    user_items = _weighed(shop_dataset, config)
    with threadpool_limits(1, "blas"):
        solver = AlternatingLeastSquares(
            factors=16, regularization=config.regularization, iterations=3, num_threads=1, random_state=0
        )
        solver.fit(_signed(user_items, config.alpha), show_progress=False)
        gram = solver.item_factors.T @ solver.item_factors + config.regularization * np.eye(16, dtype=np.float32)
        model = ALSModel(solver.item_factors, np.asfortranarray(gram), config.alpha, 90.0, np.ones(9, np.float32))
        for user in range(0, len(shop_dataset.users), 7):
            row = user_items[user]
            theirs = solver.recalculate_user(0, _signed(row, config.alpha))
            ours = model.fold_in(row.indices, row.data)
            np.testing.assert_allclose(ours, theirs.ravel(), atol=TOLERANCE)


def test_an_empty_history_folds_in_to_zero() -> None:
    nobody = _MODEL.fold_in(np.empty(0, np.int32), np.empty(0, np.float32))
    assert nobody.tolist() == [0.0] * 6
    assert _MODEL.fold_in(np.array([3], np.int32), np.zeros(1, np.float32)).tolist() == [0.0] * 6


def test_an_empty_matrix_gives_zero_factors() -> None:
    for shape in ((0, 0), (3, 0), (0, 4), (3, 4)):
        model = _fit(np.zeros(shape, np.float32))
        assert model.item_factors.shape == (shape[1], 6)
        assert not model.item_factors.any()


def test_items_without_events_have_zero_factors() -> None:
    dense = CHECKERBOARD.copy()
    dense[:, 4] = 0
    assert not _fit(dense).item_factors[4].any()
    assert _fit(dense).item_factors[5].any()


def test_a_seed_gives_bit_equal_factors() -> None:
    assert _fit(CHECKERBOARD, seed=3).item_factors.tobytes() == _fit(CHECKERBOARD, seed=3).item_factors.tobytes()
    assert _fit(CHECKERBOARD, seed=3).item_factors.tobytes() != _fit(CHECKERBOARD, seed=4).item_factors.tobytes()


def test_hand_computed_weights() -> None:
    config = ALSConfig(half_life_days=1.0)
    kind = np.array([PURCHASE, VIEW, CART, REFUND, PURCHASE], np.int8)
    user, item = np.array([0, 0, 0, 1, -1], np.int32), np.array([1, 1, 0, 0, 0], np.int32)
    age_s = np.array([86_400, 0, 172_800, 0, 0], np.int64)
    found = weigh_events(user, item, kind, age_s, (2, 2), config)
    np.testing.assert_allclose(found.toarray(), [[0.5 / 4, 0.5 + 0.15], [-1.0, 0.0]], rtol=1e-6)


@given(shops(), st.randoms(use_true_random=False))
def test_weights_of_one_shopper_are_a_row_of_all(dataset: Dataset, random: object) -> None:
    config, events = ALSConfig(), dataset.events
    kinds = np.array([random.randrange(len(EVENT_NAMES)) for _ in range(len(events))], np.int8)  # type: ignore[attr-defined]
    age_s = dataset.end - events.timestamp
    shape = (len(dataset.users), len(dataset.items))
    whole = weigh_events(events.user_idx, events.item_idx, kinds, age_s, shape, config).toarray()
    model = fit_als(sparse.csr_matrix(shape, dtype=np.float32), config, np.random.default_rng(0))
    for user in range(shape[0]):
        own = events.user_idx == user
        rows, weight = model.weights_of(events.item_idx[own], kinds[own], age_s[own], np.ones(own.sum(), np.float32))
        row = np.zeros(shape[1])
        row[rows] = weight
        np.testing.assert_allclose(row, whole[user], atol=1e-6)


def _weighed(dataset: Dataset, config: ALSConfig) -> sparse.csr_matrix:
    events = dataset.events
    shape = (len(dataset.users), len(dataset.items))
    return weigh_events(
        events.user_idx, events.item_idx, events.event_type, dataset.end - events.timestamp, shape, config
    )


def test_leather_fans_are_separated_from_other_users(shop_engine: Engine) -> None:
    leather = shop_engine.items.rows(LEATHER)

    def taste(user_id: str) -> float:
        history = shop_engine.history.of(shop_engine.users.row(user_id), shop_engine.dataset_info.end)
        age_s = shop_engine.dataset_info.end - history.timestamp
        own = shop_engine.als.weights_of(history.item_idx, history.event_type, age_s, history.rating_weight)
        return float((shop_engine.als.item_factors[leather] @ shop_engine.als.fold_in(*own)).mean())

    others = [taste(user_id) for user_id in USERS_WITH_HISTORY if user_id not in LEATHER_FANS]
    assert min(taste(user_id) for user_id in LEATHER_FANS) > max(others)


def test_a_matrix_with_dislikes_only_is_factorized() -> None:
    model = _fit(-CHECKERBOARD)
    assert np.isfinite(model.item_factors).all()
    assert model.gram.flags.f_contiguous
    assert np.diag(model.gram).min() >= np.float32(CONFIG.regularization)
