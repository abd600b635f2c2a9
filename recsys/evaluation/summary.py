"""Summary of a question: means with intervals, treatments against baselines, and segments."""

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
    """Paired difference of a treatment and a baseline.

    Attributes:
        method: the treatment.
        baseline: the baseline.
        metric: the metric.
        is_best: whether the baseline is the best one by this metric.
        difference: value of the treatment minus that of the baseline.
        relative: the difference as a share of the baseline's value.
    """

    method: str
    baseline: str
    metric: str
    is_best: bool
    difference: Interval
    relative: Interval


@dataclass(frozen=True)
class Segment:
    """The primary metric on a segment of the queries.

    Attributes:
        method: the method.
        metric: the primary metric.
        kind: `history` or `hour`.
        name: name of the segment.
        n_queries: number of its queries with a value.
        interval: mean with its interval.
    """

    method: str
    metric: str
    kind: str
    name: str
    n_queries: int
    interval: Interval


@dataclass(frozen=True)
class EvaluationSummary:
    """Metrics of one question.

    Attributes:
        primary_metric: the metric that decides.
        treatments: the evaluated methods.
        n_queries: number of queries.
        n_units: number of resampling units: users, or anonymous queries.
        metrics: by method and metric; metrics without a value for any query are left out.
        comparisons: each treatment against each baseline, by each metric.
        segments: the primary metric by segment.
    """

    primary_metric: str
    treatments: tuple[str, ...]
    n_queries: int
    n_units: int
    metrics: dict[str, dict[str, Interval]]
    comparisons: tuple[Comparison, ...]
    segments: tuple[Segment, ...]

    def best_baseline(self, metric: str | None = None) -> str | None:
        """Return the baseline with the highest value of a metric, the primary one if None; None without baselines."""
        metric = metric or self.primary_metric
        value = {
            method: metrics[metric].value
            for method, metrics in self.metrics.items()
            if method not in self.treatments and metric in metrics
        }
        return max(value, key=value.__getitem__, default=None)


def summarize(results: QuestionResults, rng: np.random.Generator, n_resamples: int = 1000) -> EvaluationSummary:
    """Estimate every metric of a question from the same resamples.

    Metrics of all lists together, such as coverage, are exact: their interval is a point.

    Args:
        results: the results of the question.
        rng: source of the resamples.
        n_resamples: number of resamples, >= 1.

    Returns:
        The summary.
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
