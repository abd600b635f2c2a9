"""A small plan over the invented shop."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys.pipeline.recommender import Recommender
from recsys.planner.config import PlanConfig, parse_plan
from recsys.planner.past_weeks import PlanModel, fit_plan
from recsys.planner.planner import Planner

LISTS = ("buy_again", "for_you", "discover")


@pytest.fixture(scope="session")
def recommender(shop_models: Path) -> Recommender:
    """The invented shop's bundle."""
    return Recommender.of_bundle(shop_models)


@pytest.fixture(scope="session")
def plan_config() -> PlanConfig:
    """A plan that learns from two past weeks."""
    return parse_plan({"calibration": {"users": 40, "weeks": 2}, "channels": ["push", "email"], "max_skipped_value": 0})


@pytest.fixture(scope="session")
def plan_model(recommender: Recommender, plan_config: PlanConfig) -> PlanModel:
    """What it has learned."""
    return fit_plan(recommender, plan_config, LISTS)


@pytest.fixture(scope="session")
def planner(recommender: Recommender, plan_config: PlanConfig, plan_model: PlanModel) -> Planner:
    """The plan at the end of the data."""
    return Planner(recommender, plan_config, LISTS, plan_model, recommender.data_end)
