"""Runs of purchases, by hand and against loops."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from recsys.ranking.purchase_runs import PurchaseRuns

Line = tuple[int, int]
LINES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), max_size=25).map(
    lambda lines: sorted(lines, key=lambda line: line[1])
)


def runs_of(lines: list[Line]) -> PurchaseRuns:
    """Group purchases, (item, basket) in order of time; a basket's number is its time."""
    item, basket = (np.array(column, np.int32) for column in (zip(*lines, strict=True) if lines else ((), ())))
    bought = SimpleNamespace(item_idx=item, basket_idx=basket, timestamp=basket.astype(np.int64))
    return PurchaseRuns.of_items(cast(Any, SimpleNamespace(bought=bought)))


def test_runs_by_hand() -> None:
    """Item 3 is bought in baskets 0 and 2 and item 1 twice in basket 1."""
    runs = runs_of([(3, 0), (1, 1), (1, 1), (3, 2)])
    assert runs.label.tolist() == [1, 3]
    assert runs.count.tolist() == [1, 2]
    assert runs.timestamp.tolist() == [1, 0, 2]
    assert runs.summed(runs.timestamp.astype(np.float64)).tolist() == [1, 2]
    spread = runs.spread([runs.count], np.array([3, 0, 1], np.int32), [-1.0])
    assert spread.tolist() == [[2], [-1], [1]]


def test_runs_by_type_by_hand() -> None:
    """Items 0 and 2 are of type 5, item 1 of none."""
    runs = runs_of([(2, 0), (1, 1), (0, 2)]).by(np.array([5, -1, 5], np.int32))
    assert runs.label.tolist() == [5]
    assert runs.timestamp.tolist() == [0, 2]


@given(LINES)
def test_runs_equal_sets_of_baskets(lines: list[Line]) -> None:
    runs = runs_of(lines)
    baskets = {item: sorted({basket for each, basket in lines if each == item}) for item, _ in lines}
    assert runs.label.tolist() == sorted(baskets)
    assert len(runs) == len(baskets)
    found = [runs.timestamp[start : start + n].tolist() for start, n in zip(runs.starts, runs.count, strict=True)]
    assert found == [baskets[item] for item in sorted(baskets)]
    assert runs.line.tolist() == [item for item in sorted(baskets) for _ in baskets[item]]
