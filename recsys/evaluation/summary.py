"""What the values of a question come to: means with intervals, ours against each baseline, and by segment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.core.metrics import Interval, Values, interval_of, resampled_means
from recsys.evaluation.experiment import QuestionResults

Column = tuple[str, str, tuple[str, str] | None]
"""Method, metric, and the kind and name of a segment; None for all queries."""


@dataclass(frozen=True)
class Comparison:
    """One of our methods less one baseline, query by query.

    Attributes:
        is_best: whether the baseline is the best of all by this metric.
        difference: ours less the baseline's.
        relative: the same as a share of the baseline's.
    """

    method: str
    baseline: str
    metric: str
    is_best: bool
    difference: Interval
    relative: Interval


@dataclass(frozen=True)
class Segment:
    """The deciding metric in a part of the queries.

    Attributes:
        kind: `history` or `hour`.
        name: which part.
        n_queries: how many queries of it have a value.
    """

    method: str
    metric: str
    kind: str
    name: str
    n_queries: int
    interval: Interval


@dataclass(frozen=True)
class EvaluationSummary:
    """One question's metrics.

    Attributes:
        primary_metric: the metric that decides.
        treatments: the methods that are results.
        n_queries: how many queries were asked.
        n_units: how many shoppers, or queries of nobody, the intervals draw from.
        metrics: by method and metric; metrics that no query has a value of are left out.
        comparisons: ours against each baseline, by each metric.
        segments: the deciding metric by part.
    """

    primary_metric: str
    treatments: tuple[str, ...]
    n_queries: int
    n_units: int
    metrics: dict[str, dict[str, Interval]]
    comparisons: tuple[Comparison, ...]
    segments: tuple[Segment, ...]

    def best_baseline(self, metric: str | None = None) -> str | None:
        """The baseline that is best by a metric, the deciding one if not given; None where there is none."""
        metric = metric or self.primary_metric
        value = {
            method: metrics[metric].value
            for method, metrics in self.metrics.items()
            if method not in self.treatments and metric in metrics
        }
        return max(value, key=value.__getitem__, default=None)


def summarize(results: QuestionResults, rng: np.random.Generator, n_resamples: int = 1000) -> EvaluationSummary:
    """Estimate every figure of a question, all by the same draws.

    Figures of all lists together, such as coverage, are counted and not estimated: their interval is a point.

    Args:
        results: the question's values.
        rng: draws.
        n_resamples: how many times the units are drawn again.
    """
    columns = dict(_columns(results))
    values = np.column_stack(list(columns.values())) if columns else np.empty((results.n_queries, 0))
    means = resampled_means(values, rng, results.unit, n_resamples)
    estimates = {column: (float(np.nanmean(values[:, idx])), means[:, idx]) for idx, column in enumerate(columns)}
    metrics: dict[str, dict[str, Interval]] = {}
    for (method, metric, segment), estimate in estimates.items():
        if segment is None:
            metrics.setdefault(method, {})[metric] = interval_of(*estimate)
    for method, totals in results.totals.items():
        metrics.setdefault(method, {}).update({name: Interval(total, total, total) for name, total in totals.items()})
    segments = tuple(
        Segment(method, metric, *segment, int((~np.isnan(columns[method, metric, segment])).sum()), interval_of(*found))
        for (method, metric, segment), found in estimates.items()
        if segment is not None
    )
    summary = EvaluationSummary(
        results.primary_metric,
        results.treatments,
        results.n_queries,
        len(np.unique(results.unit)),
        metrics,
        (),
        segments,
    )
    whole = {(method, metric): found for (method, metric, segment), found in estimates.items() if segment is None}
    return EvaluationSummary(**vars(summary) | {"comparisons": tuple(_comparisons(summary, whole))})


def _columns(results: QuestionResults) -> Iterator[tuple[Column, Values]]:
    for method, values in results.values.items():
        for metric, value in values.items():
            if not np.isnan(value).all():
                yield (method, metric, None), value
        primary = values[results.primary_metric]
        for kind, masks in results.segments.items():
            for name, mask in masks.items():
                if not np.isnan(primary[mask]).all():
                    yield (method, results.primary_metric, (kind, name)), np.where(mask, primary, np.nan)


def _comparisons(
    summary: EvaluationSummary, whole: dict[tuple[str, str], tuple[float, npt.NDArray[np.float64]]]
) -> Iterator[Comparison]:
    for (method, metric), (value, means) in whole.items():
        for (baseline, same), (other, others) in whole.items():
            if method in summary.treatments and baseline not in summary.treatments and same == metric:
                yield Comparison(
                    method=method,
                    baseline=baseline,
                    metric=metric,
                    is_best=baseline == summary.best_baseline(metric),
                    difference=interval_of(value - other, means - others),
                    relative=interval_of(_ratio(value, other), _ratios(means, others)),
                )


def _ratio(value: float, other: float) -> float:
    return value / other - 1 if other else float("nan")


def _ratios(means: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    ratio = np.full(len(means), np.nan)
    np.divide(means, others, out=ratio, where=others != 0)
    return ratio - 1
