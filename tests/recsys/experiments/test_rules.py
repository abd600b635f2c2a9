"""Rules: losers are retired, winners promoted, and chance does neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recsys.experiments.definitions import ExperimentDefinition
from recsys.experiments.outcomes import shopper_table
from recsys.experiments.rules import losers, rule_changes
from recsys.experiments.state import change_state, read_experiments
from recsys.experiments.transitions import start, undo
from recsys.experiments.verdict import Verdict
from tests.recsys.experiments.files import definition, write_experiments
from tests.recsys.experiments.logs import simulated_log

AT = "2026-11-01T00:00:00Z"
THREE = {"control": {}, "a": {"placements": {"for_you": {"limit": 3}}}, "b": {"placements": {"for_you": {"limit": 4}}}}
SHIP = Verdict("ship", "mixed", None, "Ship mixed.", "上线mixed。")
GO_ON = Verdict("go_on", "", 3, "Go on.", "继续。")


def found(clicks: dict[str, float], n: int = 3000, **changes: Any) -> dict[str, str]:
    experiment = definition(variants=THREE, **changes)
    return dict(losers(experiment, shopper_table(simulated_log(experiment, n, clicks))))


def test_a_variant_that_nobody_clicks_is_a_loser() -> None:
    result = found({"control": 0.4, "a": 0.004, "b": 0.3})
    assert list(result) == ["a"]
    assert "is below 5% of that of all variants" in result["a"]


def test_the_rule_waits_for_impressions_and_for_clicks_that_chance_cannot_miss() -> None:
    assert found({"control": 0.4, "a": 0.0, "b": 0.3}, n=600) == {}
    assert found({"control": 0.004, "a": 0.0, "b": 0.004}) == {}
    assert found({"control": 0.4, "a": 0.0, "b": 0.3}, n=600, retire={"min_impressions": 100}) != {}


def test_the_last_variant_and_the_control_are_not_retired() -> None:
    assert found({"control": 0.9, "a": 0.0, "b": 0.0}) == {}
    assert found({"control": 0.0, "a": 0.3, "b": 0.3}) == {}
    assert found({"control": 0.0, "a": 0.0, "b": 0.0}) == {}


def changes(experiment: ExperimentDefinition, verdict: Verdict) -> list[Any]:
    clicks = {each.name: 0.3 for each in experiment.variants}
    return rule_changes(experiment, shopper_table(simulated_log(experiment, 100, clicks)), verdict, AT)


def test_winners_are_promoted_only_where_the_definition_says_so(tmp_path: Path) -> None:
    assert changes(definition(), SHIP) == []
    assert changes(definition(promote_winner=True), GO_ON) == []
    path = write_experiments(tmp_path)
    change_state(path, start("calm", AT))
    (change,) = changes(definition(promote_winner=True), SHIP)
    assert change_state(path, change).state("calm").winner == "mixed"
    assert change_state(path, undo(AT)).running()
    assert read_experiments(path).states.history[1].why == "Ship mixed."


def test_losers_are_retired_by_a_change_that_can_be_undone(tmp_path: Path) -> None:
    experiment = definition(variants=THREE)
    shoppers = shopper_table(simulated_log(experiment, 3000, {"control": 0.4, "a": 0.0, "b": 0.3}))
    (change,) = rule_changes(experiment, shoppers, GO_ON, AT)
    changed = "{placements.for_you = {limit = 3}}"
    path = write_experiments(tmp_path, f"[experiments.calm.variants]\ncontrol = {{}}\na = {changed}\nb = {changed}\n")
    change_state(path, start("calm", AT))
    assert change_state(path, change).state("calm").retired == ("a",)
    assert change_state(path, undo(AT)).state("calm").retired == ()
