"""The engine as it is stored: what it answers is what the fitted arrays answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recsys.fitting.compact import compact
from recsys.fitting.engine import Engine
from recsys.models.compact_rows import LARGEST, CompactRows
from tests.recsys.tiny_engine import tiny_engine


@pytest.fixture(scope="module")
def engine() -> Engine:
    return tiny_engine()


@pytest.mark.parametrize("name", ["als.item_factors", "content.embedding", "hybrid.vectors", "hybrid.similar_score"])
def test_vectors_and_scores_are_those_of_the_arrays_up_to_their_rounding(engine: Engine, name: str) -> None:
    model, field = name.split(".")
    before, after = (getattr(getattr(each, model), field) for each in (engine, compact(engine)))
    stored: Any = after
    assert isinstance(stored, CompactRows)
    unit = np.abs(before).max(axis=1, keepdims=True) / LARGEST
    assert (np.abs(np.asarray(after) - before) <= 0.501 * unit).all()


@pytest.mark.parametrize("name", ["partners", "bought_together", "complementary"])
def test_lists_are_those_of_the_arrays(engine: Engine, name: str) -> None:
    before, after = (getattr(each.copurchase, name) for each in (engine, compact(engine)))
    np.testing.assert_array_equal(after.item_idx[:], before.item_idx)
    np.testing.assert_array_equal(after.n_together[:], before.n_together)
    np.testing.assert_allclose(after.score[:], before.score, rtol=3e-6)
