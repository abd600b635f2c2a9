"""Verdicts: planted effects are shipped, planted harm and nothing are stopped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from recsys.experiments.analysis import ExperimentAnalysis, analyze_experiment
from recsys.experiments.definitions import ExperimentSettings
from recsys.experiments.outcomes import shopper_table
from recsys.experiments.verdict import Verdict, days_to_go, judge
from tests.recsys.experiments.files import definition
from tests.recsys.experiments.logs import simulated_log


def analysis(n: int, control: float, mixed: float, **changes: Any) -> tuple[ExperimentSettings, ExperimentAnalysis]:
    experiment = definition(**changes)
    log = simulated_log(experiment, n, {"control": control, "mixed": mixed})
    return experiment.settings, analyze_experiment(experiment, shopper_table(log), log.days)


def verdict(n: int, control: float, mixed: float, **changes: Any) -> Verdict:
    return judge(*analysis(n, control, mixed, **changes))


def test_a_better_variant_is_shipped() -> None:
    found = verdict(8000, 0.2, 0.28)
    assert (found.decision, found.variant, found.days) == ("ship", "mixed", None)
    assert found.text.startswith("Ship mixed: CTR is ")
    assert found.text_zh.startswith("上线mixed：点击率比对照组高")
    assert "at any look" in found.text


def test_a_harmful_variant_is_stopped() -> None:
    found = verdict(8000, 0.28, 0.2)
    assert (found.decision, found.variant) == ("stop", "mixed")
    assert "lower with mixed than in the control" in found.text
    assert "比对照组低" in found.text_zh


def test_an_effect_that_is_too_small_is_stopped() -> None:
    found = verdict(12_000, 0.5, 0.5, minimum_effect=0.15)
    assert found.decision == "stop"
    assert "no variant can raise CTR by 15%" in found.text


def test_no_number_of_days_is_guessed_without_shoppers() -> None:
    settings, found = analysis(400, 0.2, 0.2)
    empty = replace(found, shoppers=dict.fromkeys(found.shoppers, 0))
    said = judge(settings, empty)
    assert said.text == "Go on: one variant has no shopper yet, and the first verdict needs 200 of each."
    assert said.text_zh == "继续：有一组还没有顾客，每组至少200人才能下结论。"


def test_an_undecided_experiment_goes_on_for_a_number_of_days() -> None:
    found = verdict(4000, 0.2, 0.215)
    assert found.decision == "go_on"
    assert found.days is not None
    assert 1 <= found.days <= 29
    assert f"Go on for about {found.days} days" in found.text
    assert f"继续约{found.days}天" in found.text_zh


def test_the_forecast_is_shorter_for_a_larger_lift() -> None:
    settings, found = analysis(4000, 0.2, 0.215)
    effect = found.effect("ctr", "mixed")
    assert effect is not None
    larger = replace(effect, log_lift=effect.log_error * 2.8)
    smaller = replace(effect, log_lift=effect.log_error * 1.5)
    settings = replace(settings, max_days=1000)
    assert days_to_go(settings, found, larger) < days_to_go(settings, found, smaller)


def test_after_the_longest_duration_it_ends() -> None:
    found = verdict(4000, 0.2, 0.215, max_days=10)
    assert found.decision == "stop"
    assert "after 14 days no effect on CTR was found" in found.text


def test_few_shoppers_have_no_verdict() -> None:
    found = verdict(300, 0.1, 0.9)
    assert found.decision == "go_on"
    assert "the first verdict needs 200 of each" in found.text
    assert verdict(0, 0.1, 0.9).decision == "go_on"


def test_enough_shoppers_without_a_click_do_not_lack_shoppers() -> None:
    found = verdict(3000, 0.0, 0.0)
    assert found.decision == "go_on"
    assert found.text.startswith("Go on for at most 29 days: CTR of a group is 0 so far")
    assert "点击率目前为0" in found.text_zh
    late = verdict(3000, 0.0, 0.0, max_days=10)
    assert late.decision == "stop"
    assert "a group still has no CTR above 0" in late.text
    assert late.text_zh.startswith("停止：14天后")


def test_wrong_shares_stop_everything() -> None:
    settings, found = analysis(8000, 0.2, 0.28)
    wrong = judge(settings, replace(found, sample_ratio_p=1e-6))
    assert wrong.decision == "stop"
    assert "the shares of shoppers are not the planned ones" in wrong.text


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(-0.01, 0.1, "ship"), (-0.2, 0.1, "go_on"), (-0.2, -0.1, "stop")]
)
def test_guardrails_are_non_inferiority(low: float, high: float, expected: str) -> None:
    settings, found = analysis(8000, 0.2, 0.28, guardrails=[{"metric": "conversion", "margin": 0.05}])
    effects = tuple(
        replace(each, low=low, high=high) if each.metric == "conversion" else each for each in found.effects
    )
    result = judge(settings, replace(found, effects=effects))
    assert result.decision == expected
    reason = {"ship": "no guardrail is harmed", "go_on": "a guardrail is not decided yet", "stop": "lowers conversion"}
    assert reason[expected] in result.text
