from __future__ import annotations

import numpy as np
import pytest

from recsys.planner.draws import in_holdout, uniform_draws

IDS = [f"u{n}" for n in range(20_000)]


def test_draws_are_uniform_and_independent_by_key() -> None:
    a, b = uniform_draws("a", IDS), uniform_draws("b", IDS)
    assert (a >= 0).all()
    assert (a < 1).all()
    assert np.histogram(a, 10, (0, 1))[0] == pytest.approx(np.full(10, 2000), abs=200)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.03
    assert uniform_draws("a", []).tolist() == []


def test_a_draw_depends_on_its_id_alone() -> None:
    assert uniform_draws("a", IDS[5:7]).tolist() == uniform_draws("a", IDS)[5:7].tolist()
    assert uniform_draws("a", ["用户", "\ud800"]).shape == (2,)


def test_a_larger_holdout_keeps_the_smaller_one() -> None:
    small, large = in_holdout("plan", IDS, 0.01), in_holdout("plan", IDS, 0.05)
    assert small.mean() == pytest.approx(0.01, abs=0.003)
    assert (large[small]).all()
    assert not in_holdout("plan", IDS, 0.0).any()
    assert in_holdout("plan", IDS, 1.0).all()
