from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from recsys.models.pairs.basket_pairs import Baskets
from recsys.models.pairs.same_trip import SameTrip


def trips(*lines: tuple[int, list[int]]) -> SameTrip:
    matrix = np.zeros((len(lines), 5), np.float32)
    for row, (_, items) in enumerate(lines):
        matrix[row, items] = 1
    user = np.array([user for user, _ in lines], np.int32)
    return SameTrip.of(Baskets(sparse.csr_matrix(matrix), np.arange(len(lines)), user))


def lift(found: SameTrip, first: int, second: int) -> float:
    return float(found.lift(np.array([first], np.int32), np.array([second], np.int32))[0])


def test_by_hand() -> None:
    """User 1: sizes 2, 2 and 4, so 24 / 64; two baskets with item 0, two with item 1, both in one."""
    found = trips((1, [0, 2]), (1, [1, 2]), (1, [0, 1, 2, 3]), (2, [0, 1]), (-1, [0, 1]), (-1, [0, 1]))
    expected = 2 * 2 * 24 / 64
    assert lift(found, 0, 1) == pytest.approx(1 / expected)


@pytest.mark.parametrize("lines", [(), ((1, [0, 1]), (2, [0, 1])), ((-1, [0, 1]), (-1, [0, 1])), ((1, [0]), (1, [1]))])
def test_without_shoppers_of_several_trips_nothing_is_explained(lines: tuple[tuple[int, list[int]], ...]) -> None:
    assert lift(trips(*lines), 0, 1) == np.inf


@pytest.mark.parametrize(("is_needed", "low", "high"), [(False, 0.8, 1.3), (True, 4.0, 20.0)])
def test_habits_are_told_from_needs(is_needed: bool, low: float, high: float) -> None:
    rng = np.random.default_rng(1)
    lines = []
    for user in range(100):
        for _ in range(30):
            bought = set((2 + rng.permutation(3)[:2]).tolist())
            if is_needed:
                bought |= {0, 1} if rng.random() < 0.1 else set()
            elif user < 20:
                bought |= {item for item in (0, 1) if rng.random() < 0.5}
            lines.append((user, sorted(bought)))
    assert low < lift(trips(*lines), 0, 1) < high
