"""The analysis of an experiment: the effect of each variant on each metric, under the rule of daily looks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.experiments.assignment import planned_shares
from recsys.experiments.definitions import CONTROL, ExperimentDefinition, MetricName
from recsys.experiments.effects import EffectEstimate, compare_variants, metric_columns, moments_of
from recsys.experiments.sequences import anytime_p, half_width, holm, sample_ratio_p

METRICS: Final[Mapping[MetricName, tuple[str, str | None, str | None]]] = {
    "ctr": ("clicks", "impressions", None),
    "conversion": ("buyers", None, "pre_buyers"),
    "revenue_per_shopper": ("revenue", None, "pre_revenue"),
    "average_order": ("revenue", "orders", None),
}
"""Numerator, denominator (None: shoppers) and covariate (None: no CUPED) of each metric, columns of shoppers."""


@dataclass(frozen=True)
class MetricEffect:
    """The effect of one variant on one metric, against the control.

    Attributes:
        metric, variant: names.
        control, treatment: values of the metric, adjusted by the covariate.
        lift: relative effect; nan where a value is not positive.
        low, high: its confidence sequence, valid at any look, at `1 − alpha / number of variants`.
        p_value: valid at any look; for the primary metric adjusted by Holm for the variants.
        fixed_low, fixed_high, fixed_p: 95 % interval and p-value of Welch's test, right for one planned look only.
        variance_reduction: share of the variance that CUPED removed.
        log_lift, log_error: `ln(1 + lift)` and its standard error.
    """

    metric: MetricName
    variant: str
    control: float
    treatment: float
    lift: float
    low: float
    high: float
    p_value: float
    fixed_low: float
    fixed_high: float
    fixed_p: float
    variance_reduction: float
    log_lift: float
    log_error: float


@dataclass(frozen=True)
class ExperimentAnalysis:
    """All effects of an experiment.

    Attributes:
        experiment: its name.
        days: since the first exposure.
        shoppers: number of shoppers by variant, the control first.
        crossed: number of shoppers who saw several variants.
        sample_ratio_p: p-value of the planned shares, valid at any look.
        effects: of the variants that are left, metric by metric.
        others: number of shoppers by variant that is not compared: retired, or not in the definition.
    """

    experiment: str
    days: float
    shoppers: dict[str, int]
    crossed: int
    sample_ratio_p: float
    effects: tuple[MetricEffect, ...]
    others: dict[str, int] = field(default_factory=dict)

    def effect(self, metric: str, variant: str) -> MetricEffect | None:
        """Return the effect of a variant on a metric; None if a group has too few shoppers to compare."""
        return next((each for each in self.effects if (each.metric, each.variant) == (metric, variant)), None)


def analyze_experiment(
    definition: ExperimentDefinition, shoppers: pl.DataFrame, days: float, retired: tuple[str, ...] = ()
) -> ExperimentAnalysis:
    """Compare each variant with the control, on every metric.

    Args:
        definition: variants, metrics and rules.
        shoppers: result of `recsys.experiments.outcomes.shopper_table`.
        days: since the first exposure.
        retired: variants that are no longer compared.

    Returns:
        The effects; none where a variant has fewer than two shoppers.
    """
    settings = definition.settings
    shares = planned_shares(definition, retired)
    groups = {name: shoppers.filter(pl.col("variant") == name) for name in shares}
    counts = {name: group.height for name, group in groups.items()}
    effects: list[MetricEffect] = []
    for metric in METRICS:
        scale = math.log1p(settings.minimum_effect)
        found = {
            name: compare_variants(*(moments_of(columns_of(groups[each], metric)) for each in (CONTROL, name)))
            for name in shares
            if name != CONTROL and min(counts[CONTROL], counts[name]) >= 2
        }
        p_values = [float(anytime_p(each.log_ratio, each.log_ratio_error, scale)) for each in found.values()]
        adjusted = holm(p_values) if metric == settings.primary else p_values
        alpha = settings.alpha / max(len(shares) - 1, 1)
        effects += [
            _effect(metric, name, effect, p, float(half_width(effect.log_ratio_error, alpha, scale)))
            for (name, effect), p in zip(found.items(), adjusted, strict=True)
        ]
    crossed = int(shoppers["has_crossed"].sum()) if shoppers.height else 0
    ratio_p = float(sample_ratio_p(list(counts.values()), list(shares.values())))
    left = shoppers.filter(~pl.col("variant").is_in(list(shares)))
    others = dict(left.group_by("variant").len().sort("variant").iter_rows())
    return ExperimentAnalysis(definition.name, days, counts, crossed, ratio_p, tuple(effects), others)


def columns_of(shoppers: pl.DataFrame, metric: MetricName) -> npt.NDArray[np.float64]:
    """Return the columns of a metric, float64 (n_shoppers, 4); see `recsys.experiments.effects.metric_columns`."""
    numerator, *others = METRICS[metric]
    denominator, covariate = (None if name is None else shoppers[name].to_numpy() for name in others)
    return metric_columns(shoppers[numerator].to_numpy(), denominator, covariate)


def _effect(metric: MetricName, variant: str, effect: EffectEstimate, p_value: float, half: float) -> MetricEffect:
    log_lift = float(effect.log_ratio)
    fixed_low, fixed_high = effect.lift_interval()
    return MetricEffect(
        metric,
        variant,
        float(effect.control),
        float(effect.treatment),
        math.expm1(log_lift),
        math.expm1(log_lift - half),
        math.expm1(log_lift + half),
        p_value,
        float(fixed_low),
        float(fixed_high),
        float(effect.p_value()),
        float(effect.variance_reduction),
        log_lift,
        float(effect.log_ratio_error),
    )
