"""Weights between one item and a long history, and the report of a search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.fitting.blend import HALF_WAY_ITEMS, NO_BLEND, Blend, Blends, Comparison, LearnedSettings, between


def test_weights_move_from_few_to_many() -> None:
    blend = Blend(sources=("als", "popular"), few=(0.0, 8.0), many=(1.0, 2.0))
    half = 1 + int(HALF_WAY_ITEMS)
    found = blend.weights(("popular", "als", "unknown"), np.array([0, 1, half, 10**6]))
    assert found[0] == pytest.approx([8, 8, 5, 2], rel=1e-4)
    assert found[1] == pytest.approx([0, 0, 0.5, 1], abs=1e-4)
    assert not found[2].any()


@given(st.floats(0, 10), st.floats(0, 10), st.integers(0, 1000))
def test_a_weight_lies_between_its_ends(few: float, many: float, n_items: int) -> None:
    value = between(np.array([few]), np.array([many]), np.array([n_items]))[0, 0]
    assert min(few, many) - 1e-9 <= value <= max(few, many) + 1e-9


def test_the_report_names_what_was_compared() -> None:
    assert not NO_BLEND.is_fitted
    assert Blends().to_dict() == {}
    blend = Blend(
        sources=("als",),
        few=(1.0,),
        many=(2.0,),
        order="ranker",
        metric="recall@10",
        orders=("ranker", "popularity"),
        values=(0.5, 0.25),
    )
    report = Blends(next=blend).to_dict()
    assert set(report) == {"next"}
    assert report["next"]["weights"] == {"als": [1.0, 2.0]}
    assert report["next"]["orders"] == {"ranker": 0.5, "popularity": 0.25}


def test_learned_settings_report_each_by_name() -> None:
    settings = LearnedSettings(("als.regularization",), (10.0,), (30.0,), ("ndcg@20",), (0.02,), (0.01,), (0.03,), 200)
    assert settings.to_dict()["als.regularization"] == {
        "configured": 10.0,
        "chosen": 30.0,
        "metric": "ndcg@20",
        "gain": {"mean": 0.02, "low": 0.01, "high": 0.03},
    }
    assert LearnedSettings().to_dict() == {}


def test_a_sentence_says_what_orders_a_list_and_what_it_beat() -> None:
    blend = Blend(
        sources=("als",),
        few=(1.0,),
        many=(1.0,),
        metric="ndcg@20",
        order="the source als",
        n_held_out=1200,
        orders=("learned weights", "the source als"),
        values=(0.25, 0.3),
    )
    (sentence,) = Blends(new=blend).sentences()
    assert sentence == (
        "discover: ordered by the source als, which reached ndcg@20 0.3000 on the latest 1,200 past requests "
        "(learned weights 0.2500)."
    )
    assert Blends().sentences() == ()


def test_a_comparison_without_weights_is_reported_too() -> None:
    found = Comparison("hit_rate@10", "popularity", 300, ("co-purchase", "popularity"), (0.1, 0.2))
    blends = Blends(together=found)
    assert blends.to_dict()["together"]["orders"] == {"co-purchase": 0.1, "popularity": 0.2}
    (sentence,) = blends.sentences()
    assert sentence.startswith("bought_together: ordered by popularity, which reached hit_rate@10 0.2000")
