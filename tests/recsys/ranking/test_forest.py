from __future__ import annotations

import lightgbm
import numpy as np
import pytest

from recsys.engine import Engine
from recsys.ranking.forest import BLOCK, read_forest
from recsys.ranking.ranker import Ranker

ORDER_OF_ADDITION = 1e-12
"""Room for sums of some hundred numbers near 1, added in another order."""


def _booster(num_leaves: int, seed: int, missing: float, n_rounds: int = 25) -> lightgbm.Booster:
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(3000, 6)), 1).astype(np.float32)
    x[:, 4] = rng.integers(0, 3, len(x))
    x[rng.random(x.shape) < missing] = np.nan
    x[:, 5] = 1.0
    truth = np.nan_to_num(x[:, 0]) * np.nan_to_num(x[:, 1]) + np.isnan(x[:, 2]) + rng.normal(size=len(x))
    parameters = {"objective": "regression", "num_leaves": num_leaves, "min_data_in_leaf": 5, "verbose": -1}
    data = lightgbm.Dataset(x, truth, params={"verbose": -1})
    return lightgbm.train({**parameters, "num_threads": 1}, data, n_rounds)


@pytest.mark.parametrize("num_leaves", [2, 7, 31, 32, 33, 64])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_masks_end_in_the_leaf_of_a_walk(num_leaves: int, missing: float) -> None:
    """At the thresholds themselves, between them, beyond them, and where a value is missing that never was before."""
    booster = _booster(num_leaves, num_leaves, missing)
    forest = read_forest(booster.model_to_string())
    assert forest is not None
    rng = np.random.default_rng(1)
    x = np.round(rng.normal(size=(BLOCK + 300, 6)) * 2, 1).astype(np.float32)
    x[rng.random(x.shape) < 0.3] = np.nan
    x[:40] = np.inf
    x[40:80] = -np.inf
    for feature, thresholds in enumerate(forest.thresholds):
        # LightGBM takes what is within 1e-35 of zero for zero; no feature of ours comes so near without being it.
        chosen = np.where(np.abs(thresholds) < 1e-30, 0, thresholds)[: len(x) - 80].astype(np.float32)
        x[80 : 80 + len(chosen), feature] = chosen
    expected = booster.predict(x, raw_score=True, num_threads=1)
    np.testing.assert_allclose(forest.predict(x), expected, rtol=ORDER_OF_ADDITION, atol=ORDER_OF_ADDITION)


def test_one_row_is_answered_as_among_many() -> None:
    forest = read_forest(_booster(31, 3, 0.1).model_to_string())
    assert forest is not None
    x = np.random.default_rng(2).normal(size=(20, 6)).astype(np.float32)
    together = forest.predict(x)
    for row, value in zip(x, together, strict=True):
        np.testing.assert_allclose(forest.predict(row[None]), value, rtol=ORDER_OF_ADDITION)
    assert len(forest.predict(x[:0])) == 0


def test_wider_trees_are_walked() -> None:
    text = _booster(65, 4, 0.1).model_to_string()
    assert read_forest(text) is None
    assert Ranker(text).log_odds(np.zeros((3, 6), np.float32)).shape == (3,)


def test_the_rankers_of_a_shop_say_what_lightgbm_says(shop_engine: Engine) -> None:
    rankers = [ranker for ranker in vars(shop_engine.rankers).values() if ranker.is_fitted]
    assert rankers
    rng = np.random.default_rng(5)
    for ranker in rankers:
        x = rng.exponential(10, (200, len(ranker.feature_names))).astype(np.float32)
        x[rng.random(x.shape) < 0.2] = np.nan
        expected = ranker.slope * ranker.booster.predict(x, num_threads=1) + ranker.intercept
        np.testing.assert_allclose(ranker.log_odds(x), expected, rtol=1e-9, atol=1e-9)
