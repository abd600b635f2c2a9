"""Push plans as variants: their settings, and who gets which."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recsys.core.errors import ConfigError
from recsys.eventlog.store import LogEntry, StoredEntry
from recsys.experiments.assignment import RunningExperiment, variant_of
from recsys.experiments.definitions import PermanentHoldout
from recsys.live.view import LiveView
from recsys.pipeline.recommender import Recommender
from recsys.planner.config import PlanConfig
from recsys.planner.message_log import no_messages
from recsys.planner.past_weeks import PlanModel
from recsys.planner.plan_file import LearnedPlan, read_plan_file, write_plan_file
from recsys.planner.plan_variants import check_plans, planners, variant_plans
from recsys.rules.loader import parse_placements
from tests.recsys.experiments.files import book_of, definition
from tests.recsys.planner.conftest import LISTS

BUILT_IN = parse_placements({}).placements
MORE = {"control": {}, "more": {"plan": {"caps": {"messages_per_week": 5}}}}


def running(share: float = 1.0) -> RunningExperiment:
    return RunningExperiment(definition(variants=MORE), share, PermanentHoldout())


def test_a_variant_changes_single_settings_of_the_plan() -> None:
    plans = variant_plans({"value": "price", "caps": {"item_days": 9}}, definition(variants=MORE), BUILT_IN)
    assert plans["control"] == PlanConfig(value="price", caps=replace(PlanConfig().caps, item_days=9))
    assert plans["more"].caps == replace(plans["control"].caps, messages_per_week=5)
    assert plans["more"].value == "price"


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"caps": {"messages_per_week": 0}}, "variants.b.plan: 'caps.messages_per_week' is 0, expected"),
        ({"cap": {}}, "variants.b.plan: 'cap' ({}) is not a known key: do you mean 'caps'"),
        ({"caps": 3}, "'caps' is 3, expected a table"),
        ({"lists": ["for_yu"]}, "variants.b.plan: 'lists[0]' is 'for_yu'"),
        ({"lists": ["similar"]}, "variants.b.plan: 'lists[0]' is 'similar'"),
    ],
)
def test_faults_are_named_before_the_start(plan: dict[str, Any], message: str) -> None:
    book = book_of(experiments={"calm": {"variants": {"control": {}, "b": {"plan": plan}}}})
    with pytest.raises(ConfigError) as error:
        check_plans(book, BUILT_IN)
    assert message in str(error.value)
    check_plans(book_of(experiments={"calm": {"variants": MORE}}), BUILT_IN)


@pytest.fixture
def learned(plan_config: PlanConfig, plan_model: PlanModel) -> LearnedPlan:
    plan = LearnedPlan(plan_config, LISTS, plan_model)
    more = replace(plan_config, caps=replace(plan_config.caps, messages_per_week=5))
    return LearnedPlan(
        plan_config, LISTS, plan_model, (), {"calm": {"control": plan, "more": LearnedPlan(more, LISTS, plan_model)}}
    )


def test_a_plan_file_has_the_variants(learned: LearnedPlan, tmp_path: Path) -> None:
    write_plan_file(tmp_path / "plan.json", learned)
    read = read_plan_file(tmp_path / "plan.json")
    assert {key: each.config for key, each in read.variants["calm"].items()} == {
        key: each.config for key, each in learned.variants["calm"].items()
    }
    assert len(read.every) == 3


def test_each_shopper_has_the_plan_of_the_own_variant(shop_models: Path, learned: LearnedPlan) -> None:
    recommender = Recommender.of_bundle(shop_models)
    live = LiveView(recommender.engine)
    recommender = replace(recommender, live=live)
    found = planners(recommender, learned, (running(0.6),), recommender.data_end, no_messages())
    users = [f"u{n}" for n in range(80)]
    for user in users:
        planner, variant = found.of(user), variant_of(running(0.6), user)
        assert (planner.experiment, planner.variant) == (("calm", variant) if variant else (None, None))
        assert planner.config.caps.messages_per_week == (
            5 if variant == "more" else learned.config.caps.messages_per_week
        )
    assert sorted(user for _, group in found.groups(users) for user in group) == sorted(users)
    assert len(found.groups(users)) == 3
    into = next(user for user in users if found.of(user).variant == "more")
    visitor = next(user for user in users if found.of(user).variant == "control")
    live.apply([StoredEntry(live.seq + 1, LogEntry("merge", visitor, 1.0, 1.0, {"into": into}))])
    assert found.of(visitor).variant == "more"


def test_a_variant_that_nothing_was_learned_for_is_refused(shop_models: Path, learned: LearnedPlan) -> None:
    recommender = Recommender.of_bundle(shop_models)
    plain = LearnedPlan(learned.config, LISTS, learned.model)
    found = planners(recommender, plain, (running(),), recommender.data_end, no_messages())
    with pytest.raises(ConfigError, match="write it again with `recsys push plan --experiments FILE`"):
        found.of("u1")
    assert planners(recommender, plain, (), recommender.data_end, no_messages()).of("u1").variant is None
