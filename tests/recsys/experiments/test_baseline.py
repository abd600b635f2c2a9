"""Baselines of planned experiments, measured on the past."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from recsys.core.errors import ConfigError
from recsys.experiments.baseline import measure_baseline, past_as_log
from recsys.experiments.outcomes import ACTIONS, shopper_table
from recsys.experiments.power import rate_variation
from tests.recsys.experiments.files import definition
from tests.recsys.experiments.logs import START, simulated_log


def test_a_rate_has_the_variation_of_its_value() -> None:
    log = simulated_log(definition(), 5000, {"control": 0.2, "mixed": 0.2})
    found = measure_baseline(shopper_table(log), "conversion", 14.0)
    assert found.value == pytest.approx(0.2, abs=0.02)
    assert found.variation == pytest.approx(rate_variation(found.value), rel=0.01)
    assert found.shoppers_per_day == pytest.approx(5000 / 14)
    assert found.variance_reduction == 0


def test_the_past_counts_from_each_shoppers_first_action_with_earlier_orders_as_covariate() -> None:
    rows = []
    for n in range(300):
        for day in (0, 20, 35):
            at = START + timedelta(days=day, minutes=n)
            rows.append((f"u{n}", "purchase", at, "a", None, f"b{n}-{day}", 1.0, 5.0 + n % 50 + (n + day) % 3, "EUR"))
    log = past_as_log(pl.DataFrame(rows, ACTIONS, orient="row"), 28)
    shoppers = shopper_table(log)
    assert shoppers["orders"].to_list() == [2] * 300
    found = measure_baseline(shoppers, "revenue_per_shopper", 28)
    assert found.variance_reduction > 0.95
    assert found.variation == pytest.approx(shoppers["revenue"].std() / shoppers["revenue"].mean(), rel=0.05)


def test_the_plan_has_the_shoppers_of_the_first_two_variants() -> None:
    log = simulated_log(definition(), 5000, {"control": 0.2, "mixed": 0.2})
    changed = {"placements": {"for_you": {"limit": 3}}}
    three = definition(part=[0.0, 0.5], variants={"control": {"weight": 2}, "a": changed, "b": changed})
    plan = measure_baseline(shopper_table(log), "conversion", 10.0).plan(three, 0.2)
    assert plan.shoppers_per_day == pytest.approx((25.0, 12.5))
    assert plan.is_rate
    assert plan.n_comparisons == 2


def test_a_metric_that_the_past_does_not_have_is_refused() -> None:
    log = simulated_log(definition(), 100, {"control": 0.0, "mixed": 0.0})
    with pytest.raises(ConfigError, match="ctr is 0 in the past"):
        measure_baseline(shopper_table(log), "ctr", 14.0)
    empty = past_as_log(pl.DataFrame(schema=ACTIONS), 28)
    with pytest.raises(ConfigError, match="the past has 0 shoppers"):
        measure_baseline(shopper_table(empty), "conversion", 28.0)
