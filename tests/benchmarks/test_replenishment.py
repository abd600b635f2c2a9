from __future__ import annotations

import pytest

from benchmarks.replenishment import measure
from tests.recsys.models.moments.test_replenishment import planted


def test_a_planted_rhythm_is_found_and_frequency_alone_is_not_enough() -> None:
    """Soap is bought three times as often as rice, so it is the most frequent item of everyone, due or not."""
    found = measure(planted(), limit=1)
    assert found["precision"]["value"] > found["precision_of_most_frequent"]["value"]
    assert found["precision"]["low"] <= found["precision"]["value"] <= found["precision"]["high"]
    assert found["ratio"]["low"] > 1
    assert found["precision"]["value"] <= found["best_possible_precision"]["value"]
    assert found["mean_probability"] == pytest.approx(found["precision"]["value"], abs=0.1)
