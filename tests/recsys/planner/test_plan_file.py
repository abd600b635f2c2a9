from __future__ import annotations

import json
from pathlib import Path

import pytest

from recsys.core.errors import ConfigError
from recsys.planner.config import PlanConfig
from recsys.planner.past_weeks import PlanModel
from recsys.planner.plan_file import LearnedPlan, read_plan_file, write_plan_file
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
