"""The sum of trees, beside LightGBM's own to the last bit."""

from __future__ import annotations

import lightgbm
import numpy as np
import numpy.typing as npt
import pytest

from recsys.core.errors import BundleError
from recsys.kernels.trees import BLOCK, Forest, sum_trees, sum_trees_numpy

N_FEATURES = 8


def table(n: int, seed: int, unknown: float) -> npt.NDArray[np.float32]:
    """Values of every kind: a share of unknown ones, whole numbers, infinite ones, and a constant column."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, N_FEATURES)).astype(np.float32)
    values[:, 1] = rng.integers(0, 5, n)
    values[:, 2] = 3
    values[rng.random(values.shape) < unknown] = np.nan
    values[rng.random(values.shape) < 0.01] = np.inf
    return values


@pytest.fixture(scope="module", params=[(2, 0.0), (15, 0.2), (64, 0.2)], ids=str)
def booster(request: pytest.FixtureRequest) -> lightgbm.Booster:
    n_leaves, unknown = request.param
    features = table(3000, 0, unknown)
    known = np.nan_to_num(features, posinf=4)
    taken = known[:, 0] + known[:, 1] * known[:, 3] + np.random.default_rng(1).normal(size=3000) > 0
    params = {"objective": "binary", "num_leaves": n_leaves, "min_data_in_leaf": 5, "verbose": -1, "num_threads": 1}
    return lightgbm.train(params, lightgbm.Dataset(features, taken.astype(int), params={"verbose": -1}), 20)


@pytest.mark.parametrize("n", [0, 1, 300, BLOCK + 1])
@pytest.mark.parametrize("unknown", [0.0, 0.3, 1.0])
def test_the_sum_is_that_of_lightgbm(booster: lightgbm.Booster, n: int, unknown: float) -> None:
    features, forest = table(n, 2, unknown), Forest.read(booster.model_to_string())
    expected = np.asarray(booster.predict(features, num_threads=1, raw_score=True)) if n else np.empty(0)
    np.testing.assert_array_equal(forest.predict(features.T), expected)


@pytest.mark.parametrize("loop", [sum_trees_numpy, getattr(sum_trees, "py_func", sum_trees)])
def test_each_form_gives_the_same(booster: lightgbm.Booster, loop: type(sum_trees_numpy)) -> None:  # type: ignore[valid-type]
    columns, forest = np.ascontiguousarray(table(3, 3, 0.2).T), Forest.read(booster.model_to_string())
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(loop(columns, *vars(forest).values()), forest.predict(columns))


def test_values_on_a_threshold_turn_left() -> None:
    """The thresholds are double, the values single: the threshold between two neighbors is rounded down."""
    low = np.float32(0.1)
    high = np.nextafter(low, np.float32(1))
    features = np.repeat([low, high], 50).reshape(-1, 1)
    params = {"objective": "regression", "min_data_in_leaf": 1, "min_data_in_bin": 1, "verbose": -1, "num_threads": 1}
    data = lightgbm.Dataset(features, np.repeat([0.0, 1.0], 50), params=params)
    tree = lightgbm.train(params, data, 1)
    values = np.array([[np.nextafter(low, np.float32(0)), low, high, np.nextafter(high, np.float32(1))]], np.float32)
    np.testing.assert_array_equal(
        Forest.read(tree.model_to_string()).predict(values), tree.predict(values.T, num_threads=1)
    )


def test_other_trees_are_refused() -> None:
    params = {"objective": "regression", "min_data_in_leaf": 1, "num_leaves": 80, "verbose": -1, "num_threads": 1}
    features = np.arange(100.0).reshape(-1, 1)
    data = {"params": {"verbose": -1, "min_data_in_bin": 1}, "free_raw_data": False}
    large = lightgbm.train(params, lightgbm.Dataset(features, features[:, 0], **data), 1)
    with pytest.raises(BundleError, match="80 leaves, at most 64"):
        Forest.read(large.model_to_string())
    small = params | {"zero_as_missing": True, "num_leaves": 8}
    by_zero = lightgbm.train(small, lightgbm.Dataset(features, features[:, 0], **data), 1)
    with pytest.raises(BundleError, match="missing values as 'Zero'"):
        Forest.read(by_zero.model_to_string())
    categories = lightgbm.Dataset(features % 5, features[:, 0] % 5, categorical_feature=[0], **data)
    by_category = lightgbm.train(params | {"num_leaves": 4, "min_data_per_group": 1, "cat_smooth": 1}, categories, 1)
    with pytest.raises(BundleError, match="compares by '=='"):
        Forest.read(by_category.model_to_string())


def test_a_tree_without_nodes_is_a_constant() -> None:
    params = {"objective": "regression", "verbose": -1, "num_threads": 1}
    constant = lightgbm.train(params, lightgbm.Dataset(np.zeros((50, 1)), np.arange(50.0), params={"verbose": -1}), 2)
    forest = Forest.read(constant.model_to_string())
    np.testing.assert_array_equal(forest.predict(np.zeros((1, 3), np.float32)), constant.predict(np.zeros((3, 1))))
