from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from msgspec.structs import replace

from recsys.core.errors import ConfigError
from recsys.fitting.engine import Engine
from recsys.pipeline.recommender import Recommender
from recsys.planner.config import PlanConfig
from recsys.planner.past_weeks import PlanModel
from recsys.planner.plan_file import LearnedPlan, best_sellers, check_plan_fits, read_plan_file, write_plan_file
from tests.recsys.planner.conftest import LISTS


def test_it_is_read_as_it_was_written(plan_config: PlanConfig, plan_model: PlanModel, tmp_path: Path) -> None:
    plan = LearnedPlan(plan_config, LISTS, plan_model)
    write_plan_file(tmp_path / "plan.json", plan)
    assert read_plan_file(tmp_path / "plan.json") == plan


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"config": {"holdout": 2}}, "'holdout' is 2"),
        ({"lists": ["for_you"]}, "its lists are not those"),
        ({"lists": 5}, "Expected `array`"),
        ({"more": 1}, "unknown field"),
    ],
)
def test_other_content_is_refused(
    plan_config: PlanConfig, plan_model: PlanModel, tmp_path: Path, changed: dict, message: str
) -> None:
    path = tmp_path / "plan.json"
    write_plan_file(path, LearnedPlan(plan_config, LISTS, plan_model))
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(ConfigError, match=f"plan.json is not a plan .*{message}.* writes one"):
        read_plan_file(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="is not a plan"):
        read_plan_file(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_plan_file(tmp_path / "none.json")


@pytest.fixture
def plan(plan_config: PlanConfig, plan_model: PlanModel, shop_engine: Engine) -> LearnedPlan:
    return LearnedPlan(plan_config, LISTS, plan_model, best_sellers(shop_engine))


def test_a_plan_fits_the_shop_that_it_was_learned_from(plan: LearnedPlan, shop_models: Path) -> None:
    recommender = Recommender.of_bundle(shop_models)
    assert len(plan.items) > 5
    check_plan_fits(plan, recommender)
    check_plan_fits(replace(plan, items=()), recommender)
    check_plan_fits(replace(plan, items=(*plan.items, "gone")), recommender)


@pytest.mark.parametrize(
    ("changed", "columns", "message"),
    [
        ({"lists": ("for_you", "buy_agian")}, {}, r"'lists\[1\]' is 'buy_agian'.*buy_again"),
        ({"lists": ("similar",)}, {}, r"'lists\[0\]' is 'similar', which is not a known list for a user"),
        ({"items": ("x1", "x2", "x3", "x4")}, {}, r"'items' is 'x1, x2, x3, …', expected .* has 0 of these 4"),
        ({}, {"consent_sms": True}, r"'channels' is 'push, email', expected a channel whose consent .* \(sms\)"),
    ],
)
def test_a_plan_of_another_shop_is_refused(
    plan: LearnedPlan, shop_models: Path, changed: dict[str, Any], columns: dict[str, bool], message: str
) -> None:
    recommender = Recommender.of_bundle(shop_models)
    table = recommender.engine.users_table.with_columns(**{name: pl.lit(value) for name, value in columns.items()})
    recommender = dataclasses.replace(recommender, engine=dataclasses.replace(recommender.engine, users_table=table))
    with pytest.raises(ConfigError, match=f"not for .*: {message}.*; write it with `recsys push plan`"):
        check_plan_fits(replace(plan, **changed), recommender)
    if columns:
        config = dataclasses.replace(plan.config, consent="opt_in")
        check_plan_fits(replace(plan, config=config), recommender)
