"""Assignment: deterministic, in the planned shares, and with a ramp that only lets shoppers in."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.experiments.assignment import (
    OUTSIDE,
    RunningExperiment,
    assign,
    is_held_out,
    planned_shares,
    uniform_of,
    variant_of,
)
from recsys.experiments.definitions import PermanentHoldout, parse_experiments
from recsys.experiments.sequences import sample_ratio_p
from tests.recsys.experiments.files import definition

SHOPPERS = [f"shopper {n}" for n in range(20_000)]
NOBODY = PermanentHoldout()
THREE = {
    "control": {"weight": 2},
    "a": {"placements": {"for_you": {"limit": 3}}},
    "b": {"placements": {"for_you": {"limit": 4}}},
}


@given(st.text(min_size=1), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_ramp_moves_nobody_but_from_outside_in(shopper: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    experiment = RunningExperiment(definition(variants=THREE), small, NOBODY)
    before, after = variant_of(experiment, shopper), variant_of(replace(experiment, share=large), shopper)
    assert before in (OUTSIDE, after)


def test_shares_are_as_planned() -> None:
    experiment = RunningExperiment(definition(variants=THREE), 0.5, NOBODY)
    counts = Counter(assign(experiment, SHOPPERS))
    assert counts[OUTSIDE] == pytest.approx(10_000, abs=300)
    shares = planned_shares(experiment.definition)
    assert shares == {"control": 0.5, "a": 0.25, "b": 0.25}
    assert sample_ratio_p([counts[name] for name in shares], list(shares.values())) > 0.01


def test_a_retired_variant_moves_only_its_own_shoppers_out() -> None:
    experiment = RunningExperiment(definition(variants=THREE), 1.0, NOBODY)
    before = assign(experiment, SHOPPERS)
    after = assign(replace(experiment, retired=("a",)), SHOPPERS)
    assert {(old, new) for old, new in zip(before, after, strict=True) if old != new} == {("a", OUTSIDE)}
    assert planned_shares(experiment.definition, ("a",)) == pytest.approx({"control": 2 / 3, "b": 1 / 3})


def test_experiments_of_one_layer_share_its_shoppers_without_overlap() -> None:
    two = {"control": {}, "b": {"placements": {"for_you": {"limit": 4}}}}
    file = parse_experiments(
        {
            "layers": {"home": {}},
            "experiments": {
                "x": {"layer": "home", "part": [0.0, 0.4], "variants": two},
                "y": {"layer": "home", "part": [0.4, 1.0], "variants": two},
                "z": {"variants": two},
            },
        }
    )
    x, y, z = (assign(RunningExperiment(each, 1.0, NOBODY), SHOPPERS) for each in file.experiments.values())
    assert all((first == OUTSIDE) != (second == OUTSIDE) for first, second in zip(x, y, strict=True))
    pairs = Counter((first, second) for first, second in zip(x, z, strict=True) if first != OUTSIDE)
    expected = np.full(4, sum(pairs.values()) / 4)
    assert np.array(list(pairs.values())) == pytest.approx(expected, rel=0.06)


def test_the_holdout_is_in_no_experiment() -> None:
    holdout = PermanentHoldout(0.1, "2026")
    held = [shopper for shopper in SHOPPERS if is_held_out(holdout, shopper)]
    assert len(held) == pytest.approx(2000, abs=150)
    assert set(assign(RunningExperiment(definition(), 1.0, holdout), held)) == {OUTSIDE}
    assert not any(is_held_out(NOBODY, shopper) for shopper in held)


def test_draws_are_uniform_and_the_same_in_every_release() -> None:
    draws = np.array([uniform_of("salt", shopper) for shopper in SHOPPERS])
    assert np.histogram(draws, 10, (0, 1))[0] == pytest.approx(np.full(10, 2000), abs=200)
    assert uniform_of("salt", "用户 1") == 0.9625492674417803
