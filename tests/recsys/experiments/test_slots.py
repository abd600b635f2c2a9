"""Probabilities of positions under a rotation, compared with draws of the server's own code."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.experiments.slots import MAX_RANK, draw_probabilities, slot_probabilities
from recsys.rules.diversity import gumbel_keys, propensities


@pytest.mark.parametrize(("n", "k", "rotation"), [(5, 5, 0.5), (30, 6, 0.3), (200, 4, 1.0), (3, 1, 0.1)])
def test_positions_have_the_frequency_of_the_servers_draws(n: int, k: int, rotation: float) -> None:
    rng = np.random.default_rng(1)
    n_draws = 20_000
    keys = gumbel_keys(n, rng.random((n_draws, n)), rotation)
    order = np.argsort(-keys, axis=1)[:, :k]
    found = slot_probabilities(n, k, rotation)
    for position in range(k):
        frequency = np.bincount(order[:, position], minlength=n)[: len(found)] / n_draws
        np.testing.assert_allclose(found[:, position], frequency, atol=5 * 0.5 / np.sqrt(n_draws))


@pytest.mark.parametrize("rotation", [0.2, 0.6, 1.0])
def test_the_probabilities_of_a_position_and_of_an_item_add_up(rotation: float) -> None:
    whole = slot_probabilities(12, 12, rotation)
    np.testing.assert_allclose(whole.sum(axis=0), 1.0, atol=2e-3)
    np.testing.assert_allclose(whole.sum(axis=1), 1.0, atol=2e-3)


def test_without_rotation_the_order_is_certain() -> None:
    np.testing.assert_array_equal(slot_probabilities(4, 2, 0.0), [[1, 0], [0, 1], [0, 0], [0, 0]])
    assert draw_probabilities(np.array([1, 2]), 4, 0.0).tolist() == [1, 1]
    assert draw_probabilities(np.array([1, 3]), 4, 0.0).tolist() == [1, 0]


def test_draws_have_the_logged_propensities() -> None:
    order = np.random.default_rng(2).permutation(40)
    np.testing.assert_allclose(draw_probabilities(order[:10] + 1, 40, 0.4), propensities(order, 0.4)[:10])


def test_only_the_first_ranks_are_computed() -> None:
    assert slot_probabilities(300, 3, 0.5).shape == (MAX_RANK, 3)
