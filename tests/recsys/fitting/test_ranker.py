"""A trained ranker and its settings, by hand on one tree."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest

from recsys.fitting.ranker import NO_RANKER, Ranker

NAMES = ["weight", "noise"]


@pytest.fixture(scope="module")
def booster() -> lightgbm.Booster:
    """One tree that splits on the first feature."""
    features = np.column_stack([np.arange(40) % 2, np.zeros(40)]).astype(np.float32)
    params = {"objective": "regression", "min_data_in_leaf": 1, "num_threads": 1, "verbose": -1}
    data = lightgbm.Dataset(features, features[:, 0].copy(), feature_name=NAMES, params={"verbose": -1})
    return lightgbm.train(params, data, 1)


def test_log_odds_are_the_calibrated_score_of_the_trees(booster: lightgbm.Booster) -> None:
    ranker = Ranker(booster.model_to_string(), slope=2.0, intercept=-1.0)
    features = np.array([[0, 0], [1, 0]], np.float32)
    np.testing.assert_allclose(ranker.log_odds(features), 2 * np.asarray(booster.predict(features)) - 1)
    assert ranker.feature_names == tuple(NAMES) == tuple(booster.feature_name())
    assert "booster" not in vars(ranker), "lists and bundles need no LightGBM"
    assert NO_RANKER.feature_names == ()


def test_importances_are_shares_of_the_gain_in_descending_order(booster: lightgbm.Booster) -> None:
    importances = Ranker(booster.model_to_string(importance_type="gain")).importances
    assert list(importances) == NAMES
    assert list(importances.values()) == pytest.approx([1, 0])


def test_no_ranker_is_unfitted_and_has_no_importances() -> None:
    assert not NO_RANKER.is_fitted
    assert NO_RANKER.importances == {}
