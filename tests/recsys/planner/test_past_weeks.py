from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import polars as pl
import pytest

from recsys.data.dataset import DAY_S
from recsys.pipeline.recommender import Recommender
from recsys.planner.asking import AskRule
from recsys.planner.config import PlanConfig, parse_plan
from recsys.planner.life_stages import N_STAGES
from recsys.planner.past_weeks import PlanModel, fit_plan, n_places, purchases_between, rules_of
from recsys.planner.planner import Planner
from tests.recsys.planner.conftest import LISTS
from tests.shop import USERS_WITH_HISTORY, WEEKLY_ITEM, WEEKLY_SHOPPERS


def test_what_is_learned(plan_model: PlanModel) -> None:
    calibration = plan_model.calibration
    assert calibration.lists == LISTS
    assert [len(curve.weights) for curve in calibration.curves] == [7, 7, 7]
    assert all(curve.messages > 20 for curve in calibration.curves)
    assert all(0 <= curve.rate <= 1 and np.isfinite(curve.weights).all() for curve in calibration.curves)
    assert np.array(plan_model.hours.shares).shape == (N_STAGES + 1, 24)
    assert np.array(plan_model.weekdays.shares).sum(axis=1) == pytest.approx(np.ones(N_STAGES + 1))
    assert msgspec.json.decode(msgspec.json.encode(plan_model), type=PlanModel) == plan_model


def test_it_is_the_same_again(recommender: Recommender, plan_config: PlanConfig, plan_model: PlanModel) -> None:
    seen = []
    again = fit_plan(recommender, plan_config, LISTS, lambda done, total: seen.append((done, total)))
    assert again == plan_model
    assert seen[-1] == (80, 80)


def test_purchases_after_a_moment_and_up_to_another(recommender: Recommender) -> None:
    engine, end = recommender.engine, recommender.data_end
    users = [USERS_WITH_HISTORY[0], WEEKLY_SHOPPERS[0], "stranger"]
    found = purchases_between(recommender, users, end - 14 * DAY_S, end)
    assert 1 * engine.n_items + engine.items.row(WEEKLY_ITEM) in found
    assert (found < 2 * engine.n_items).all()
    assert purchases_between(recommender, users, end, end + DAY_S).tolist() == []
    assert purchases_between(recommender, [], 0, end).tolist() == []


def test_lists_are_long_enough_for_their_messages() -> None:
    config = parse_plan({"items_per_message": 4, "caps": {"messages_per_list": 2, "messages_per_week": 5}})
    assert n_places(config) == 20
    rules = rules_of(config)
    assert (rules.n_messages, rules.n_per_list, rules.n_items) == (5, 2, 4)


def test_a_shop_that_is_too_young_has_cautious_probabilities(recommender: Recommender) -> None:
    config = parse_plan({"horizon_days": 400, "calibration": {"users": 5, "weeks": 1}})
    model = fit_plan(recommender, config, ("for_you",))
    (curve,) = model.calibration.curves
    assert (curve.messages, curve.probability) == (0, (0.0, 1.0))
    assert 1 / (1 + np.exp(-curve.weights[0])) == pytest.approx(0.01, abs=0.001)


def test_lists_that_rarely_win_are_not_made_for_all(recommender: Recommender, plan_config: PlanConfig) -> None:
    config = replace(plan_config, max_skipped_value=0.2)
    model = fit_plan(recommender, config, LISTS)
    assert not model.rules[0].skipped
    assert any(rule.skipped for rule in model.rules[1:])
    whole = Planner(recommender, plan_config, LISTS, model, recommender.data_end)
    some = replace(whole, config=config)
    every = replace(whole, model=msgspec.structs.replace(model, rules=(AskRule(),) * 3))
    fewer, all_lists = (each.plan(USERS_WITH_HISTORY) for each in (some, every))
    unlikely = [name for name, rule in zip(LISTS, model.rules, strict=True) if rule.skipped]
    counts = [plan.filter(pl.col("placement").is_in(unlikely)).height for plan in (fewer, all_lists)]
    assert counts[0] < counts[1]
    assert fewer["expected_value"].sum() > 0.7 * all_lists["expected_value"].sum()
