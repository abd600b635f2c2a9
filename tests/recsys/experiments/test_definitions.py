"""The file of experiments: what it means, and what is refused."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import Any

import pytest

from recsys.core.errors import ConfigError
from recsys.experiments.assignment import RunningExperiment
from recsys.experiments.definitions import Guardrail, PermanentHoldout, parse_experiments
from tests.recsys.experiments.files import EXPERIMENTS, definition


def test_a_file_is_read_with_its_defaults() -> None:
    file = parse_experiments(tomllib.loads(EXPERIMENTS))
    calm, tail, pairs = file.experiments.values()
    assert file.holdout.share == 0.05
    assert calm.settings.guardrails == (Guardrail("conversion", 0.03),)
    assert [each.name for each in calm.variants] == ["control", "mixed", "short"]
    assert calm.placements == {"for_you"}
    assert calm.salt == tail.salt != pairs.salt
    assert [each.weight for each in tail.variants] == [3.0, 1.0]
    assert tail.settings.primary == "ctr"
    assert tail.variant("more") is tail.variants[1]
    assert tail.variant("less") is None


def test_variants_name_bundles() -> None:
    found = definition(variants={"control": {"bundle": "v1"}, "b": {"bundle": "v2", "weight": 2}, "c": {}})
    assert [each.bundle for each in found.variants] == ["v1", "v2", ""]
    assert found.bundles == {"v1", "v2"}
    assert definition().bundles == frozenset()
    running = RunningExperiment(found, 1.0, PermanentHoldout())
    assert running.bundles == {"v1", "v2"}
    assert replace(running, retired=("b",)).bundles == {"v1"}


def test_the_control_comes_first_wherever_it_is_written() -> None:
    found = definition(variants={"b": {"placements": {"for_you": {"limit": 3}}}, "control": {}})
    assert [each.name for each in found.variants] == ["control", "b"]


@pytest.mark.parametrize(
    "changes",
    [
        {"part": [0.0, 0.5]},
        {"variants": {"control": {"weight": 2}, "mixed": {"placements": {"for_you": {"diversity": 0.3}}}}},
        {"variants": {"control": {}, "mixed": {"placements": {"for_you": {"diversity": 0.4}}}}},
        {"variants": {"control": {}, "other": {"placements": {"for_you": {"diversity": 0.3}}}}},
        {"variants": {"control": {}, "mixed": {"placements": {"for_you": {"diversity": 0.3}}, "bundle": "v1"}}},
        {
            "variants": {
                "control": {},
                "mixed": {"placements": {"for_you": {"diversity": 0.3}}, "plan": {"value": "price"}},
            }
        },
    ],
)
def test_the_digest_changes_with_who_sees_what(changes: dict[str, Any]) -> None:
    assert definition(**changes).digest != definition().digest
    assert definition(max_days=7, primary="conversion").digest == definition().digest


ODD_NAMES = ("", " ", "../../x", "a/b", "a\nb", "x" * 65, "abc\u202edef", "a\u200bb", "-a", "a\x00", "a:b", "a ", "😀")


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("place", ["experiments", "layers", "experiments.calm.variants"])
def test_names_that_not_everything_can_carry_are_refused(name: str, place: str) -> None:
    calm = {"control": {}, "mixed": {"placements": {"for_you": {"limit": 3}}}}
    tables: dict[str, Any] = {"layers": {}, "experiments": {"calm": {"variants": calm}}}
    if place == "layers":
        tables["layers"][name] = {"salt": "s"}
    elif place == "experiments":
        tables["experiments"][name] = {"variants": calm}
    else:
        calm[name] = {}
    with pytest.raises(ConfigError) as error:
        parse_experiments(tables)
    found = str(error.value)
    assert f"'a name in {place}' is {name!r}"[:60] in found
    assert "expected 1 to 64 letters" in found
    assert "rename it" in found
    assert found.isprintable()


@pytest.mark.parametrize("name", ["calm", "双十一", "v1.2", "home page +20", "x" * 64, "_a"])
def test_names_of_any_language_are_accepted(name: str) -> None:
    assert definition(variants={"control": {}, name: {}}).variants[1].name == name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"primry": "ctr"},
            "'experiments.calm.primry' ('ctr') is not a known key: do you mean 'experiments.calm.primary'",
        ),
        ({"primary": "clicks"}, "'experiments.calm.primary' is 'clicks'"),
        ({"max_days": 10**18}, "'experiments.calm.max_days' is 1000000000000000000"),
        ({"min_shoppers": 2**63 - 1}, "'experiments.calm.min_shoppers' is"),
        ({"minimum_effect": 1e-300}, "'experiments.calm.minimum_effect' is 1e-300"),
        ({"minimum_effect": 1e300}, "'experiments.calm.minimum_effect' is 1e+300"),
        ({"alpha": 1e-300}, "'experiments.calm.alpha' is 1e-300"),
        ({"part": [0.5, 0.5]}, "'experiments.calm.part' is [0.5, 0.5]"),
        ({"layer": "hom"}, "'experiments.calm.layer' is 'hom', which is not a known layer"),
        ({"variants": {"control": {}}}, "'control' and at least one other variant"),
        ({"variants": {"a": {}, "b": {}}}, "'control' and at least one other variant"),
        (
            {"variants": {"control": {"placements": {"for_you": {"limit": 2}}}, "b": {}}},
            "the control is what is served",
        ),
        ({"variants": {"control": {"weight": 0}, "b": {}}}, "'experiments.calm.variants.control.weight' is 0"),
        ({"variants": {"control": {"weight": 10**400}, "b": {}}}, "a number > 0, at most 1,000,000"),
        ({"variants": {"control": {"weight": 1e308}, "b": {}}}, "a number > 0, at most 1,000,000"),
        ({"variants": {"control": {"wieght": 1}, "b": {}}}, "do you mean 'experiments.calm.variants.control.weight'"),
        ({"variants": {"control": {}, "b": 3}}, "'experiments.calm.variants.b' is 3, expected a table"),
        ({"variants": {"control": {}, "b": {"placements": {"for_you": 3}}}}, "placements.for_you' is 3"),
        ({"variants": 3}, "'experiments.calm.variants' is 3, expected a table"),
        ({"guardrails": [{"metric": "ctr", "margin": 0}]}, "margin"),
        (
            {"variants": {"control": {}, "b": {"bundle": ""}}},
            "'experiments.calm.variants.b.bundle' is '', expected the",
        ),
        ({"variants": {"control": {}, "b": {"bundle": "../x"}}}, "b.bundle' is '../x', expected the name of a bundle"),
        ({"variants": {"control": {"bundle": 3}, "b": {}}}, "control.bundle' is 3, expected the name of a bundle"),
        (
            {"variants": {"control": {"plan": {"caps": {}}}, "b": {}}},
            "control.plan' is {'caps': {}}, expected none: the control is what is served anyway",
        ),
        ({"variants": {"control": {}, "b": {"plan": 3}}}, "'experiments.calm.variants.b.plan' is 3, expected a table"),
        ({"variants": {"control": {}, "b": {"plan": {"key": "x"}}}}, "b.plan.key' is 'x', expected none: it is the"),
        (
            {"promote_winner": True, "variants": {"control": {}, "b": {"bundle": "v1"}}},
            "'experiments.calm.promote_winner' is True, expected false: only changes of placements can be promoted",
        ),
    ],
)
def test_faults_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        definition(**changes)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"layers": {"home": {"slat": "x"}}}, "'layers.home'"),
        ({"layers": {"home": {"salt": 3}}}, "'layers.home.salt' is 3, expected a text"),
        ({"holdout": {"share": 2}}, "'holdout.share' is 2"),
        ({"experiments": {"holdout": {}}}, "'experiments.holdout' is 'holdout', expected another name"),
        ({"experiments": {"a": 3}}, "'experiments.a' is 3, expected a table"),
        ({"experiments": 3}, "'experiments' is 3, expected a table"),
    ],
)
def test_faults_of_the_whole_file_are_named(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_experiments(document)
    assert message in str(error.value)
