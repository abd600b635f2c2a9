"""What a planned experiment starts from: traffic, and the variation of a metric, measured on the shop's past."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import polars as pl

from recsys.core.errors import ConfigError
from recsys.experiments.analysis import columns_of
from recsys.experiments.definitions import CONTROL, ExperimentDefinition, MetricName
from recsys.experiments.effects import compare_variants, moments_of
from recsys.experiments.outcomes import EXPOSURES, ExperimentLog
from recsys.experiments.power import SequentialPlan

RATES: Final = ("conversion",)
"""Metrics whose variation follows from their value."""


@dataclass(frozen=True)
class MetricBaseline:
    """A metric of the past.

    Attributes:
        metric: its name.
        value: the metric.
        variation: standard deviation per shopper over the value.
        variance_reduction: share of the variance that CUPED removes.
        shoppers_per_day: new shoppers per day.
        days: that were measured.
    """

    metric: MetricName
    value: float
    variation: float
    variance_reduction: float
    shoppers_per_day: float
    days: float

    def plan(self, definition: ExperimentDefinition, share: float) -> SequentialPlan:
        """Return the plan of an experiment with a share of its shoppers, for its first variant after the control.

        Args:
            definition: its weights, part of the layer and rules.
            share: of the shoppers of its part, in (0, 1].
        """
        settings = definition.settings
        start, end = settings.part
        weights = [each.weight for each in definition.variants]
        daily = [self.shoppers_per_day * share * (end - start) * weight / sum(weights) for weight in weights[:2]]
        return SequentialPlan(
            (daily[0], daily[1]),
            self.variation,
            settings.minimum_effect,
            settings.alpha,
            self.variance_reduction,
            settings.min_shoppers,
            len(weights) - 1,
            self.metric in RATES,
        )


def measure_baseline(shoppers: pl.DataFrame, metric: MetricName, days: float) -> MetricBaseline:
    """Measure a metric over all shoppers of a period.

    Args:
        shoppers: result of `recsys.experiments.outcomes.shopper_table`.
        metric: its name.
        days: length of the period, > 0.

    Raises:
        ConfigError: the metric is 0, or there are too few shoppers.
    """
    if shoppers.height < 2:
        raise ConfigError(f"the past has {shoppers.height} shoppers: expected at least 2; name other --data")
    moments = moments_of(columns_of(shoppers, metric))
    effect = compare_variants(moments, moments)
    value = float(effect.control)
    if not value > 0:
        raise ConfigError(
            f"{metric} is {value:g} in the past, so its variation is not known: choose another metric, or name data in"
            " which it is above 0 (CTR needs the live log's impressions)"
        )
    own = float(effect.log_ratio_error) * math.sqrt(shoppers.height / 2)
    reduction = float(effect.variance_reduction)
    return MetricBaseline(
        metric, value, own / math.sqrt(max(1 - reduction, 1e-9)), reduction, shoppers.height / days, days
    )


def past_as_log(actions: pl.DataFrame, days: float) -> ExperimentLog:
    """Return the last days of a shop as if each shopper's first action in them were the first exposure.

    Args:
        actions: the columns of `recsys.experiments.outcomes.ACTIONS`, by time.
        days: length of the period, > 0.
    """
    if actions.is_empty():
        return ExperimentLog(pl.DataFrame(schema=EXPOSURES), actions)
    start = actions["timestamp"].max() - timedelta(days=days)  # type: ignore[operator]
    first = actions.filter(pl.col("timestamp") > start).group_by("unit_id").agg(pl.col("timestamp").min())
    exposures = first.select(
        "unit_id",
        pl.lit(CONTROL).alias("variant"),
        "timestamp",
        pl.lit(None, pl.String).alias("recommendation_id"),
        pl.lit([], pl.List(pl.String)).alias("item_ids"),
    )
    return ExperimentLog(exposures.sort("timestamp", "unit_id"), actions)
