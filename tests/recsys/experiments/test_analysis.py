"""The analysis of one experiment over all its metrics."""

from __future__ import annotations

import math

import pytest

from recsys.experiments.analysis import METRICS, analyze_experiment
from recsys.experiments.outcomes import shopper_table
from tests.recsys.experiments.files import definition
from tests.recsys.experiments.logs import simulated_log

THREE = {"control": {}, "a": {"placements": {"for_you": {"limit": 3}}}, "b": {"placements": {"for_you": {"limit": 4}}}}


def test_a_planted_effect_is_found_and_no_other() -> None:
    experiment = definition(variants=THREE)
    log = simulated_log(experiment, 12_000, {"control": 0.2, "a": 0.26, "b": 0.2})
    found = analyze_experiment(experiment, shopper_table(log), log.days)
    better, same = found.effect("ctr", "a"), found.effect("ctr", "b")
    assert better is not None
    assert same is not None
    assert better.low > 0.05
    assert better.low < 0.3 < better.high
    assert better.control == pytest.approx(0.05, abs=0.005)
    assert same.low < 0 < same.high
    assert better.p_value < 0.001 < 0.05 < same.p_value
    assert found.sample_ratio_p > 0.05
    assert sum(found.shoppers.values()) == 12_000
    assert found.crossed == 0
    assert {each.metric for each in found.effects} == set(METRICS)
    assert all(each.low < 0 < each.high for each in found.effects if each.metric != "ctr")


def test_a_sequence_is_wider_than_the_interval_for_one_look() -> None:
    experiment = definition()
    log = simulated_log(experiment, 3000, {"control": 0.2, "mixed": 0.2})
    for effect in analyze_experiment(experiment, shopper_table(log), log.days).effects:
        assert effect.low < effect.fixed_low < effect.lift < effect.fixed_high < effect.high


def test_the_primary_metric_alone_is_adjusted_for_the_variants() -> None:
    experiment = definition(variants=THREE)
    log = simulated_log(experiment, 6000, {"control": 0.2, "a": 0.24, "b": 0.2})
    shoppers = shopper_table(log)
    both = analyze_experiment(experiment, shoppers, log.days)
    one = analyze_experiment(experiment, shoppers, log.days, retired=("b",))
    adjusted, alone = both.effect("ctr", "a"), one.effect("ctr", "a")
    assert adjusted is not None
    assert alone is not None
    assert adjusted.p_value == pytest.approx(min(2 * alone.p_value, 1))
    assert adjusted.low < alone.low
    assert one.effect("ctr", "b") is None
    assert list(one.shoppers) == ["control", "a"]
    assert (both.others, one.others) == ({}, {"b": both.shoppers["b"]})


def test_without_clicks_or_shoppers_nothing_is_claimed() -> None:
    experiment = definition()
    log = simulated_log(experiment, 500, {"control": 0.0, "mixed": 0.0})
    found = analyze_experiment(experiment, shopper_table(log), log.days)
    ctr = found.effect("ctr", "mixed")
    assert ctr is not None
    assert math.isnan(ctr.lift)
    nobody = analyze_experiment(experiment, shopper_table(log).head(0), 0.0)
    assert nobody.effects == ()
    assert nobody.sample_ratio_p == 1
